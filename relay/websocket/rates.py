"""Rules for how fast a client may send: bytes by a token bucket, and frames a second."""

from dataclasses import dataclass
from typing import Final

AUDIO_BYTES: Final = 64_000
"""A second of a microphone at most: PCM16 at 24 kHz, in base64."""

BYTES_PER_SECOND: Final = 4 * AUDIO_BYTES
"""What a client may send for long. Recorded sound may come faster than it was spoken, but not so
fast that the calls beside it wait."""

FRAME_BYTES: Final = 128
"""What a frame among others in one read costs beside its bytes: a small one is work too."""

LEAST_BURST: Final = 1024 * 1024
"""The least `burst` to choose: some seconds of a microphone, which is looked at as often."""

FRAMES_PER_SECOND: Final = 1000
"""Twenty times what a microphone sends in pieces of 20 ms."""

FLOOD_SECONDS: Final = 10.0
"""Seconds of more frames than that which end a connection."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How fast one end may send: `burst` bytes at once, then `bytes_per_second`."""

    burst: int
    bytes_per_second: float = BYTES_PER_SECOND


class TokenBucket:
    """Bytes that may be read. Every `now` is in seconds of one clock."""

    __slots__ = ("_at", "_limits", "_tokens")

    def __init__(self, limits: RateLimits, now: float) -> None:
        self._limits = limits
        self._tokens = float(limits.burst)
        self._at = now

    def take(self, amount: int, now: float) -> float:
        """Take so many bytes, had or not; returns the seconds to wait until they are paid back.

        The debt is no more than a burst: a fast network can bring much before it is looked at.
        """
        limits = self._limits
        earned = (now - self._at) * limits.bytes_per_second
        self._tokens = max(min(limits.burst, self._tokens + earned) - amount, -limits.burst)
        self._at = now
        return max(0.0, -self._tokens / limits.bytes_per_second)


class FrameRate:
    """Tells a flood of frames from a burst. Every `now` is in seconds of one clock."""

    __slots__ = ("_at", "_calm_at", "_frames")

    def __init__(self, now: float) -> None:
        self._at = now
        self._calm_at = now
        self._frames = 0

    def is_flood(self, frames: int, now: float) -> bool:
        """Note how many frames have come in all; True once it was too many for `FLOOD_SECONDS`.

        It has to be asked about once a second: too many means more than `FRAMES_PER_SECOND` on
        average since the call before.
        """
        if frames - self._frames <= (now - self._at) * FRAMES_PER_SECOND:
            self._calm_at = now
        self._frames = frames
        self._at = now
        return now - self._calm_at >= FLOOD_SECONDS
