"""Reads WAV files as PCM16 mono at 24 kHz, and writes them."""

from __future__ import annotations

import sys
import wave
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    Samples = array[int]

RATE: Final = 24_000  # Hz, the only rate of `audio/pcm` (PROTOCOL §2)
MAX_SECONDS: Final = 600.0


class BadWav(Exception):  # noqa: N818 - the file's fault, reported in one line
    """The file cannot be used; the text says why and what to do."""


def read_wav(path: Path) -> bytes:
    """The file's audio as PCM16 little endian mono 24 kHz; raises BadWav."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if file.getnframes() > MAX_SECONDS * rate:
                raise BadWav(f"{path}: longer than {MAX_SECONDS:.0f} s")
            data = file.readframes(file.getnframes())
    except FileNotFoundError:
        raise BadWav(f"{path}: no such file") from None
    except (wave.Error, EOFError, OSError) as error:
        make = f"`ffmpeg -i {path} -c:a pcm_s16le plain.wav` makes one"
        why = f" ({error})" if str(error) else ""
        raise BadWav(f"{path}: not a PCM WAV file{why}; {make}") from None
    pcm = _to_bytes(_resample(_mix(_samples(data, width), channels), rate))
    if not pcm:
        raise BadWav(f"{path}: there is no sound in it")
    return pcm


def write_wav(path: Path, pcm: bytes) -> None:
    """PCM16 mono 24 kHz as a WAV file; raises OSError."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)


def _samples(data: bytes, width: int) -> Samples:
    """Samples of 1 to 4 bytes as 16-bit samples."""
    if width == 1:  # unsigned by definition
        return array("h", ((byte - 128) << 8 for byte in data))
    if width > 2:  # the two most significant bytes of every sample
        ends = range(width, len(data) + 1, width)
        data = b"".join(data[end - 2 : end] for end in ends)
    out = array("h")
    out.frombytes(data[: len(data) // 2 * 2])
    if sys.byteorder == "big":
        out.byteswap()
    return out


def _mix(interleaved: Samples, channels: int) -> Samples:
    """The mean of all channels."""
    if channels == 1:
        return interleaved
    usable = len(interleaved) // channels * channels
    return array(
        "h", (sum(interleaved[i : i + channels]) // channels for i in range(0, usable, channels))
    )


def _resample(samples: Samples, rate: int) -> Samples:
    """Resample to 24 kHz: by soxr where it is installed, else by linear interpolation."""
    if rate == RATE or not samples:
        return samples
    try:
        import numpy as np  # noqa: PLC0415 - comes with the `voice` extra
        import soxr  # noqa: PLC0415
    except ImportError:
        return _interpolate(samples, rate)
    return array("h", soxr.resample(np.asarray(samples, dtype=np.int16), rate, RATE).tobytes())


def _interpolate(samples: Samples, rate: int) -> Samples:
    count, last = len(samples) * RATE // rate, len(samples) - 1
    out = array("h", bytes(2 * count))
    for i in range(count):
        at, rest = divmod(i * rate, RATE)
        here, there = samples[min(at, last)], samples[min(at + 1, last)]
        out[i] = here + (there - here) * rest // RATE
    return out


def _to_bytes(samples: Samples) -> bytes:
    """The samples in little endian, on any machine."""
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    return samples.tobytes()
