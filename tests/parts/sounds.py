"""Sounds that are no speech: silence, noise, music, knocks; PCM16 at 24 kHz."""

import functools
import subprocess

import numpy as np
import numpy.typing as npt

from relay.parts.interfaces import SAMPLE_RATE
from tests.components import require

SECOND = SAMPLE_RATE * 2  # bytes
Signal = npt.NDArray[np.float64]


def silence(seconds: float) -> bytes:
    return bytes(int(seconds * SAMPLE_RATE) * 2)


def pcm16(signal: Signal, level: float) -> bytes:
    """A signal whose root mean square becomes `level`."""
    signal = signal * level / signal.std()
    return signal.clip(-32768, 32767).astype("<i2").tobytes()


def noise(kind: str, seconds: float, level: float) -> bytes:
    """Steady noise: `white`, `pink` or `hum`."""
    count = int(seconds * SAMPLE_RATE)
    samples = np.random.default_rng(7).standard_normal(count)
    if kind == "pink":
        spectrum = np.fft.rfft(samples)
        samples = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), count)
    if kind == "hum":
        samples = np.sin(np.arange(count) * 2 * np.pi * 50 / SAMPLE_RATE)
    return pcm16(samples, level)


def music(kind: str, seconds: float, level: float = 3000) -> bytes:
    """A piece at 120 beats a minute: `chords` of an organ, `drums`, or `both`."""
    count = int(seconds * SAMPLE_RATE)
    piece = np.zeros(count)
    if kind != "drums":
        piece += _chords(count)
    if kind != "chords":
        piece += _drums(count)
    return pcm16(piece, level)


def _chords(count: int) -> Signal:
    time = np.arange(count) / SAMPLE_RATE
    chord = (time // 1.0).astype(int) % 4
    roots = np.array([261.6, 220.0, 174.6, 196.0])[chord]  # C, a, F, G
    notes = [
        np.sin(2 * np.pi * roots * r * k * time) / k for r in (1, 1.25, 1.5) for k in (1, 2, 3)
    ]
    return np.asarray(np.sum(notes, axis=0) * np.exp(-2 * (time % 1.0)))


def _drums(count: int) -> Signal:
    time = np.arange(count) / SAMPLE_RATE
    beat = time % 0.5
    drum = np.sin(2 * np.pi * 60 * beat) * np.exp(-12 * beat)
    hat = np.random.default_rng(3).standard_normal(count) * np.exp(-60 * (time % 0.25))
    return np.asarray(3 * drum + hat)


def mix(one: bytes, other: bytes) -> bytes:
    """Two sounds at once, for as long as the first lasts."""
    both = np.frombuffer(one, "<i2").astype(int) + np.frombuffer(other[: len(one)], "<i2")
    return bytes(both.clip(-32768, 32767).astype("<i2").tobytes())


def short(kind: str) -> bytes:
    """One short sound: a `click`, a `knock` or a `cough`."""
    if kind == "click":
        return pcm16(np.r_[np.ones(24), -np.ones(24)], 15000)
    time = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    if kind == "knock":
        return pcm16(np.sin(2 * np.pi * 150 * time) * np.exp(-40 * time), 5000)
    burst = np.random.default_rng(5).standard_normal(len(time))
    return pcm16(np.convolve(burst, np.ones(8) / 8, "same") * np.exp(-15 * time), 4000)


def recorded_music() -> list[str]:
    return sorted(path.stem for path in require("music_recordings").glob("*.g722"))


@functools.cache
def music_on_hold(name: str) -> bytes:
    path = require("music_recordings") / f"{name}.g722"
    return decoded(str(path))


def decoded(path: str) -> bytes:
    """A G.722 recording as PCM16 at 24 kHz."""
    read = ["-nostdin", "-v", "error", "-f", "g722", "-i", path]
    write = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-"]
    command = [str(require("ffmpeg")), *read, *write]
    return subprocess.run(command, check=True, capture_output=True).stdout
