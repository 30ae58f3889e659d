"""The speech detector of the offline voice: finds where a person begins and stops speaking."""

from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from pocketsphinx import Vad

from relay.parts.interfaces import SAMPLE_RATE, SpeechEvent, SpeechStarted, SpeechStopped

DETECTOR_RATE: Final = 16_000  # Hz; what the voice activity detector was made for
FRAME_MS: Final = 30  # the detector decides once per frame
FRAME_BYTES: Final = DETECTOR_RATE * FRAME_MS // 1000 * 2
WINDOW_FRAMES: Final = 8  # a decision rests on the last 240 ms
FRAMES_TO_START: Final = 6  # voiced frames among them that begin a turn: a click or a cough is less
FRAMES_TO_GO_ON: Final = 3  # voiced frames among them that keep a turn open
SHORTEST_SILENCE_MS: Final = 120  # shorter gaps are in the middle of words
USUAL_SILENCE_MS: Final = 500  # what today's realtime models wait before a turn is over

QUIETEST_VOICE: Final = 10.0  # see `_loudness`; ten times below a voice at the far end of a room
ABOVE_FLOOR: Final = 2.5  # how much louder (8 dB) than the quietest frame a voice must be
FLOOR_FRAMES: Final = 1500 // FRAME_MS  # speech has a quiet frame in any second and a half


class PocketsphinxDetector:
    """A `SpeechDetector` on the voice activity detector of pocketsphinx.

    It counts frames itself instead of using pocketsphinx's Endpointer, whose window both starts
    and ends a turn, so that a long silence would need a long first word, and whose clock is a sum
    of 32-bit floats. `silence_ms` counts in steps of 30 ms from 120 up, and may change during
    a turn.
    """

    def __init__(self, silence_ms: int = USUAL_SILENCE_MS) -> None:
        self.silence_ms = silence_ms
        self._resampler = soxr.ResampleStream(
            SAMPLE_RATE, DETECTOR_RATE, 1, dtype="int16", quality="LQ"
        )
        self._detector = Vad(
            mode=Vad.LOOSE, sample_rate=DETECTOR_RATE, frame_length=FRAME_MS / 1000
        )
        self._gate = NoiseGate()
        self._half_sample = b""
        self._pending = bytearray()
        self._now_ms = 0
        self.reset()

    def detect(self, pcm: bytes) -> list[SpeechEvent]:
        """Take the next piece of audio, of any length; return what it made certain, in order."""
        pcm = self._half_sample + pcm
        whole = len(pcm) & ~1
        self._half_sample = pcm[whole:]
        samples = np.frombuffer(pcm, dtype="<i2", count=whole // 2)
        self._pending += self._resampler.resample_chunk(samples).tobytes()
        events: list[SpeechEvent] = []
        start = 0
        while len(self._pending) - start >= FRAME_BYTES:
            event = self._detect_frame(bytes(self._pending[start : start + FRAME_BYTES]))
            start += FRAME_BYTES
            if event is not None:
                events.append(event)
        del self._pending[:start]
        return events

    def reset(self) -> None:
        """Forget an open turn; `at_ms` goes on counting."""
        self._voiced: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._voice_ended_ms: int | None = None  # None: no turn is open

    def _detect_frame(self, frame: bytes) -> SpeechStarted | SpeechStopped | None:
        voiced = bool(self._detector.is_speech(frame)) & self._gate.passes(frame)
        self._voiced.append(voiced)
        self._now_ms += FRAME_MS
        if self._voice_ended_ms is None:
            return self._start_if_voiced()
        if voiced and sum(self._voiced) >= FRAMES_TO_GO_ON:
            self._voice_ended_ms = self._now_ms
        quiet_ms = self._now_ms - self._voice_ended_ms
        if voiced or quiet_ms < max(self.silence_ms, SHORTEST_SILENCE_MS):
            return None  # a voiced frame may be the first of more: let the next ones tell
        stopped = SpeechStopped(self._voice_ended_ms)
        self.reset()
        return stopped

    def _start_if_voiced(self) -> SpeechStarted | None:
        if sum(self._voiced) < FRAMES_TO_START:
            return None
        frames_ago = len(self._voiced) - self._voiced.index(True)
        self._voice_ended_ms = self._now_ms
        return SpeechStarted(self._now_ms - frames_ago * FRAME_MS)


class NoiseGate:
    """Tells steady noise from anything that may be a voice.

    The detector takes loud steady noise for speech and never lets go of it. A voice rises and
    falls, so a frame passes only when it is well above the quietest one of the last second and
    a half. A noise that begins all at once still passes until that time is over.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=FLOOR_FRAMES)

    def passes(self, frame: bytes) -> bool:
        """Return whether one frame (PCM16) may hold a voice."""
        loudness = _loudness(frame)
        self._recent.append(loudness)
        return loudness > max(QUIETEST_VOICE, ABOVE_FLOOR * min(self._recent))


def _loudness(frame: bytes) -> float:
    """Return the root mean square of the steps between samples of PCM16.

    Steps weigh high sounds more than low ones, as ears do: hum and rumble hardly count.
    """
    samples: npt.NDArray[np.float32] = np.frombuffer(frame, dtype="<i2").astype(np.float32)
    steps = samples[1:] - samples[:-1]
    return float(np.sqrt(steps.dot(steps) / len(steps)))
