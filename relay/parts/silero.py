"""The speech detector of the local voice: finds turns with the Silero model of faster-whisper."""

import functools
import importlib.util
from collections import deque
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
import soxr

from relay.parts.interfaces import (
    SAMPLE_RATE,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
)

MODEL_PACKAGE: Final = "faster_whisper"  # never imported here: it would load CTranslate2
MODEL_FILE: Final = "assets/silero_vad_v6.onnx"
MODEL_RATE: Final = 16_000  # Hz
FRAME_SAMPLES: Final = 512  # 32 ms; the model gives one probability for each
CONTEXT_SAMPLES: Final = 64  # of the frame before, which the model also sees

VOICE: Final = 0.5  # probability from which a frame begins or resumes a voice
VOICE_ON: Final = 0.35  # probability from which a frame keeps up one that is there
FRAMES_TO_START: Final = 4  # voices among the last `START_WINDOW`: a click or a cough is less
START_WINDOW: Final = 6
FRAMES_TO_RESUME: Final = 2  # voices in a row that end a pause
PAUSE_MS: Final = 200  # of silence that are told as a pause; shorter gaps are within words
SHORTEST_SILENCE_MS: Final = 100  # least silence that ends a turn, whatever a client asks for
USUAL_SILENCE_MS: Final = 500  # what today's realtime models wait before a turn is over


class SileroDetector:
    """A `SpeechDetector` on Silero VAD 6: some 0.15 ms of work for 20 ms of sound.

    It decides in steps of 32 ms. `silence_ms` counts from 100 up; a turn that ends after less than
    200 ms of silence tells no pause.
    """

    def __init__(self, silence_ms: int = USUAL_SILENCE_MS) -> None:
        self.silence_ms = silence_ms
        self._model = _model()
        self._resampler = soxr.ResampleStream(
            SAMPLE_RATE, MODEL_RATE, 1, dtype="float32", quality="LQ"
        )
        self._half_sample = b""
        self._pending = np.zeros(CONTEXT_SAMPLES, np.float32)  # begins with the last frame's end
        self._memory = (np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32))
        self._samples = 0
        self.reset()

    def detect(self, pcm: bytes) -> list[SpeechEvent]:
        """Take the next piece of audio, of any length; return what it made certain, in order."""
        events = self._after_silence()  # `silence_ms` may have changed
        for probability in self._probabilities(pcm):
            self._samples += FRAME_SAMPLES
            events += self._frame(probability)
        return events

    def reset(self) -> None:
        """Forget an open turn; `at_ms` goes on counting."""
        self._voices: deque[bool] = deque(maxlen=START_WINDOW)
        self._voice_ended: int | None = None  # in samples; None: no turn is open
        self._is_paused = False

    def _probabilities(self, pcm: bytes) -> list[float]:
        """Return the model's probability of a voice for each frame that is now complete."""
        pcm = self._half_sample + pcm
        whole = len(pcm) & ~1
        self._half_sample = pcm[whole:]
        samples = np.frombuffer(pcm, "<i2", whole // 2).astype(np.float32) / 32768
        sound = np.concatenate((self._pending, self._resampler.resample_chunk(samples)))
        count = (len(sound) - CONTEXT_SAMPLES) // FRAME_SAMPLES
        self._pending = sound[count * FRAME_SAMPLES :]
        if count == 0:
            return []
        frames = np.lib.stride_tricks.sliding_window_view(sound, CONTEXT_SAMPLES + FRAME_SAMPLES)
        frames = frames[: count * FRAME_SAMPLES : FRAME_SAMPLES]
        return self._run(np.ascontiguousarray(frames))

    def _run(self, frames: npt.NDArray[np.float32]) -> list[float]:
        h, c = self._memory
        probabilities, h, c = self._model.run(None, {"input": frames, "h": h, "c": c})
        self._memory = (h, c)
        return [float(probability) for probability in probabilities]

    def _frame(self, probability: float) -> list[SpeechEvent]:
        self._voices.append(probability >= VOICE)
        if self._voice_ended is None:
            return self._start_if_voiced()
        if self._is_paused:
            return self._resume_if_voiced()
        if probability >= VOICE_ON:
            self._voice_ended = self._samples
            return []
        return self._after_silence()

    def _start_if_voiced(self) -> list[SpeechEvent]:
        if sum(self._voices) < FRAMES_TO_START or not self._voices[-1]:
            return []
        self._voice_ended = self._samples
        return [SpeechStarted(self._first_voice_ms())]

    def _resume_if_voiced(self) -> list[SpeechEvent]:
        if not self._voices[-1]:
            return self._after_silence()
        recent = list(self._voices)[-FRAMES_TO_RESUME:]
        if len(recent) < FRAMES_TO_RESUME or not all(recent):
            return []  # it may be the first of more
        self._voices = deque(recent, START_WINDOW)
        self._is_paused = False
        self._voice_ended = self._samples
        return [SpeechResumed(self._first_voice_ms())]

    def _first_voice_ms(self) -> int:
        frames = len(self._voices) - self._voices.index(True)
        return _ms(self._samples - frames * FRAME_SAMPLES)

    def _after_silence(self) -> list[SpeechEvent]:
        """Return the pause or the end that the silence until now makes certain."""
        if self._voice_ended is None or (self._voices and self._voices[-1]):
            return []  # a voiced frame may be the first of more: let the next one tell
        quiet_ms = _ms(self._samples - self._voice_ended)
        ended_ms = _ms(self._voice_ended)
        if quiet_ms >= max(self.silence_ms, SHORTEST_SILENCE_MS):
            self.reset()
            return [SpeechStopped(ended_ms)]
        if quiet_ms >= PAUSE_MS and not self._is_paused:
            self._is_paused = True
            self._voices.clear()
            return [SpeechPaused(ended_ms)]
        return []


def _ms(samples: int) -> int:
    return samples * 1000 // MODEL_RATE


@functools.cache
def _model() -> Any:
    """Return the loaded model, which all detectors share: their state is their own."""
    package = importlib.util.find_spec(MODEL_PACKAGE)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"no package {MODEL_PACKAGE}", name=MODEL_PACKAGE)
    file = Path(package.origin).parent / MODEL_FILE
    if not file.is_file():
        raise FileNotFoundError(f"no {file}")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1  # a thread costs more here
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(file), sess_options=options, providers=["CPUExecutionProvider"]
    )


def load() -> None:
    """Load the model now; raises ImportError or OSError when it cannot work here."""
    _model()
