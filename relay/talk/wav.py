"""WAV files as PCM16 mono at 24 kHz, and back."""

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


class BadWav(Exception):  # noqa: N818 - it is about the file, and told in one line
    """The file cannot be spoken; the text says why and what to do."""


def read_wav(path: Path) -> bytes:
    """The file's sound as PCM16 little endian mono 24 kHz; raises BadWav."""
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
        raise BadWav(f"{path}: not a PCM WAV file ({error}); {make}") from None
    pcm = to_bytes(resample(mix(samples(data, width), channels), rate))
    if not pcm:
        raise BadWav(f"{path}: there is no sound in it")
    return pcm


def samples(data: bytes, width: int) -> Samples:
    """Whatever the sample width (1 to 4 bytes), as 16-bit samples."""
    if width == 1:  # unsigned by definition
        return array("h", ((byte - 128) << 8 for byte in data))
    out = array("h")
    # the two most significant bytes of every sample
    out.frombytes(
        bytes(
            b
            for i in range(0, len(data) - width + 1, width)
            for b in data[i + width - 2 : i + width]
        )
        if width > 2
        else data[: len(data) // 2 * 2]
    )
    if sys.byteorder == "big":
        out.byteswap()
    return out


def mix(mixed: Samples, channels: int) -> Samples:
    """All channels as one."""
    if channels == 1:
        return mixed
    usable = len(mixed) // channels * channels
    return array(
        "h", (sum(mixed[i : i + channels]) // channels for i in range(0, usable, channels))
    )


def resample(given: Samples, rate: int) -> Samples:
    """At 24 kHz: by soxr where it is installed, else by straight lines between samples."""
    if rate == RATE or not given:
        return given
    try:
        import numpy as np  # noqa: PLC0415 - comes with the `voice` extra
        import soxr  # noqa: PLC0415
    except ImportError:
        return _by_lines(given, rate)
    return array("h", soxr.resample(np.asarray(given, dtype=np.int16), rate, RATE).tobytes())


def _by_lines(given: Samples, rate: int) -> Samples:
    count, last = len(given) * RATE // rate, len(given) - 1
    out = array("h", bytes(2 * count))
    for i in range(count):
        at, rest = divmod(i * rate, RATE)
        here, there = given[min(at, last)], given[min(at + 1, last)]
        out[i] = here + (there - here) * rest // RATE
    return out


def to_bytes(given: Samples) -> bytes:
    """Little endian, whatever the machine."""
    if sys.byteorder == "big":
        given = array("h", given)
        given.byteswap()
    return given.tobytes()


def write_wav(path: Path, pcm: bytes) -> None:
    """PCM16 mono 24 kHz as a WAV file; raises OSError."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
