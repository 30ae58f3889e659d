"""Sounds and an ear in plain Python, for the voices that need no packages."""

import math
from array import array

from relay.engines.offline.parts import SAMPLE_RATE, SpeechStarted, SpeechStopped

MS_PER_CHARACTER = 60
"""How long a tone lasts for each character of the text that it stands for: about as speech does."""

LOUD = 500
"""The peak (of 32767) above which a frame counts as a voice: a quiet room is below it."""

LEAST_VOICE_MS = 60
"""A sound must last that long to begin a turn."""

_FRAME_MS = 20
_FRAME_BYTES = SAMPLE_RATE * 2 * _FRAME_MS // 1000
_EVERY = 4  # only every fourth sample is looked at: the peak of a voice shows there too
_HERTZ = 440.0
_AMPLITUDE = 6000


def tone(ms: int, hertz: float = _HERTZ) -> bytes:
    """Return a tone as PCM16, 24 kHz."""
    period = round(SAMPLE_RATE / hertz)
    turn = 2 * math.pi / period
    wave = array("h", (round(_AMPLITUDE * math.sin(i * turn)) for i in range(period)))
    count = SAMPLE_RATE * ms // 1000
    return (wave * (count // period + 1))[:count].tobytes()


def silence(ms: int) -> bytes:
    """Return silence as PCM16, 24 kHz."""
    return bytes(SAMPLE_RATE * ms // 1000 * 2)


class ToneMouth:
    """A mouth whose voice is a tone that lasts as long as the text would take to say."""

    async def speak(self, text: str, voice: str) -> bytes:
        """Return the tone for `text`; all voices sound alike."""
        return tone(len(text) * MS_PER_CHARACTER)

    async def aclose(self) -> None:
        """Let go of nothing."""


class LoudnessEar:
    """An ear that takes loud for speech: right for tones and quiet rooms, and for little else."""

    def __init__(self) -> None:
        self.silence_ms = 500
        self._rest = b""
        self._heard_ms = 0
        self._voice_ms = 0
        self._quiet_ms = 0
        self._speaking = False

    def hear(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take the next piece of audio; return what it made certain."""
        audio = self._rest + pcm
        whole = len(audio) // _FRAME_BYTES * _FRAME_BYTES
        self._rest = audio[whole:]
        samples = memoryview(audio)[:whole].cast("h")
        size = _FRAME_BYTES // 2
        happened: list[SpeechStarted | SpeechStopped] = []
        for start in range(0, whole // 2, size):
            happened += self._frame(max(samples[start : start + size : _EVERY]) > LOUD)
        return happened

    def reset(self) -> None:
        """Forget an open turn."""
        self._speaking = False
        self._voice_ms = self._quiet_ms = 0

    def _frame(self, loud: bool) -> list[SpeechStarted | SpeechStopped]:
        self._heard_ms += _FRAME_MS
        self._voice_ms = self._voice_ms + _FRAME_MS if loud else 0
        self._quiet_ms = 0 if loud else self._quiet_ms + _FRAME_MS
        if not self._speaking and self._voice_ms >= LEAST_VOICE_MS:
            self._speaking = True
            return [SpeechStarted(self._heard_ms - self._voice_ms)]
        if self._speaking and self._quiet_ms >= max(self.silence_ms, _FRAME_MS):
            self._speaking = False
            return [SpeechStopped(self._heard_ms - self._quiet_ms)]
        return []
