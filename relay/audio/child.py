"""The process that decodes: libsndfile reads all but WebM, whose packets it is given as Ogg."""

import io
import json
import resource
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
import soundfile
import soxr

from relay.audio.wav import is_wav, with_length
from relay.audio.webm import NotWebm, is_webm, ogg_of
from relay.parts.interfaces import SAMPLE_RATE, PartFailed
from relay.parts.worker_process import Work, run_worker, unpack

MAX_SECONDS: Final = 600
"""Of audio in one request."""
MEMORY: Final = 1536 * 1024 * 1024
"""Bytes of address space: ten minutes of stereo at 96 kHz as floats take 460 MB."""
RATES: Final = range(8_000, 96_001)
MAX_CHANNELS: Final = 8
REPLY_BYTES: Final = 256 * 1024

Samples = np.ndarray[Any, np.dtype[np.float32]]


def load(_arguments: Sequence[str]) -> tuple[Work, Mapping[str, str]]:
    """Bound the memory, and name the library."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    return work, {"library": soundfile.__libsndfile_version__}


def work(request: bytes, _cancelled: Callable[[], bool]) -> Generator[bytes, None, None]:
    """Do one request (`relay.audio.decoding`)."""
    head, data = unpack(request)
    what = json.loads(head)
    reply = as_mp3(data) if what["do"] == "encode" else decode(data, what["pcm"])
    for start in range(0, len(reply), REPLY_BYTES):
        yield reply[start : start + REPLY_BYTES]


def as_mp3(pcm: bytes) -> bytes:
    """Return PCM16 mono 24 kHz as MP3."""
    file = io.BytesIO()
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    soundfile.write(file, samples, SAMPLE_RATE, format="MP3")
    return file.getvalue()


def decode(data: bytes, pcm: Mapping[str, int] | None) -> bytes:
    """Return audio as PCM16 mono 24 kHz; raises `PartFailed` (`rejected`, with the reason)."""
    if is_wav(data):
        samples, rate = _read(with_length(data))
    elif pcm is not None:
        samples, rate = _headerless(data, pcm)
    elif is_webm(data):
        samples, rate = _read(_from_webm(data))
    else:
        samples, rate = _read(_known(data))
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not len(mono):
        _reject("empty")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return (np.clip(np.nan_to_num(mono), -1.0, 1.0) * 32767).astype("<i2").tobytes()


def _read(data: bytes) -> tuple[Samples, int]:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = file.samplerate
            if rate not in RATES or file.channels > MAX_CHANNELS:
                _reject("unsupported")
            samples: Samples = file.read(rate * MAX_SECONDS + 1, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError):
        _reject("undecodable")
    if len(samples) > rate * MAX_SECONDS:
        _reject("too_long")
    return samples, rate


def _headerless(data: bytes, pcm: Mapping[str, int]) -> tuple[Samples, int]:
    rate, channels, bits = pcm["sample_rate"], pcm["channels"], pcm["bits_per_sample"]
    width = bits // 8
    if rate not in RATES or not 1 <= channels <= MAX_CHANNELS or bits not in (8, 16, 24, 32):
        _reject("unsupported")
    frames = len(data) // (width * channels)
    if frames > rate * MAX_SECONDS:
        _reject("too_long")
    whole = data[: frames * width * channels]
    return _from_integers(whole, width).reshape(frames, channels), rate


def _from_integers(data: bytes, width: int) -> Samples:
    """PCM of this width in bytes as floats: 8 bits are unsigned, as in WAV."""
    if width == 1:
        unsigned: Samples = np.frombuffer(data, np.uint8).astype(np.float32)
        return unsigned / np.float32(128) - np.float32(1)
    if width == 3:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = padded.tobytes(), 4
    samples: Samples = np.frombuffer(data, f"<i{width}").astype(np.float32)
    return samples / np.float32(2 ** (8 * width - 1))


def _from_webm(data: bytes) -> bytes:
    try:
        return ogg_of(data)
    except NotWebm:
        return _reject("undecodable")


def _known(data: bytes) -> bytes:
    """The data, if it begins like a format that is read; raises `PartFailed`."""
    is_mp3 = data[:3] == b"ID3" or (data[0] == 0xFF and len(data) > 1 and data[1] & 0xE0 == 0xE0)
    if is_mp3 or data[:4] in (b"OggS", b"fLaC", b"FORM", b".snd"):
        return data
    if data[4:8] == b"ftyp":
        _reject("unsupported")
    return _reject("undecodable")


def _reject(reason: str) -> NoReturn:
    raise PartFailed("decoder", "rejected", reason)


if __name__ == "__main__":
    run_worker(load)
