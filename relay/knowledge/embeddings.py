"""Asks a server like OpenAI's for embeddings, and compares them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from relay.http_body import BodyTooLarge, read_body

BATCH: Final = 64
"""Texts in one request."""
MOST_READ: Final = 16 * 1024 * 1024
SECONDS: Final = 20.0


class EmbeddingsFailed(Exception):  # noqa: N818 - words alone are searched then
    """There are no embeddings; the text is the reason and quotes nothing."""


class Embedder(Protocol):
    """Gives texts their vectors: float32, little endian, of length 1."""

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text; raises `EmbeddingsFailed`."""


@dataclass(frozen=True, slots=True)
class HttpEmbedder:
    """An `Embedder` over HTTP; `url` ends before `/embeddings`."""

    http: aiohttp.ClientSession
    url: str
    model: str
    key: str = field(default="", repr=False)

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """See `Embedder`."""
        vectors: list[bytes] = []
        try:
            for start in range(0, len(texts), BATCH):
                async with asyncio.timeout(SECONDS):
                    vectors += await self._ask(texts[start : start + BATCH])
        except TimeoutError:
            raise EmbeddingsFailed("too slow") from None
        except (aiohttp.ClientError, OSError, BodyTooLarge) as error:
            raise EmbeddingsFailed(type(error).__name__) from None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            raise EmbeddingsFailed("unreadable") from None
        return vectors

    async def _ask(self, texts: Sequence[str]) -> list[bytes]:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        body = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        async with self.http.post(
            f"{self.url.rstrip('/')}/embeddings", json=body, headers=headers, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise EmbeddingsFailed(f"status {answer.status}")
            read = msgspec.json.decode(await read_body(answer, MOST_READ), type=_Answer)
        if len(read.data) != len(texts):
            raise EmbeddingsFailed("another number of vectors than texts")
        rows = sorted(read.data, key=lambda row: row.index)
        return await asyncio.to_thread(lambda: [unit_vector(row.embedding) for row in rows])


class _Row(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Answer(msgspec.Struct):
    data: list[_Row]


def unit_vector(values: Sequence[float]) -> bytes:
    """A vector of length 1 as bytes; raises ValueError for one that has no direction."""
    import numpy as np  # noqa: PLC0415 - only where vectors are used

    vector = np.asarray(values, dtype="<f4")
    length = float(np.linalg.norm(vector))
    if not length > 0:
        raise ValueError("a vector of length 0")
    return (vector / length).astype("<f4").tobytes()


def similarities(question: bytes, rows: Sequence[bytes]) -> list[float]:
    """The cosines between a vector and others; -1 for those of another model's size."""
    import numpy as np  # noqa: PLC0415

    same = [len(row) == len(question) for row in rows]
    matrix: Any = np.frombuffer(b"".join(r for r, ok in zip(rows, same, strict=True) if ok), "<f4")
    found = iter((matrix.reshape(-1, len(question) // 4) @ np.frombuffer(question, "<f4")).tolist())
    return [next(found) if ok else -1.0 for ok in same]
