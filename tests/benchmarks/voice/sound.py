"""Where a recording's voice ends, and when a listener hears an answer's first sound.

Also runs in the peers' own environments: it needs numpy and nothing of the relay.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

WINDOW: Final = 0.01
"""Seconds over which loudness is taken."""
VOICED: Final = 0.02
"""A window belongs to the voice from this part of the recording's loudest one: -34 dB."""
AUDIBLE: Final = 328.0
"""RMS from which a listener hears something: 1 % of full scale, far above idle noise."""


def loudness(pcm: bytes, rate: int) -> npt.NDArray[np.float64]:
    """RMS of each whole window of PCM16, mono."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    size = int(rate * WINDOW)
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    levels: npt.NDArray[np.float64] = np.sqrt((windows**2).mean(axis=1))
    return levels


def voice_end(pcm: bytes, rate: int) -> float:
    """Seconds from the recording's beginning to its last voiced sample."""
    levels = loudness(pcm, rate)
    return float(np.flatnonzero(levels >= levels.max() * VOICED)[-1] + 1) * WINDOW


def longest_pause(pcm: bytes, rate: int) -> float:
    """Seconds between two voiced windows, at the most."""
    levels = loudness(pcm, rate)
    voiced = np.flatnonzero(levels >= levels.max() * VOICED)
    return float(np.diff(voiced).max(initial=1) - 1) * WINDOW


class Playback:
    """Plays what arrives as a sound card does: at once, or behind what is still playing.

    Times are seconds of one clock; `first_sound` is when the first audible window began to play,
    `ends_at` when all that has arrived will have been played.
    """

    def __init__(self) -> None:
        self.first_sound: float | None = None
        self.ends_at = 0.0
        self._rest = b""

    def play(self, pcm: bytes, rate: int, now: float) -> None:
        """Take audio that arrived just now."""
        if now > self.ends_at:
            self.ends_at, self._rest = now, b""
        begins = self.ends_at - len(self._rest) / 2 / rate
        self.ends_at += len(pcm) / 2 / rate
        if self.first_sound is not None:
            return
        heard = self._rest + pcm
        audible = np.flatnonzero(loudness(heard, rate) >= AUDIBLE)
        if len(audible):
            self.first_sound = begins + float(audible[0]) * WINDOW
        window = int(rate * WINDOW) * 2
        self._rest = heard[len(heard) // window * window :]

    def stop(self, now: float) -> None:
        """Drop what has not been played yet."""
        self.ends_at, self._rest = min(self.ends_at, now), b""
