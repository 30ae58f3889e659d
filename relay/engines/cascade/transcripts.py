"""The transcripts of a session's turns: begun in a pause, kept or dropped, and their events."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from relay.engines.cascade.effects import EffectBuffer, Event, Work, padding, part_error
from relay.engines.cascade.items import BYTES_PER_MS, CascadeItem, transcription_usage
from relay.engines.cascade.outputs import split
from relay.engines.cascade.part_usage import PartUsage, ServedBy
from relay.engines.cascade.settings import Transcription
from relay.parts.interfaces import PartFailed, TranscriptionRequest

MAX_AWAITED: Final = 32
"""Transcripts of one session that may be awaited at once; one more fails."""

MAX_EARLY_MS: Final = 30_000
"""A longer turn is transcribed at its end only: each pause in it would cost as much again."""

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True, eq=False)
class AwaitedTranscript:
    """One transcript on its way.

    `item` is None before the turn's end. `given_ms` is the audio that the transcriber was given,
    `served_by` the model that took over for it, else "".
    """

    item: CascadeItem | None
    model: str | None
    given_ms: int
    served_by: str = ""
    pieces: list[str] = field(default_factory=list)
    work: int = 0
    sent: int = 0
    ended: bool = False
    failure: PartFailed | None = None

    @property
    def text(self) -> str:
        """Return the words so far."""
        return "".join(self.pieces).strip()


class Transcripts:
    """The transcripts that are awaited, and their events: deltas, then the whole (PROTOCOL §4.1).

    A transcript may begin early, in a pause: it is kept when the pause ends the turn and dropped
    when the user goes on. `on_early` is called when an early one is there, `on_done` with the item
    of each that ended. `heard` counts what the transcriber was given, until an event tells it: that
    of the next transcript, or of the next response.
    """

    def __init__(
        self,
        out: EffectBuffer,
        work: Work,
        heard: PartUsage,
        on_early: Callable[[str, float], None],
        on_done: Callable[[CascadeItem, float], None],
    ) -> None:
        self._out = out
        self._work = work
        self._heard = heard
        self._on_early = on_early
        self._on_done = on_done
        self._awaited: dict[str, AwaitedTranscript] = {}
        self._early: tuple[str, AwaitedTranscript] | None = None

    def begin_early(self, item_id: str, pcm: bytes, settings: Transcription) -> bool:
        """Transcribe a turn that has paused; False where that is not worth its cost."""
        self._drop_early()
        ms = len(pcm) // BYTES_PER_MS
        if ms > MAX_EARLY_MS or len(self._awaited) >= MAX_AWAITED:
            return False
        early = AwaitedTranscript(None, None, ms)
        self._early = (item_id, early)
        self._start(early, pcm, settings)
        return True

    def drop_early(self) -> None:
        """Stop the early transcript: the user goes on."""
        self._drop_early()

    def forget_turn(self) -> None:
        """Stop the early transcript of a turn that will never be an item."""
        self._drop_early()

    def request(self, item: CascadeItem, settings: Transcription, now: float) -> None:
        """Have an item transcribed; it fails at once when too many are awaited."""
        early = self._early
        if early is not None and early[0] == item.id:
            if early[1].failure is None:
                self._early = None
                self._keep(early[1], item, settings, now)
                return
            self._drop_early()
        if len(self._awaited) >= MAX_AWAITED:
            refused = AwaitedTranscript(item, settings.model, 0)
            self._fail(refused, item, PartFailed("transcriber", "busy"), now)
            return
        transcript = AwaitedTranscript(item, settings.model, item.audio_ms)
        self._awaited[item.id] = transcript
        self._start(transcript, item.audio, settings)

    def complete_silence(self, item: CascadeItem, model: str | None) -> None:
        """Give an item of silence an empty transcript without transcribing it (PROTOCOL §4.9)."""
        _set_words(item, "")
        if model is not None:
            self._emit_completed(item, "", self._usage(model, 0, 0))

    def _keep(
        self, transcript: AwaitedTranscript, item: CascadeItem, settings: Transcription, now: float
    ) -> None:
        transcript.item, transcript.model = item, settings.model
        self._awaited[item.id] = transcript
        self._emit_deltas(transcript)
        if transcript.ended:
            self._complete(transcript, item, now)

    def _start(self, transcript: AwaitedTranscript, pcm: bytes, settings: Transcription) -> None:
        request = TranscriptionRequest(pcm, settings.language, settings.prompt)
        transcript.work = self._work.start(request, _Taker(self, transcript))

    def _drop_early(self) -> None:
        if self._early is not None:
            early, self._early = self._early[1], None
            self._work.cancel(early.work)
            if not early.ended:
                self._count(early)  # a provider charges for what it was given all the same

    def progress(self, transcript: AwaitedTranscript, piece: str) -> None:
        """Take the next words of one."""
        transcript.pieces.append(piece)
        self._emit_deltas(transcript)

    def finish(self, transcript: AwaitedTranscript, failure: PartFailed | None, now: float) -> None:
        """Take the end of one."""
        transcript.ended, transcript.failure = True, failure
        if failure is None or transcript.pieces:
            self._count(transcript)
        if transcript.item is None:
            self._on_early(transcript.text if failure is None else "", now)
        elif failure is None:
            self._complete(transcript, transcript.item, now)
        else:
            self._fail(transcript, transcript.item, failure, now)

    def _emit_deltas(self, transcript: AwaitedTranscript) -> None:
        if transcript.item is None or transcript.model is None:
            return
        for piece in transcript.pieces[transcript.sent :]:
            text = piece if transcript.sent else f" {piece.lstrip()}"
            transcript.sent += 1
            for word in split(text) if text.strip() else ():
                fields = {"content_index": 0, "delta": word, "obfuscation": padding(word)}
                self._out.emit(f"{_TRANSCRIPTION}.delta", item_id=transcript.item.id, **fields)

    def _complete(self, transcript: AwaitedTranscript, item: CascadeItem, now: float) -> None:
        self._awaited.pop(item.id, None)
        text = transcript.text
        _set_words(item, text)
        if transcript.model is not None:
            words = len(split(text)) if text else 0
            self._emit_completed(item, text, self._usage(transcript.model, item.audio_ms, words))
        self._on_done(item, now)

    def _count(self, transcript: AwaitedTranscript) -> None:
        model = transcript.served_by or self._heard.models.transcriber
        self._heard.count(model, seconds=transcript.given_ms / 1000)

    def _usage(self, model: str, audio_ms: int, words: int) -> Event:
        usage = transcription_usage(model, audio_ms, words)
        if not self._heard.models.billed:
            return usage
        return {**usage, "parts": self._heard.take()}

    def _emit_completed(self, item: CascadeItem, text: str, usage: Event) -> None:
        fields = {"content_index": 0, "transcript": text, "usage": usage}
        self._out.emit(f"{_TRANSCRIPTION}.completed", item_id=item.id, **fields)

    def _fail(
        self, transcript: AwaitedTranscript, item: CascadeItem, failure: PartFailed, now: float
    ) -> None:
        self._awaited.pop(item.id, None)
        item.words, item.failure = "", failure
        if transcript.model is not None:
            fault = part_error(failure)
            message = f"Input transcription failed for item '{item.id}'. {fault['message']}"
            fault = {**fault, "message": message, "param": None}
            fields = {"content_index": 0, "error": fault}
            self._out.emit(f"{_TRANSCRIPTION}.failed", item_id=item.id, **fields)
        self._on_done(item, now)


@dataclass(frozen=True, slots=True)
class _Taker:
    """Hands the work's result to its transcript."""

    transcripts: Transcripts
    transcript: AwaitedTranscript

    def progress(self, piece: str | ServedBy, now: float) -> None:
        if isinstance(piece, ServedBy):
            self.transcript.served_by = piece.model
            return
        self.transcripts.progress(self.transcript, piece)

    def finish(self, failure: PartFailed | None, now: float) -> None:
        self.transcripts.finish(self.transcript, failure, now)


def _set_words(item: CascadeItem, text: str) -> None:
    item.words = text
    for part in item.body["content"]:
        part["transcript"] = text
