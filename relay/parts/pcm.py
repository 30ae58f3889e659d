"""Turns PCM16 into what providers take, and what they send into whole samples."""

import asyncio
import math
import struct
import sys
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from operator import mul
from typing import Final

from relay.parts.interfaces import SAMPLE_RATE

PIECE_TRIPLES: Final = 800
"""Three samples each, 100 ms: what is resampled before the event loop has its turn again."""
_TAPS: Final = 12  # samples around an output sample that it is made of
_CUTOFF: Final = 7_200.0  # Hz; a voice has little above it, and 16 kHz hold nothing above 8 kHz


def as_wav(pcm: bytes, rate: int = SAMPLE_RATE) -> bytes:
    """Return PCM16, mono, as a WAV file."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    data = struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data


async def whole_samples(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the bytes of PCM16 in whole samples; half a sample at the end is dropped."""
    odd = b""
    async with aclosing(chunks):
        async for chunk in chunks:
            joined = odd + chunk
            whole = len(joined) & ~1
            odd = joined[whole:]
            if whole:
                yield joined[:whole]


async def at_16khz(pcm: bytes) -> bytes:
    """Return PCM16 of 24 kHz at 16 kHz.

    In plain Python, as numpy is no dependency of the relay: some 30 ms of work a second of
    speech, in steps of 3 ms between which the event loop goes on.
    """
    samples = array("h", pcm[: len(pcm) & ~1])
    if sys.byteorder == "big":
        samples.byteswap()
    count = len(samples) // 3
    half = _TAPS // 2
    around = array("h", bytes(2 * half)) + samples + array("h", bytes(2 * half))
    resampled = array("h")
    for start in range(0, count, PIECE_TRIPLES):
        resampled.extend(_resample(around, start, min(start + PIECE_TRIPLES, count)))
        await asyncio.sleep(0)
    if sys.byteorder == "big":
        resampled.byteswap()
    return resampled.tobytes()


def _resample(around: "array[int]", start: int, end: int) -> list[int]:
    """Two samples for each three from `start` to `end`: one upon a sample, one between two."""
    upon, between = _kernel(0.0), _kernel(0.5)
    made: list[int] = []
    for triple in range(start, end):
        first = triple * 3
        made.append(_clipped(sum(map(mul, upon, around[first : first + _TAPS]))))
        made.append(_clipped(sum(map(mul, between, around[first + 1 : first + 1 + _TAPS]))))
    return made


def _clipped(value: float) -> int:
    return max(-32768, min(32767, round(value)))


@cache
def _kernel(fraction: float) -> tuple[float, ...]:
    """Return the weights of a windowed low pass for a point after its middle sample."""
    half = _TAPS // 2
    weights = []
    for place in range(_TAPS):
        distance = place - half - fraction
        angle = 2 * math.pi * _CUTOFF / SAMPLE_RATE * distance
        low_pass = 1.0 if angle == 0 else math.sin(angle) / angle
        window = 0.5 + 0.5 * math.cos(math.pi * distance / (half + 1))
        weights.append(low_pass * window)
    whole = sum(weights)
    return tuple(weight / whole for weight in weights)
