"""A session's input audio: the buffer that turns are cut from."""

from dataclasses import dataclass

from relay.engines.cascade.effects import NewId, RequestRefused
from relay.engines.cascade.items import BYTES_PER_MS
from relay.engines.cascade.settings import TurnDetection
from relay.parts.interfaces import (
    SpeechDetector,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
)

MAX_TURN_MS = 120_000
"""A longer turn is ended there; of a buffer that the client commits itself, the last part stays."""

LEAST_COMMIT_MS = 100
"""Shorter buffers cannot be committed, as OpenAI has it."""

HOLD_MS = 600
"""How much longer the pause within a sentence that is not finished may be."""

_TAIL_MS = 200  # of the silence after the voice that a transcriber gets
_LOOKBACK_MS = 3_000  # kept before a turn beside its prefix: detection takes a while to be certain
_CHUNK = 1_000 * BYTES_PER_MS  # bytes that the detector is given at once


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The user began to speak; `audio_start_ms` includes the prefix."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class TurnStopped:
    """The turn is over; `audio_end_ms` includes the silence that ended it."""

    item_id: str
    audio_end_ms: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class TurnPaused:
    """The user is silent for a moment; `pcm` is the turn's audio so far."""

    item_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """The user goes on in the same turn."""

    item_id: str


TurnEvent = TurnStarted | TurnPaused | TurnResumed | TurnStopped


