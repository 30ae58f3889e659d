"""How an answer leaves: its words ahead of its sound, in pieces, at the pace of a real model."""

import re
from dataclasses import dataclass

from relay.engines.offline.items import BYTES_PER_MS

CHUNK_MS = 250
"""What one `response.output_audio.delta` holds (WIRE §2)."""

_CHUNK = CHUNK_MS * BYTES_PER_MS
_LEAD = 3  # words that are sent before the sound that speaks them
_WORD = re.compile(r"\s*\S+|\s+$")
_TOKEN = re.compile(r"\w+|\W+")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an answer comes.

    `burst` is how many times faster than it is heard audio is sent (OpenAI: 5 to 12, WIRE §2),
    `text_seconds` lie between two pieces of a text answer, `delay_seconds` before the first piece.
    """

    burst: float = 5.0
    text_seconds: float = 0.01
    delay_seconds: float = 0.0


def split(text: str) -> list[str]:
    """Return the words with the space before them; joined they are the text again."""
    return _WORD.findall(text)


def split_json(text: str) -> list[str]:
    """Return JSON in pieces about as large as a model's tokens; joined they are the text again."""
    return _TOKEN.findall(text)


class Delivery:
    """What one output says, on its way out: `take` piece after piece, `step` seconds apart."""

    def __init__(self, words: list[str], pcm: bytes | None, pace: Pace) -> None:
        self._words = words
        self._pcm = pcm
        self._sent_words = 0
        self._sent_bytes = 0
        self.step = pace.text_seconds if pcm is None else CHUNK_MS / 1000 / pace.burst

    @property
    def finished(self) -> bool:
        """Tell whether all is sent."""
        return self._sent_words == len(self._words) and self._sent_bytes == len(self._pcm or b"")

    @property
    def said(self) -> str:
        """Return the words sent so far."""
        return "".join(self._words[: self._sent_words])

    @property
    def words(self) -> int:
        """Return how many words were sent so far."""
        return self._sent_words

    @property
    def audio_bytes(self) -> int:
        """Return how much sound was sent so far."""
        return self._sent_bytes

    @property
    def audio(self) -> bytes:
        """Return the sound sent so far."""
        return (self._pcm or b"")[: self._sent_bytes]

    def take(self) -> list[str | bytes]:
        """Return what leaves together: words as text, then sound as bytes."""
        if self._pcm is None:
            return list(self._words_until(self._sent_words + 1))
        end = min(self._sent_bytes + _CHUNK, len(self._pcm))
        spoken = end / len(self._pcm) if self._pcm else 1.0
        pieces: list[str | bytes] = []
        pieces += self._words_until(int(spoken * len(self._words)) + _LEAD)
        if end > self._sent_bytes:
            pieces.append(self._pcm[self._sent_bytes : end])
            self._sent_bytes = end
        return pieces

    def _words_until(self, count: int) -> list[str]:
        words = self._words[self._sent_words : count]
        self._sent_words += len(words)
        return words
