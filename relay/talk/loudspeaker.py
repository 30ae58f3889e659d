"""Plays an answer while it comes, where this machine has sound."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from relay.talk.wav import RATE

MOST_QUEUED: Final = 600 * RATE * 2
"""Bytes of ten minutes: an answer comes faster than it is played; what is beyond is not played."""


class Player(Protocol):
    """Plays PCM16 mono at 24 kHz; neither method waits."""

    def play(self, pcm: bytes) -> None:
        """Play this after what is queued."""

    def flush(self) -> None:
        """Drop what has not been played: the speaker interrupts."""


class Silence:
    """Plays nothing, on a machine without sound."""

    def play(self, pcm: bytes) -> None:
        """Let it pass."""

    def flush(self) -> None:
        """Nothing is queued."""


class Loudspeaker:
    """A queue that the sound card's thread empties."""

    def __init__(self) -> None:
        self._queued = bytearray()
        self._lock = threading.Lock()

    def play(self, pcm: bytes) -> None:
        """Queue it; beyond `MOST_QUEUED` it is dropped."""
        with self._lock:
            if len(self._queued) + len(pcm) <= MOST_QUEUED:
                self._queued += pcm

    def flush(self) -> None:
        """Empty the queue."""
        with self._lock:
            self._queued.clear()

    def fill(self, out: Any, *_: object) -> None:
        """Fill the card's buffer, with silence where nothing is queued."""
        with self._lock:
            piece = bytes(self._queued[: len(out)])
            del self._queued[: len(out)]
        out[:] = piece + bytes(len(out) - len(piece))


@contextmanager
def loudspeaker() -> Iterator[Player]:
    """Open the default loudspeaker; where there is none, nothing is played."""
    try:
        # It comes with the `voice` extra, and needs PortAudio.
        import sounddevice  # type: ignore[import-untyped]  # noqa: PLC0415
    except (ImportError, OSError):
        yield Silence()
        return
    speaker = Loudspeaker()
    try:
        stream = sounddevice.RawOutputStream(
            samplerate=RATE, channels=1, dtype="int16", callback=speaker.fill
        )
        stream.start()
    except sounddevice.PortAudioError:
        yield Silence()
        return
    try:
        yield speaker
    finally:
        stream.close()