class InputAudio:
    """The input audio buffer. All times are ms of audio since the session began."""

    def __init__(self, speech_detector: SpeechDetector, new_id: NewId) -> None:
        self._speech_detector = speech_detector
        self._new_id = new_id
        self._buffer = bytearray()
        self._buffer_start = 0  # bytes received before the first one in the buffer
        self._half_sample = b""
        self._undetected = 0  # bytes received that the detector was not given
        self._open: TurnStarted | None = None
        self._voice_end_ms: int | None = None  # where the voice ended, within a pause
        self._held = False
        self._silence_ms = speech_detector.silence_ms

    def append(self, pcm: bytes, detection: TurnDetection) -> list[TurnEvent]:
        """Take audio; returns the turns that began and ended in it, in order."""
        whole = self._half_sample + pcm
        even = len(whole) & ~1
        self._half_sample = whole[even:]
        happened: list[TurnEvent] = []
        for start in range(0, even, _CHUNK):
            chunk = whole[start : min(start + _CHUNK, even)]
            self._buffer += chunk
            if detection.silence_ms is None:
                self._undetected += len(chunk)
                self._forget_turn()
            else:
                happened += self._detect(chunk, detection.silence_ms, detection.prefix_ms)
            self._trim(detection)
        return happened

    def commit(self) -> tuple[str, bytes]:
        """Empty the buffer; returns the id and audio of its item. Raises `RequestRefused`."""
        pcm = self._audio_from(self._open.audio_start_ms if self._open else 0)
        if len(pcm) < LEAST_COMMIT_MS * BYTES_PER_MS:
            raise RequestRefused(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{LEAST_COMMIT_MS}ms of audio, but buffer only has "
                f"{len(pcm) / BYTES_PER_MS:.2f}ms of audio.",
            )
        item_id = self._open.item_id if self._open else self._new_id("item")
        self.clear()
        return item_id, pcm

    def commit_silence(self, ms: int) -> tuple[str, int, int, bytes] | None:
        """Empty the buffer; returns id, start, end and audio of an item of its last ms.

        None while the user speaks. Of a long silence only the end is still there as audio.
        """
        if self._open is not None:
            return None
        end_ms = self._received_ms
        start_ms = max(end_ms - ms, 0)
        pcm = self._audio_from(start_ms)
        self.clear()
        return self._new_id("item"), start_ms, end_ms, pcm

    def clear(self) -> None:
        """Empty the buffer and forget an open turn; the count of ms goes on."""
        self._buffer_start += len(self._buffer)
        self._buffer.clear()
        self._forget_turn()

    def hold(self, held: bool) -> None:
        """Let the pause in the open turn last `HOLD_MS` longer than the client asked, or not."""
        self._held = held
        self._set_silence()

    @property
    def hold_seconds(self) -> float:
        """Return the seconds that the pause which has just begun may last at most from now."""
        silent_ms = self._received_ms - (self._voice_end_ms or self._received_ms)
        return max(self._silence_ms + HOLD_MS - silent_ms, 0) / 1000

    def end_pause(self) -> list[TurnEvent]:
        """End the turn if its pause has lasted as long as the client asked, holding it no more.

        A voice that may just be going on is left to the next audio; what came after the client's
        silence is left to the next turn.
        """
        self.hold(False)
        if self._open is None or self._voice_end_ms is None:
            return []
        return [turn for event in self._speech_detector.detect(b"") for turn in self._take(event)]

    @property
    def _received_ms(self) -> int:
        return (self._buffer_start + len(self._buffer)) // BYTES_PER_MS

    def _audio_from(self, start_ms: int) -> bytes:
        return bytes(self._buffer[max(start_ms * BYTES_PER_MS - self._buffer_start, 0) :])

    def _detect(self, chunk: bytes, silence_ms: int, prefix_ms: int) -> list[TurnEvent]:
        self._silence_ms = silence_ms
        self._set_silence()
        happened: list[TurnEvent] = []
        for event in self._speech_detector.detect(chunk):
            happened += self._take(event, prefix_ms)
        if self._open and self._received_ms - self._open.audio_start_ms > MAX_TURN_MS:
            self._speech_detector.reset()
            happened += self._stop(self._received_ms)
        return happened

    def _take(self, event: SpeechEvent, prefix_ms: int = 0) -> list[TurnEvent]:
        at_ms = event.at_ms + self._undetected // BYTES_PER_MS
        match event:
            case SpeechStarted():
                return self._start(at_ms - prefix_ms)
            case SpeechPaused():
                return self._pause(at_ms)
            case SpeechResumed():
                return self._resume()
            case SpeechStopped():
                return self._stop(at_ms + self._speech_detector.silence_ms)

    def _pause(self, at_ms: int) -> list[TurnEvent]:
        if self._open is None:
            return []
        self._voice_end_ms = at_ms
        start = max(self._open.audio_start_ms * BYTES_PER_MS - self._buffer_start, 0)
        end = max((at_ms + _TAIL_MS) * BYTES_PER_MS - self._buffer_start, start)
        return [TurnPaused(self._open.item_id, bytes(self._buffer[start:end]))]

    def _resume(self) -> list[TurnEvent]:
        if self._open is None:
            return []
        self._voice_end_ms = None
        self.hold(False)
        return [TurnResumed(self._open.item_id)]

    def _set_silence(self) -> None:
        silence_ms = self._silence_ms + (HOLD_MS if self._held else 0)
        if self._speech_detector.silence_ms != silence_ms:
            self._speech_detector.silence_ms = silence_ms

    def _start(self, at_ms: int) -> list[TurnEvent]:
        if self._open is not None:
            return []
        self._open = TurnStarted(self._new_id("item"), max(at_ms, 0))
        return [self._open]

    def _stop(self, at_ms: int) -> list[TurnEvent]:
        if self._open is None:
            return []
        turn = self._open
        self._end_turn()
        end_ms = min(at_ms, self._received_ms)
        start = max(turn.audio_start_ms * BYTES_PER_MS - self._buffer_start, 0)
        end = max(end_ms * BYTES_PER_MS - self._buffer_start, start)
        pcm = bytes(self._buffer[start:end])
        self._drop(end)
        return [TurnStopped(turn.item_id, end_ms, pcm)]

    def _forget_turn(self) -> None:
        if self._open is not None:
            self._end_turn()
            self._speech_detector.reset()

    def _end_turn(self) -> None:
        self._open = None
        self._voice_end_ms = None
        self.hold(False)

    def _trim(self, detection: TurnDetection) -> None:
        if self._open is not None:
            return
        keep_ms = MAX_TURN_MS
        if detection.silence_ms is not None:
            keep_ms = detection.prefix_ms + _LOOKBACK_MS
        self._drop(len(self._buffer) - keep_ms * BYTES_PER_MS)

    def _drop(self, count: int) -> None:
        if count > 0:
            del self._buffer[:count]
            self._buffer_start += count
