"""A session's input audio buffer: where turns begin and end, and what was said in them."""

from dataclasses import dataclass

from relay.engines.cascade import items as usage
from relay.engines.cascade.effects import (
    EffectBuffer,
    Event,
    NewId,
    RequestRefused,
    Transcribe,
    padding,
)
from relay.engines.cascade.items import BYTES_PER_MS, CascadeItem
from relay.engines.cascade.outputs import split
from relay.parts.interfaces import SpeechDetector, SpeechStarted, SpeechStopped

MAX_TURN_MS = 120_000
"""A turn is ended there; a buffer that a client commits itself keeps the latest of it."""

LEAST_COMMIT_MS = 100
"""Shorter buffers cannot be committed, as OpenAI has it."""

_LOOKBACK_MS = 3_000  # kept before a turn beside its prefix: an ear is sure only after a while
_BITE = 1_000 * BYTES_PER_MS  # bytes the ear is given at once


@dataclass(frozen=True, slots=True)
class Started:
    """Somebody began to speak; `audio_start_ms` includes the prefix."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The turn is over; `audio_end_ms` includes the silence that ended it."""

    item_id: str
    audio_end_ms: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class TurnListener:
    """How the session listens: `silence_ms` None when the client ends turns itself."""

    silence_ms: int | None
    prefix_ms: int = 0


class InputAudio:
    """What the client has appended. All times are ms of audio since the session began."""

    def __init__(self, ear: SpeechDetector, new_id: NewId) -> None:
        self._ear = ear
        self._new_id = new_id
        self._kept = bytearray()
        self._kept_from = 0  # bytes received before the first one kept
        self._odd = b""  # half a sample
        self._unheard = 0  # bytes received that the ear was not given
        self._open: Started | None = None

    def append(self, pcm: bytes, listening: TurnListener) -> list[Started | Stopped]:
        """Take audio; returns the turns that began and ended in it, in order."""
        whole = self._odd + pcm
        even = len(whole) & ~1
        self._odd = whole[even:]
        happened: list[Started | Stopped] = []
        for start in range(0, even, _BITE):
            bite = whole[start : min(start + _BITE, even)]
            self._kept += bite
            if listening.silence_ms is None:
                self._unheard += len(bite)
                self._forget_turn()
            else:
                happened += self._hear(bite, listening.silence_ms, listening.prefix_ms)
            self._trim(listening)
        return happened

    def commit(self) -> tuple[str, bytes]:
        """Return the id and audio of the item that the buffer becomes; raises `RequestRefused`."""
        start = self._open.audio_start_ms * BYTES_PER_MS if self._open else 0
        pcm = bytes(self._kept[max(start - self._kept_from, 0) :])
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

    def silence(self, ms: int) -> tuple[str, int, int, bytes] | None:
        """Return the id, start, end and audio of the item that these last ms become.

        None while somebody speaks. Of a long silence only the end is still there as audio.
        """
        if self._open is not None:
            return None
        end_ms = self._received_ms
        start_ms = max(end_ms - ms, 0)
        pcm = bytes(self._kept[max(start_ms * BYTES_PER_MS - self._kept_from, 0) :])
        self.clear()
        return self._new_id("item"), start_ms, end_ms, pcm

    def clear(self) -> None:
        """Forget the buffer and an open turn; the count of ms goes on."""
        self._kept_from += len(self._kept)
        self._kept.clear()
        self._forget_turn()

    @property
    def _received_ms(self) -> int:
        return (self._kept_from + len(self._kept)) // BYTES_PER_MS

    def _hear(self, bite: bytes, silence_ms: int, prefix_ms: int) -> list[Started | Stopped]:
        if self._ear.silence_ms != silence_ms:
            self._ear.silence_ms = silence_ms
        happened: list[Started | Stopped] = []
        for event in self._ear.hear(bite):
            at_ms = event.at_ms + self._unheard // BYTES_PER_MS
            if isinstance(event, SpeechStarted):
                happened += self._start(at_ms - prefix_ms)
            elif isinstance(event, SpeechStopped):
                happened += self._stop(at_ms + silence_ms)
        if self._open and self._received_ms - self._open.audio_start_ms > MAX_TURN_MS:
            self._ear.reset()
            happened += self._stop(self._received_ms)
        return happened

    def _start(self, at_ms: int) -> list[Started | Stopped]:
        if self._open is not None:
            return []
        self._open = Started(self._new_id("item"), max(at_ms, 0))
        return [self._open]

    def _stop(self, at_ms: int) -> list[Started | Stopped]:
        if self._open is None:
            return []
        turn, self._open = self._open, None
        end_ms = min(at_ms, self._received_ms)
        start = max(turn.audio_start_ms * BYTES_PER_MS - self._kept_from, 0)
        end = max(end_ms * BYTES_PER_MS - self._kept_from, start)
        pcm = bytes(self._kept[start:end])
        self._drop(end)
        return [Stopped(turn.item_id, end_ms, pcm)]

    def _forget_turn(self) -> None:
        if self._open is not None:
            self._open = None
            self._ear.reset()

    def _trim(self, listening: TurnListener) -> None:
        if self._open is not None:
            return
        keep_ms = MAX_TURN_MS
        if listening.silence_ms is not None:
            keep_ms = listening.prefix_ms + _LOOKBACK_MS
        self._drop(len(self._kept) - keep_ms * BYTES_PER_MS)

    def _drop(self, count: int) -> None:
        if count > 0:
            del self._kept[:count]
            self._kept_from += count


