"""What a response used, in tokens derived from the real amounts (PROTOCOL §8)."""

import math
from collections.abc import Iterable
from typing import Any

from relay.engines.offline.items import Item

_INPUT_MS = 100  # ms of audio in one input token
_OUTPUT_MS = 50  # ms of audio in one output token
_BLOCK = 64  # tokens are cached in blocks of so many, of each kind
_CHARACTERS = 4  # about that many characters of text in one token


def text_tokens(text: str) -> int:
    """Return about how many tokens a text is."""
    return math.ceil(len(text) / _CHARACTERS)


def taken_in(instructions: str, items: Iterable[Item]) -> tuple[int, int]:
    """Return the text and audio tokens that the whole conversation is."""
    text, audio_ms = text_tokens(instructions), 0
    for item in items:
        audio_ms += item.audio_ms
        text += 0 if item.audio_ms else text_tokens(item.words or "")
    return text, math.ceil(audio_ms / _INPUT_MS)


def of_response(
    taken: tuple[int, int], words: int, audio_ms: int, *, first: bool = True
) -> dict[str, Any]:
    """Return the `usage` of `response.done`; all zero where nothing was put out.

    From a session's second response on, whole blocks of what is taken in were cached, as in every
    recording.
    """
    spoken = math.ceil(audio_ms / _OUTPUT_MS)
    text_in, audio_in = taken if words or spoken else (0, 0)
    text_cached, audio_cached = (0 if first else n - n % _BLOCK for n in (text_in, audio_in))
    return {
        "total_tokens": text_in + audio_in + words + spoken,
        "input_tokens": text_in + audio_in,
        "output_tokens": words + spoken,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": text_cached + audio_cached,
            "cached_tokens_details": {
                "text_tokens": text_cached,
                "audio_tokens": audio_cached,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": words, "audio_tokens": spoken},
    }


def of_transcription(model: str, audio_ms: int, words: int) -> dict[str, Any]:
    """Return the `usage` of a transcript: by tokens for gpt-4o models, else by seconds."""
    if not model.startswith("gpt-4o"):
        return {"type": "duration", "seconds": math.ceil(audio_ms / 1000)}
    heard = math.ceil(audio_ms / _INPUT_MS)
    return {
        "type": "tokens",
        "total_tokens": heard + words,
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": words,
    }
