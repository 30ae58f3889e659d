"""Looks for a voice in a client's audio, for a moment, while the engine says nothing."""

from collections.abc import Callable
from typing import Final

from relay.interfaces import Frame
from relay.parts.interfaces import SpeechStarted
from relay.parts.simple import LOUD, LoudnessDetector
from relay.realtime.events import PCM, audio_bytes
from relay.realtime.g711 import to_pcm

LOOK_BYTES: Final = 100 * 48
"""PCM16 at 24 kHz that is looked at once there is a sound, 0.1 s: a voice shows in 60 ms of it. In
silence the first frame is enough, or looking would cost what open microphones cannot pay."""
_EVERY: Final = 8  # samples of which one is looked at for a sound: its peak shows there too


class VoiceProbe:
    """Takes frames of a client's audio until it has found a voice or looked at enough of them.

    `form` is their format, one of the API's.
    It takes any loud sound for a voice: a mistake costs one ping. `found` is called for a voice,
    and `done` before that, or when there is none.
    """

    def __init__(
        self, found: Callable[[], None], done: Callable[[], None], form: str = PCM
    ) -> None:
        self._form = form
        self._found = found
        self._done = done
        self._detector: LoudnessDetector | None = None  # once there is a sound
        self._left = LOOK_BYTES

    def learner(self, frame: Frame) -> None:
        """Take one frame of the client's audio."""
        pcm = to_pcm(self._form, audio_bytes(frame), LOOK_BYTES)
        if self._detector is None:
            if not _has_sound(pcm):
                self._done()
                return
            self._detector = LoudnessDetector()
        self._left -= len(pcm)
        has_voice = any(isinstance(one, SpeechStarted) for one in self._detector.detect(pcm))
        if has_voice or self._left <= 0:
            self._done()
        if has_voice:
            self._found()


def _has_sound(pcm: bytes) -> bool:
    samples = memoryview(pcm)[: len(pcm) & ~1].cast("h")
    return max(samples[::_EVERY], default=0) > LOUD
