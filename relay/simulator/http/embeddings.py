"""`/v1/embeddings`: vectors in which texts that share words and parts of words are near.

No model is behind them. Every word and every three characters of a word choose, by a hash, a
coordinate and a sign; the same text has the same vector everywhere.
"""

import asyncio
import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from relay.simulator.http.answers import Answer, as_whole
from relay.simulator.http.refusals import invalid
from relay.simulator.http.tokens import tokens

MAX_TEXTS = 2048
"""Texts of one request, as OpenAI has it."""

MAX_CHARACTERS = 1 << 20
"""Characters of all texts of one request; they take about two seconds."""

DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536

_WORD = re.compile(r"\w+")
_WORD_WEIGHT = 2.0
_GRAM = 3

TextInput = str | list[str | int | list[int]]
"""One text or several, each as a text or as the numbers of its tokens."""


class EmbeddingsBody(Struct, frozen=True):
    """The body of a request; tokens in place of text are taken as words."""

    model: str
    input: TextInput
    dimensions: Annotated[int, Meta(ge=1, le=3072)] | None = None
    encoding_format: Literal["float", "base64"] = "float"


async def embed_texts(body: EmbeddingsBody) -> Answer:
    """Return the embeddings of the texts of a request."""
    texts = _texts(body.input)
    dimensions = body.dimensions or DIMENSIONS.get(body.model, DEFAULT_DIMENSIONS)
    vectors = await asyncio.to_thread(lambda: [embed(text, dimensions) for text in texts])
    count = sum(len(tokens(text)) for text in texts)
    data = [
        {"object": "embedding", "index": i, "embedding": _encoded(vector, body.encoding_format)}
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return as_whole({"object": "list", "data": data, "model": body.model, "usage": usage})


def embed(text: str, dimensions: int) -> list[float]:
    """Return the vector of a text, of length 1."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        _add(vector, f"={word}", _WORD_WEIGHT)
        edged = f"<{word}>"
        for at in range(len(edged) - _GRAM + 1):
            _add(vector, edged[at : at + _GRAM], 1.0)
    length = math.sqrt(sum(value * value for value in vector))
    if not length:  # everything cancelled out
        return [1.0, *vector[1:]]
    return [value / length for value in vector]


def _add(vector: list[float], feature: str, weight: float) -> None:
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    vector[(number >> 1) % len(vector)] += weight if number & 1 else -weight


def _texts(given: TextInput) -> list[str]:
    """Return the texts of an input; raises `HttpRefused` for none, too many, or an empty one."""
    if isinstance(given, str):
        texts = [given]
    elif given and all(isinstance(entry, int) for entry in given):
        texts = [_as_text(given)]
    else:
        texts = [_as_text(entry) for entry in given]
    if not texts or not all(texts):
        raise invalid("'input' must not be empty.", "input", "invalid_value")
    if len(texts) > MAX_TEXTS or sum(map(len, texts)) > MAX_CHARACTERS:
        message = f"'input' may have {MAX_TEXTS} texts and {MAX_CHARACTERS} characters in all."
        raise invalid(message, "input", "invalid_value")
    return texts


def _as_text(entry: str | int | Sequence[Any]) -> str:
    if isinstance(entry, int):
        raise invalid("'input' mixes texts and tokens.", "input", "invalid_value")
    return entry if isinstance(entry, str) else " ".join(map(str, entry))


def _encoded(vector: list[float], encoding: str) -> list[float] | str:
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
