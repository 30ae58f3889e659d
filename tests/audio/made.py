"""Audio as clients send it: a tone of 440 Hz in many formats, written by PyAV and soundfile."""

import io
from typing import Any, Final

import av
import numpy as np
import soundfile

RATE: Final = 48_000
SECONDS: Final = 2.0


def tone(rate: int = RATE, seconds: float = SECONDS) -> Any:
    """The tone as PCM16 samples."""
    at = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * 440 * at) * 12_000).astype("<i2")


def encoded(container: str, codec: str, rate: int = RATE, **options: str) -> bytes:
    """The tone in this container, as `webm` with `libopus`."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone(rate).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 960
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                output.mux(packet)
    return file.getvalue()


def wav(rate: int = RATE, subtype: str = "PCM_16", channels: int = 1, kind: str = "WAV") -> bytes:
    """The tone as WAV."""
    file = io.BytesIO()
    samples = np.repeat(tone(rate).reshape(-1, 1), channels, axis=1)
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def silence(rate: int, channels: int, seconds: int) -> bytes:
    """Silence as FLAC, which packs it very small."""
    file = io.BytesIO()
    second = np.zeros((rate, channels), "<i2")
    with soundfile.SoundFile(file, "w", rate, channels, "PCM_16", format="FLAC") as output:
        for _ in range(seconds):
            output.write(second)
    return file.getvalue()


def pitch(pcm: bytes) -> int:
    """The loudest frequency of PCM16 at 24 kHz, in Hz."""
    samples = np.frombuffer(pcm, "<i2")[2_400:26_400]
    return int(np.abs(np.fft.rfft(samples)).argmax())