# ---- What a client is told of its user's words: deltas, then the whole (PROTOCOL §4.1).

MAX_AWAITED = 32
"""Transcripts of one session that may be awaited at once; one more fails."""

_KIND = "conversation.item.input_audio_transcription"


class Transcripts:
    """The transcripts that are awaited, each with the model it was promised from."""

    def __init__(self, out: EffectBuffer) -> None:
        self._out = out
        self._awaited: dict[str, tuple[CascadeItem, str | None]] = {}

    def ask(self, item: CascadeItem, model: str | None) -> bool:
        """Have an item written down; the client is told when `model` is not None.

        Returns False when too many are awaited: then this one has failed.
        """
        if len(self._awaited) >= MAX_AWAITED:
            self._fail(item, model)
            return False
        self._awaited[item.id] = (item, model)
        self._out.do(Transcribe(item.id, item.audio))
        return True

    def arrived(self, item_id: str, text: str | None) -> CascadeItem | None:
        """Take a transcript, None for one that failed; returns its item if it was awaited."""
        item, model = self._awaited.pop(item_id, (None, None))
        if item is None:
            return None
        if text is None:
            self._fail(item, model)
            return item
        item.words = text
        for part in item.body["content"]:
            part["transcript"] = text
        if model is not None:
            self._tell(item, text, model)
        return item

    def nothing(self, item: CascadeItem, model: str | None) -> None:
        """Say that an item of silence holds no words; nobody is asked (PROTOCOL §4.9)."""
        item.words = ""
        for part in item.body["content"]:
            part["transcript"] = ""
        if model is not None:
            silent = usage.of_transcription(model, 0, 0)
            self._completed(item, "", silent)

    def _tell(self, item: CascadeItem, text: str, model: str) -> None:
        words = split(f" {text}") if text else []
        for word in words:
            pad = padding(word)
            fields = {"content_index": 0, "delta": word, "obfuscation": pad}
            self._out.emit(f"{_KIND}.delta", item_id=item.id, **fields)
        self._completed(item, text, usage.of_transcription(model, item.audio_ms, len(words)))

    def _completed(self, item: CascadeItem, text: str, used: Event) -> None:
        fields = {"content_index": 0, "transcript": text, "usage": used}
        self._out.emit(f"{_KIND}.completed", item_id=item.id, **fields)

    def _fail(self, item: CascadeItem, model: str | None) -> None:
        item.words = ""
        if model is not None:
            message = f"Input transcription failed for item '{item.id}'."
            fault = {"type": "server_error", "code": "server_error", "message": message}
            self._out.emit(
                f"{_KIND}.failed", item_id=item.id, content_index=0, error={**fault, "param": None}
            )
