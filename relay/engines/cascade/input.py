"""A session's input audio: the buffer that turns are cut from, and the transcripts of turns."""

from dataclasses import dataclass

from relay.engines.cascade.effects import (
    EffectBuffer,
    Event,
    NewId,
    RequestRefused,
    Transcribe,
    padding,
)
from relay.engines.cascade.items import BYTES_PER_MS, CascadeItem, transcription_usage
from relay.engines.cascade.outputs import split
from relay.engines.cascade.settings import TurnDetection
from relay.parts.interfaces import SpeechDetector, SpeechStarted, SpeechStopped

MAX_TURN_MS = 120_000
"""A longer turn is ended there; of a buffer that the client commits itself, the last part stays."""

LEAST_COMMIT_MS = 100
"""Shorter buffers cannot be committed, as OpenAI has it."""

MAX_AWAITED = 32
"""Transcripts of one session that may be awaited at once; one more fails."""

_LOOKBACK_MS = 3_000  # kept before a turn beside its prefix: detection takes a while to be certain
_CHUNK = 1_000 * BYTES_PER_MS  # bytes that the detector is given at once
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


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

    def append(self, pcm: bytes, detection: TurnDetection) -> list[TurnStarted | TurnStopped]:
        """Take audio; returns the turns that began and ended in it, in order."""
        whole = self._half_sample + pcm
        even = len(whole) & ~1
        self._half_sample = whole[even:]
        happened: list[TurnStarted | TurnStopped] = []
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

    @property
    def _received_ms(self) -> int:
        return (self._buffer_start + len(self._buffer)) // BYTES_PER_MS

    def _audio_from(self, start_ms: int) -> bytes:
        return bytes(self._buffer[max(start_ms * BYTES_PER_MS - self._buffer_start, 0) :])

    def _detect(
        self, chunk: bytes, silence_ms: int, prefix_ms: int
    ) -> list[TurnStarted | TurnStopped]:
        if self._speech_detector.silence_ms != silence_ms:
            self._speech_detector.silence_ms = silence_ms
        happened: list[TurnStarted | TurnStopped] = []
        for event in self._speech_detector.detect(chunk):
            at_ms = event.at_ms + self._undetected // BYTES_PER_MS
            if isinstance(event, SpeechStarted):
                happened += self._start(at_ms - prefix_ms)
            elif isinstance(event, SpeechStopped):
                happened += self._stop(at_ms + silence_ms)
        if self._open and self._received_ms - self._open.audio_start_ms > MAX_TURN_MS:
            self._speech_detector.reset()
            happened += self._stop(self._received_ms)
        return happened

    def _start(self, at_ms: int) -> list[TurnStarted | TurnStopped]:
        if self._open is not None:
            return []
        self._open = TurnStarted(self._new_id("item"), max(at_ms, 0))
        return [self._open]

    def _stop(self, at_ms: int) -> list[TurnStarted | TurnStopped]:
        if self._open is None:
            return []
        turn, self._open = self._open, None
        end_ms = min(at_ms, self._received_ms)
        start = max(turn.audio_start_ms * BYTES_PER_MS - self._buffer_start, 0)
        end = max(end_ms * BYTES_PER_MS - self._buffer_start, start)
        pcm = bytes(self._buffer[start:end])
        self._drop(end)
        return [TurnStopped(turn.item_id, end_ms, pcm)]

    def _forget_turn(self) -> None:
        if self._open is not None:
            self._open = None
            self._speech_detector.reset()

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


class Transcripts:
    """The transcripts that are awaited, and their events: deltas, then the whole (PROTOCOL §4.1).

    `model` is the transcription model of the client's choice; without one the client is told
    nothing, and the transcript serves the responder alone.
    """

    def __init__(self, out: EffectBuffer) -> None:
        self._out = out
        self._awaited: dict[str, tuple[CascadeItem, str | None]] = {}

    def request(self, item: CascadeItem, model: str | None) -> None:
        """Have an item transcribed; it fails at once when too many are awaited."""
        if len(self._awaited) >= MAX_AWAITED:
            self._fail(item, model)
            return
        self._awaited[item.id] = (item, model)
        self._out.do(Transcribe(item.id, item.audio))

    def resolve(self, item_id: str, text: str | None) -> CascadeItem | None:
        """Take a transcript, None for one that failed; returns its item if it was awaited."""
        item, model = self._awaited.pop(item_id, (None, None))
        if item is None:
            return None
        if text is None:
            self._fail(item, model)
            return item
        self._set_transcript(item, text)
        if model is not None:
            words = split(f" {text}") if text else []
            for word in words:
                fields = {"content_index": 0, "delta": word, "obfuscation": padding(word)}
                self._out.emit(f"{_TRANSCRIPTION}.delta", item_id=item.id, **fields)
            usage = transcription_usage(model, item.audio_ms, len(words))
            self._complete(item, text, usage)
        return item

    def complete_silence(self, item: CascadeItem, model: str | None) -> None:
        """Give an item of silence an empty transcript without transcribing it (PROTOCOL §4.9)."""
        self._set_transcript(item, "")
        if model is not None:
            self._complete(item, "", transcription_usage(model, 0, 0))

    def _set_transcript(self, item: CascadeItem, text: str) -> None:
        item.words = text
        for part in item.body["content"]:
            part["transcript"] = text

    def _complete(self, item: CascadeItem, text: str, usage: Event) -> None:
        fields = {"content_index": 0, "transcript": text, "usage": usage}
        self._out.emit(f"{_TRANSCRIPTION}.completed", item_id=item.id, **fields)

    def _fail(self, item: CascadeItem, model: str | None) -> None:
        item.words = ""
        if model is not None:
            message = f"Input transcription failed for item '{item.id}'."
            fault = {"type": "server_error", "code": "server_error", "message": message}
            fields = {"content_index": 0, "error": {**fault, "param": None}}
            self._out.emit(f"{_TRANSCRIPTION}.failed", item_id=item.id, **fields)
