"""The process that decodes: libsndfile reads all but WebM, whose packets it is given as Ogg."""

import io
import json
import resource
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
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
MEMORY: Final = 512 * 1024 * 1024
"""Bytes of address space beyond what the libraries take: the bounds of the input several times."""
RATES: Final = range(8_000, 96_001)
MAX_CHANNELS: Final = 8
BLOCK: Final = 65_536
"""Frames that are decoded at a time: a request may be cancelled between two blocks."""
REPLY_BYTES: Final = 256 * 1024
PCM_TYPES: Final = {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32"}
"""By bits; 8 are unsigned, as in WAV."""

Samples = np.ndarray[Any, np.dtype[np.float32]]


def load(_arguments: Sequence[str]) -> tuple[Work, Mapping[str, str]]:
    """Bound the memory, and name the library."""
    if sys.platform == "linux":  # macOS maps more than it can be told to allow
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    return work, {"library": soundfile.__libsndfile_version__}


def work(request: bytes, cancelled: Callable[[], bool]) -> Generator[bytes, None, None]:
    """Do one request (`relay.audio.decoding`)."""
    head, data = unpack(request)
    what = json.loads(head)
    reply = as_mp3(data) if what["do"] == "encode" else decode(data, what["pcm"], cancelled)
    for start in range(0, len(reply), REPLY_BYTES):
        yield reply[start : start + REPLY_BYTES]


def as_mp3(pcm: bytes) -> bytes:
    """Return PCM16 mono 24 kHz as MP3."""
    file = io.BytesIO()
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    soundfile.write(file, samples, SAMPLE_RATE, format="MP3")
    return file.getvalue()


def decode(
    data: bytes, pcm: Mapping[str, int] | None, cancelled: Callable[[], bool] = lambda: False
) -> bytes:
    """Return audio as PCM16 mono 24 kHz; raises `PartFailed` (`rejected`, with the reason)."""
    try:
        with _opened(data, pcm) as file:
            if file.samplerate not in RATES or file.channels > MAX_CHANNELS:
                _reject("unsupported")
            heard = b"".join(_resampled(_blocks(file, cancelled), file.samplerate))
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError):
        _reject("undecodable")
    if not heard and not cancelled():
        _reject("empty")
    return heard


def _opened(data: bytes, pcm: Mapping[str, int] | None) -> soundfile.SoundFile:
    if is_wav(data):
        return soundfile.SoundFile(io.BytesIO(with_length(data)))
    if pcm is not None:
        return _headerless(data, pcm)
    return soundfile.SoundFile(io.BytesIO(_from_webm(data) if is_webm(data) else _known(data)))


def _headerless(data: bytes, pcm: Mapping[str, int]) -> soundfile.SoundFile:
    rate, channels, bits = pcm["sample_rate"], pcm["channels"], pcm["bits_per_sample"]
    if rate not in RATES or not 1 <= channels <= MAX_CHANNELS or bits not in PCM_TYPES:
        _reject("unsupported")
    return soundfile.SoundFile(
        *(io.BytesIO(data), "r", rate, channels, PCM_TYPES[bits]), endian="LITTLE", format="RAW"
    )


def _blocks(file: soundfile.SoundFile, cancelled: Callable[[], bool]) -> Iterator[Samples]:
    """The audio mixed to one channel, a block at a time; raises `PartFailed` (`too_long`)."""
    left = file.samplerate * MAX_SECONDS
    while not cancelled():
        samples: Samples = file.read(BLOCK, dtype="float32", always_2d=True)
        left -= len(samples)
        if not len(samples):
            return
        if left < 0:
            _reject("too_long")
        mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
        yield np.clip(np.nan_to_num(mono), -1.0, 1.0)


def _resampled(blocks: Iterator[Samples], rate: int) -> Iterator[bytes]:
    """The audio as PCM16 at 24 kHz; at that rate already, no sample is changed."""
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    for block in blocks:
        yield _pcm16(block if rate == SAMPLE_RATE else resampler.resample_chunk(block))
    if rate != SAMPLE_RATE:
        yield _pcm16(resampler.resample_chunk(np.zeros(0, np.float32), last=True))


def _pcm16(samples: Samples) -> bytes:
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()


def _from_webm(data: bytes) -> bytes:
    try:
        return ogg_of(data)
    except NotWebm:
        return _reject("undecodable")


def _known(data: bytes) -> bytes:
    """The data, if it begins like a format that is read; raises `PartFailed`."""
    sync = int.from_bytes(data[:2])
    is_aac = sync & 0xFFF6 == 0xFFF0  # an MPEG frame of layer 0, which is ADTS
    is_mp3 = data[:3] == b"ID3" or (sync & 0xFFE0 == 0xFFE0 and len(data) > 1 and not is_aac)
    if is_mp3 or data[:4] in (b"OggS", b"fLaC", b"FORM", b".snd"):
        return data
    if data[4:8] == b"ftyp" or is_aac:
        _reject("unsupported")
    return _reject("undecodable")


def _reject(reason: str) -> NoReturn:
    raise PartFailed("decoder", "rejected", reason)


if __name__ == "__main__":
    run_worker(load)
