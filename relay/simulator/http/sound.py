"""Reads sound files as PCM16 mono at 24 kHz, and writes sound in the formats of the speech API.

WAV needs nothing; the other formats need the `av` package, which the extra `codecs` brings.
"""

import asyncio
import importlib.util
import io
import struct
import sys
import wave
from array import array
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Literal

from relay.parts.interfaces import SAMPLE_RATE

MAX_SECONDS = 1500.0
"""The longest sound that is transcribed, as OpenAI has it."""

MAX_PCM_BYTES = int(MAX_SECONDS * SAMPLE_RATE * 2)

CONTAINERS = "wav,mp3,ogg,matroska,webm,mov,mp4,m4a,flac,aac,mpeg"
"""What `av` may take a file for: none of them names other files or addresses to open."""

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]

MEDIA_TYPES: dict[SpeechFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}

_ENCODERS: dict[str, tuple[str, str, int]] = {  # the container, the codec and its rate in Hz
    "mp3": ("mp3", "libmp3lame", SAMPLE_RATE),
    "opus": ("ogg", "libopus", 48_000),
    "aac": ("adts", "aac", SAMPLE_RATE),
    "flac": ("flac", "flac", SAMPLE_RATE),
}
_UNKNOWN_SIZE = 0xFFFFFFFF  # of a WAV that is still being made


class BadSound(Exception):  # noqa: N818 - the file's fault, told to the client
    """A file cannot be read as sound; the text says why."""


def has_codecs() -> bool:
    """Return whether formats other than WAV can be read and written here."""
    return importlib.util.find_spec("av") is not None


def decode(data: bytes) -> bytes:
    """Return a sound file's PCM; blocks for as long as it takes. Raises `BadSound`."""
    pcm = _read_wav(data) if data[:4] == b"RIFF" else None
    if pcm is None and not has_codecs():
        raise BadSound("Only WAV files of 16-bit PCM can be read without the `av` package.")
    if pcm is None:
        pcm = _read_any(data)
    if len(pcm) > MAX_PCM_BYTES:
        raise BadSound(f"The sound is longer than {MAX_SECONDS:.0f} seconds.")
    return pcm


async def encode(kind: SpeechFormat, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield a stream of PCM in another format, as it comes."""
    if kind in _ENCODERS:
        encoder = _Encoder(*_ENCODERS[kind])
        async for piece in pieces:
            yield await asyncio.to_thread(encoder.write, piece)
        yield await asyncio.to_thread(encoder.finish)
        return
    head = wav_head() if kind == "wav" else b""
    async for piece in pieces:
        yield head + piece  # not alone: what fails before the first sound is an error answer
        head = b""
    yield head


def wav_head() -> bytes:
    """Return the head of a WAV file of unknown length."""
    layout = (1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16)  # PCM, mono, …, 16 bits
    form = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_SIZE, b"WAVE")
    format_ = struct.pack("<4sIHHIIHH", b"fmt ", 16, *layout)
    return form + format_ + struct.pack("<4sI", b"data", _UNKNOWN_SIZE)


def _read_wav(data: bytes) -> bytes | None:
    """Return the PCM of a plain WAV file, None for one that takes a real decoder."""
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError):
        return None
    if width != 2 or ((rate, channels) != (SAMPLE_RATE, 1) and has_codecs()):
        return None
    return _convert(raw, rate, channels)


def _convert(raw: bytes, rate: int, channels: int) -> bytes:
    """Return samples as mono at 24 kHz, between two of them on a straight line."""
    frame = 2 * channels
    if (rate, channels) == (SAMPLE_RATE, 1):
        return raw[: len(raw) // frame * frame]
    samples = array("h", raw[: len(raw) // frame * frame])
    if sys.byteorder == "big":
        samples.byteswap()
    mono = [sum(samples[i : i + channels]) // channels for i in range(0, len(samples), channels)]
    count = min(len(mono) * SAMPLE_RATE // rate, MAX_PCM_BYTES)  # too long is refused later
    out = array("h", bytes(2 * count))
    for i in range(count):
        at, rest = divmod(i * rate, SAMPLE_RATE)
        here, there = mono[at], mono[min(at + 1, len(mono) - 1)]
        out[i] = here + (there - here) * rest // SAMPLE_RATE
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


def _read_any(data: bytes) -> bytes:
    import av  # noqa: PLC0415 - an extra's, and heavy

    pcm = bytearray()
    only = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    try:
        with av.open(io.BytesIO(data), "r", container_options=only) as file:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            for frame in file.decode(audio=0):
                for made in resampler.resample(frame):
                    pcm += bytes(made.planes[0])[: made.samples * 2]
                if len(pcm) > MAX_PCM_BYTES:
                    break
            for made in resampler.resample(None):
                pcm += bytes(made.planes[0])[: made.samples * 2]
    except (av.FFmpegError, ValueError, IndexError):
        raise BadSound("The file cannot be read as sound.") from None
    return bytes(pcm)


class _Sink:
    """What the encoder writes to: a file that cannot go back."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _Encoder:
    """Encodes one stream of PCM with `av`; a second of sound takes a few milliseconds."""

    def __init__(self, container: str, codec: str, rate: int) -> None:
        import av  # noqa: PLC0415

        self._av: Any = av
        self._sink = _Sink()
        self._file = av.open(self._sink, "w", format=container)
        self._stream: Any = self._file.add_stream(codec, rate=rate, layout="mono")
        self._samples = 0

    def write(self, pcm: bytes) -> bytes:
        """Return what is ready after this piece, which may be nothing yet."""
        frame = self._av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate = SAMPLE_RATE
        frame.pts = self._samples
        self._samples += frame.samples
        self._file.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        """Return the rest."""
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._sink.take()
