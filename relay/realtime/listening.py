"""What one coach hears of a call: the learner at once, the model as fast as it is heard; pure."""

from collections import deque
from math import inf
from typing import Final

LEARNER: Final = b"\x00"
"""First byte of a frame of the learner's sound."""
MODEL: Final = b"\x01"
"""First byte of a frame of the model's. 2 is kept for later use."""
LEAD_SECONDS: Final = 0.2
"""How far ahead of what is heard the model's sound goes out; it comes several times faster."""
BYTES_PER_SECOND: Final = 48_000
LEARNER_BYTES: Final = 5 * BYTES_PER_SECOND  # what waits for a slow coach; the oldest is dropped
MODEL_BYTES: Final = 120 * BYTES_PER_SECOND  # an answer of two minutes that came at once


class _Queue:
    """Sound that waits, at most so many bytes of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._pieces: deque[bytes] = deque()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, pcm: bytes) -> None:
        self._pieces.append(pcm)
        self._bytes += len(pcm)
        while self._bytes > self._most and len(self._pieces) > 1:
            self.take()

    def take(self) -> bytes:
        pcm = self._pieces.popleft()
        self._bytes -= len(pcm)
        return pcm

    def clear(self) -> None:
        self._pieces.clear()
        self._bytes = 0


class Listening:
    """Times are seconds of one clock."""

    def __init__(self) -> None:
        self._learner = _Queue(LEARNER_BYTES)
        self._model = _Queue(MODEL_BYTES)
        self._heard_until = 0.0

    def learner(self, pcm: bytes) -> None:
        """The learner said this."""
        self._learner.put(pcm)

    def model(self, pcm: bytes) -> None:
        """Sound came from the model; it may be heard later."""
        self._model.put(pcm)

    def flush(self) -> None:
        """The learner's player was flushed: what waits of the model is heard by nobody."""
        self._model.clear()
        self._heard_until = 0.0

    def take(self, now: float) -> bytes | None:
        """The next frame for the coach, None when nothing may go out yet."""
        if self._learner:
            return LEARNER + self._learner.take()
        if now < self.next():
            return None
        pcm = self._model.take()
        self._heard_until = max(self._heard_until, now) + len(pcm) / BYTES_PER_SECOND
        return MODEL + pcm

    def next(self) -> float:
        """When something may go out; infinity when nothing waits."""
        if self._learner:
            return 0.0
        return self._heard_until - LEAD_SECONDS if self._model else inf
