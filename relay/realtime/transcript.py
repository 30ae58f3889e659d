"""Assembles the utterances of both speakers from the engine's events, by item id (PROTOCOL §5)."""

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple, cast

import msgspec

from relay.realtime.events import Event, TextDelta
from relay.realtime.items import ItemOrder, RecentIds
from relay.realtime.last_words import AwaitedWords
from relay.realtime.playout import HeardAudio, Playback, cut_to_heard
from relay.realtime.records import Origin, Speaker, State, Utterance, mark

_SPEAKERS: Final = ("user", "assistant")
_TEXT_FIELDS: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "input_audio": "transcript",
    "output_audio": "transcript",
    "audio": "transcript",
}
"""The field of a content part that holds its text, by the part's type."""

_SHOWN: Final = ("output_text", "text")
"""Types of parts that a client shows; the others it plays."""

_INPUT_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."
_AUDIO_TRANSCRIPT: Final = "response.output_audio_transcript."
_OUTPUT_TEXT: Final = "response.output_text."

_MAX_ITEMS: Final = 10_000  # an hour of turns of one second each is 3,600
_MAX_PARTS: Final = 64  # content parts of one item; the API itself produces one or two
_MAX_INTERIM_ITEMS: Final = 32  # items searched for interim text: open ones are among the newest

_Handler = Callable[[Event, float], list[Utterance]]


class InterimTranscript(NamedTuple):
    """The text so far of one content part that is not final, and the coach who says it, if any."""

    item_id: str
    content_index: int
    role: Speaker
    text: str
    coach_id: str | None = None


@dataclass(slots=True)
class ContentPart:
    """One content part: the deltas so far, and the whole text once an event brought it."""

    deltas: list[str] = field(default_factory=list)
    text: str | None = None

    def so_far(self) -> str:
        """The text known so far. Deltas are joined as they are: they bring their own spaces."""
        return (self.text if self.text is not None else "".join(self.deltas)).strip()


@dataclass(slots=True)
class TranscriptItem:
    """One conversation item. `first_seen` and `created_at` are Unix seconds, lengths ms.

    `is_generated` tells an answer of the model from one that the client seeded, `is_shown` one
    with text that is read rather than heard; `heard_ms` stays None until the item is interrupted.
    `is_deleted` tells one that the client has taken from the model; `response_id` names the
    response that generates it.
    """

    id: str
    role: str
    first_seen: float
    created_at: float = 0.0
    is_generated: bool = False
    is_typed: bool = False
    is_shown: bool = False
    is_deleted: bool = False
    status: str = "in_progress"
    audio_ms: int = 0
    heard_ms: int | None = None
    heard_estimated: bool = False
    response_id: Any = None
    parts: dict[int, ContentPart] = field(default_factory=dict)

    def part(self, index: Any) -> ContentPart | None:
        """Return the content part at this index, creating it; None beyond the bound."""
        key = index if isinstance(index, int) else 0
        if key not in self.parts and len(self.parts) >= _MAX_PARTS:
            return None
        return self.parts.setdefault(key, ContentPart())

    def add_delta(self, index: Any, delta: str) -> None:
        """Append a piece of a part's text."""
        part = self.part(index)
        if part is not None:
            part.deltas.append(delta)

    def set_text(self, event: Event) -> None:
        """Set a part's whole text from any event that carries it; the first one counts."""
        part = self.part(event.get("content_index"))
        given = event.get("part", event)
        text = given.get("transcript", given.get("text")) if isinstance(given, dict) else None
        if part is not None and part.text is None and isinstance(text, str):
            part.text = text

    def read_content(self, content: Any) -> None:
        """Fill in missing texts from an item's `content`."""
        if not isinstance(content, list):
            return
        for index, given in enumerate(content):
            if not isinstance(given, dict):
                continue
            kind = given.get("type")
            text = given.get(_TEXT_FIELDS.get(str(kind), ""))
            part = self.part(index) if isinstance(text, str) else None
            if part is not None and part.text is None and isinstance(text, str):
                part.text = text
            self.is_typed = self.is_typed or kind == "input_text"
            self.is_shown = self.is_shown or kind in _SHOWN

    @property
    def has_no_audio(self) -> bool:
        """Whether it is an answer of which no audio has come, nor text to read."""
        is_open = self.is_generated and self.heard_ms is None
        return is_open and not self.audio_ms and not self.is_shown

    def answer_state(self) -> State:
        """The state of a complete answer."""
        if self.heard_ms == 0:
            return "unheard"
        cut = self.heard_ms is not None and (not self.audio_ms or self.heard_ms < self.audio_ms)
        return "interrupted" if cut or self.status == "incomplete" else "final"


class Transcript:
    """Takes every server event but audio and returns the utterances that it finalized.

    A user utterance is finalized when its transcription is final, an answer when it was heard to
    its end or interrupted. A later event that corrects an utterance finalizes it again, with a new
    `seq`; a repeated event changes nothing. Empty utterances keep their position and are never
    returned, but for those whose transcription failed. `awaited` are the turns that have no words
    yet. Times are Unix seconds.
    """

    def __init__(self, playback: Playback) -> None:
        self.awaited = AwaitedWords()
        self._playback = playback
        self._items: dict[str, TranscriptItem] = {}
        self._finalizer = UtteranceFinalizer(self._items)
        self._out_of_band: set[str] = set()  # response ids
        self._playing: dict[str, TranscriptItem] = {}  # complete answers not yet heard to the end
        self._handlers: dict[str, _Handler] = {
            "input_audio_buffer.speech_started": self._on_speech_started,
            "input_audio_buffer.committed": self._on_committed,
            "conversation.item.added": self._on_item,
            "conversation.item.done": self._on_item,
            "conversation.item.retrieved": self._on_item_retrieved,
            "conversation.item.truncated": self._on_item_truncated,
            "conversation.item.deleted": self._on_item_deleted,
            _INPUT_TRANSCRIPTION + "delta": self._on_delta,
            _INPUT_TRANSCRIPTION + "completed": self._on_transcription_completed,
            _INPUT_TRANSCRIPTION + "failed": self._on_transcription_failed,
            _AUDIO_TRANSCRIPT + "delta": self._on_delta,
            _OUTPUT_TEXT + "delta": self._on_delta,
            _AUDIO_TRANSCRIPT + "done": self._on_answer_text,
            _OUTPUT_TEXT + "done": self._on_answer_text,
            "response.content_part.done": self._on_answer_text,
            "response.output_item.added": self._on_output_item,
            "response.output_item.done": self._on_output_item,
            "response.created": self._on_response_created,
            "response.done": self._on_response_done,
        }
        self.reads = frozenset(self._handlers)

    def observe(self, event: Event, now: float) -> list[Utterance]:
        """Take one server event; returns the utterances that it finalized, in order."""
        self.awaited.observe(event, now)
        handler = self._handlers.get(event["type"])
        if handler is None or str(event.get("response_id")) in self._out_of_band:
            return []
        return handler(event, now)

    def repeat(self, item_id: str, previous: str) -> None:
        """Give an item of an earlier session its place, which is stored and so recorded never."""
        self._finalizer.repeat(item_id, previous)

    def add_audio(self, item_id: str, milliseconds: int) -> None:
        """Count model audio of an item."""
        item = self._items.get(item_id)
        if item is not None:
            item.audio_ms += milliseconds

    def audio_ms(self, item_id: str) -> int | None:
        """The model audio of an item so far; None of an item that is not known."""
        item = self._items.get(item_id)
        return item.audio_ms if item is not None else None

    def add_text(self, text: TextDelta) -> None:
        """Take a piece of an answer's text that was read without decoding its event."""
        item = self._items.get(text.item_id)
        if item is not None and item.is_generated:
            item.is_shown = item.is_shown or text.type.startswith(_OUTPUT_TEXT)
            item.add_delta(text.content_index, text.delta)

    def cut(self, heard: HeardAudio, now: float) -> list[Utterance]:
        """Note that the player was flushed while it played this item."""
        item = self._items.get(heard.item_id)
        return [] if item is None else self._interrupt(item, heard.ms, not heard.exact, now)

    @property
    def is_playing(self) -> bool:
        """Whether a complete answer has not been heard to its end."""
        return bool(self._playing)

    def next_tick(self) -> float:
        """When the next answer will have been heard to its end; infinity when none is playing."""
        return min(map(self._playback.ends_at, self._playing), default=math.inf)

    def tick(self, now: float) -> list[Utterance]:
        """Finalize the answers that have been heard to their end by now."""
        ended = [item for item in self._playing.values() if self._playback.ended(item.id, now)]
        return [utterance for item in ended for utterance in self._answer_complete(item, now)]

    def finish(self, now: float, but: Container[str] = ()) -> list[Utterance]:
        """End the session: answers still playing were interrupted, open items become partial.

        The items in `but` stay open, until it is called again.
        """
        finalized: list[Utterance] = []
        for item in [one for one in self._items.values() if one.id not in but]:
            if item.id in self._playing or self._broke_off(item, now):
                finalized += self.cut(self._playback.heard(item.id, now), now)
            elif item.status == "in_progress":
                self._note_if_unheard(item)
            if not self._finalizer.has_finalized(item):
                state: State = "unheard" if item.heard_ms == 0 else "partial"
                finalized += self._finalizer.finalize(item, state)
        return finalized

    def interim(self) -> list[InterimTranscript]:
        """The parts that have text and are not final, the oldest item first.

        Computed on demand, so that a session without subscribers does not pay for it.
        """
        newest = [self._items[key] for key in islice(reversed(self._items), _MAX_INTERIM_ITEMS)]
        return [
            InterimTranscript(
                item.id, index, cast("Speaker", item.role), text, self.coach_ids.get(item.id)
            )
            for item in reversed(newest)
            if item.role in _SPEAKERS and not self._finalizer.has_finalized(item)
            for index, part in sorted(item.parts.items())
            if (text := part.so_far())
        ]

    @property
    def last_seq(self) -> int:
        """The `seq` of the newest utterance; 0 before the first."""
        return self._finalizer.seq

    @property
    def has_answered(self) -> bool:
        """Whether the model has said anything."""
        return self._finalizer.has_answered

    @property
    def latency(self) -> "ResponseLatency":
        """How long answers have taken to begin."""
        return self._finalizer.latency

    @property
    def coach_ids(self) -> dict[str, str]:
        """The coach who said an item in the model's place, by item id."""
        return self._finalizer.coach_ids

    def last_item(self, gone: Container[str]) -> str | None:
        """The id of the conversation's last item that is not in `gone`."""
        return self._finalizer.last_item(gone)

    def _open(self, item_id: Any, role: str, now: float) -> TranscriptItem | None:
        """Return the item of this id, creating it; None without an id or beyond the bound."""
        if not isinstance(item_id, str) or not item_id:
            return None
        if item_id not in self._items:
            if len(self._items) >= _MAX_ITEMS:
                return None
            self._items[item_id] = TranscriptItem(item_id, role, now)
        return self._items[item_id]

    def _answer_complete(self, item: TranscriptItem, now: float) -> list[Utterance]:
        """Finalize a complete answer, or wait until it has been heard."""
        if item.status == "incomplete":
            self._note_if_unheard(item)
        if item.heard_ms is None and not self._playback.ended(item.id, now):
            self._playing[item.id] = item
            return []
        self._playing.pop(item.id, None)
        return self._finalizer.finalize(item, item.answer_state())

    def _note_if_unheard(self, item: TranscriptItem) -> None:
        """An answer that ends before its first sound is heard by nobody."""
        if item.has_no_audio and self._playback.heard_nothing(item.id):
            item.heard_ms = 0

    def _interrupt(
        self, item: TranscriptItem, heard_ms: int, estimated: bool, now: float
    ) -> list[Utterance]:
        item.heard_ms, item.heard_estimated = heard_ms, estimated
        return self._answer_complete(item, now) if item.status != "in_progress" else []

    def _broke_off(self, item: TranscriptItem, now: float) -> bool:
        is_open = item.status == "in_progress" and item.heard_ms is None
        return is_open and not self._playback.ended(item.id, now)

    def _on_speech_started(self, event: Event, now: float) -> list[Utterance]:
        self._open(event.get("item_id"), "user", now)
        return []

    def _on_committed(self, event: Event, now: float) -> list[Utterance]:
        item = self._open(event.get("item_id"), "user", now)
        if item is not None:
            self._finalizer.link(item, event.get("previous_item_id"), turn_ended=now)
        return []

    def _on_item(self, event: Event, now: float) -> list[Utterance]:
        """`conversation.item.added` and `.done` give the item's place, and texts it came with."""
        given = event.get("item")
        if not isinstance(given, dict) or given.get("id") in self._finalizer.repeated:
            return []
        role = given.get("role") if given.get("type", "message") == "message" else "none"
        item = self._open(given.get("id"), str(role), now)
        if item is None:
            return []
        item.role = str(role)
        if event["type"] != "conversation.item.done" or event.get("previous_item_id") is not None:
            self._finalizer.link(item, event.get("previous_item_id"))
        if item.is_deleted and event["type"] == "conversation.item.added":  # it is made again
            item.is_deleted = False
            return [*self._finalizer.mark(item), *self._read_item(item, given, now)]
        return self._read_item(item, given, now)

    def _on_item_retrieved(self, event: Event, now: float) -> list[Utterance]:
        """May fill in a transcript that never came, but creates no item (PROTOCOL §5.15)."""
        given = event.get("item")
        item = self._items.get(str(given.get("id"))) if isinstance(given, dict) else None
        if item is None or item.status == "in_progress" or not isinstance(given, dict):
            return []
        item.read_content(given.get("content"))
        if item.role == "assistant":
            return self._answer_complete(item, now)
        return self._finalizer.finalize(item, "final")

    def _on_item_truncated(self, event: Event, now: float) -> list[Utterance]:
        item, heard_ms = self._items.get(str(event.get("item_id"))), event.get("audio_end_ms")
        if item is None or not isinstance(heard_ms, int):
            return []
        return self._interrupt(item, heard_ms, False, now)

    def _on_item_deleted(self, event: Event, now: float) -> list[Utterance]:
        """What was heard stays heard; an answer of which nothing was by now is never heard.

        Some clients delete in the place of truncating at 0 (PROTOCOL §5.6).
        """
        item = self._items.get(str(event.get("item_id")))
        if item is None:
            return []
        item.is_deleted = True
        is_played = item.is_generated and not item.is_shown and item.heard_ms is None
        if is_played and self._is_not_heard_yet(item, now):
            return self._interrupt(item, 0, True, now)
        return self._finalizer.mark(item)

    def _is_not_heard_yet(self, item: TranscriptItem, now: float) -> bool:
        if self._playback.heard_nothing(item.id):
            return True
        heard = self._playback.heard(item.id, now)
        return heard.ms == 0 and not self._playback.ended(item.id, now)

    def _on_delta(self, event: Event, now: float) -> list[Utterance]:
        by_user = event["type"].startswith(_INPUT_TRANSCRIPTION)
        item = self._open(event.get("item_id"), "user" if by_user else "assistant", now)
        if item is not None:
            item.is_generated = not by_user
            item.is_shown = item.is_shown or event["type"].startswith(_OUTPUT_TEXT)
            if isinstance(event.get("delta"), str):
                item.add_delta(event.get("content_index"), event["delta"])
        return []

    def _on_transcription_completed(self, event: Event, now: float) -> list[Utterance]:
        item = self._open(event.get("item_id"), "user", now)
        part = item.part(event.get("content_index")) if item is not None else None
        if item is None or part is None or not isinstance(event.get("transcript"), str):
            return []
        part.text = event["transcript"]
        if event.get("status", "completed") != "completed":  # cumulative interim (PROTOCOL §5.9)
            return []
        return self._finalizer.finalize(item, "final")

    def _on_transcription_failed(self, event: Event, now: float) -> list[Utterance]:
        item = self._open(event.get("item_id"), "user", now)
        part = item.part(event.get("content_index")) if item is not None else None
        return self._finalizer.finalize(item, "failed") if item and part is not None else []

    def _on_answer_text(self, event: Event, now: float) -> list[Utterance]:
        """The text as generated, which may be more than was heard (PROTOCOL §5.4)."""
        item = self._open(event.get("item_id"), "assistant", now)
        if item is not None:
            item.is_generated = True
            item.set_text(event)
        return []

    def _on_output_item(self, event: Event, now: float) -> list[Utterance]:
        given = event.get("item")
        if not isinstance(given, dict) or given.get("type", "message") != "message":
            return []
        item = self._open(given.get("id"), "assistant", now)
        if item is None:
            return []
        item.role, item.is_generated = "assistant", True
        item.response_id = event.get("response_id", item.response_id)
        return self._read_item(item, given, now)

    def _on_response_created(self, event: Event, now: float) -> list[Utterance]:
        response = event.get("response")
        if isinstance(response, dict) and response.get("conversation_id", "") is None:
            self._out_of_band.add(str(response.get("id")))
        return []

    def _on_response_done(self, event: Event, now: float) -> list[Utterance]:
        """Repeats the response's items: the last chance for texts whose own events were missed.

        Those that it does not name, as some servers where an answer was cancelled, have ended too.
        """
        response = event.get("response")
        if not isinstance(response, dict):
            return []
        if response.get("conversation_id", "") is None:
            self._out_of_band.discard(str(response.get("id")))
            return []
        output = response.get("output")
        items = output if isinstance(output, list) else []
        settled = [u for given in items for u in self._on_output_item({"item": given}, now)]
        for item in self._open_items_of(response.get("id")):
            item.status = "completed" if response.get("status") == "completed" else "incomplete"
            settled += self._answer_complete(item, now)
        return settled

    def _open_items_of(self, response_id: Any) -> list[TranscriptItem]:
        """A response's answers that have not ended; open items are among the newest."""
        newest = [self._items[key] for key in islice(reversed(self._items), _MAX_INTERIM_ITEMS)]
        return [
            item
            for item in reversed(newest)
            if response_id is not None
            and item.response_id == response_id
            and item.is_generated
            and item.status == "in_progress"
        ]

    def _read_item(
        self, item: TranscriptItem, given: dict[str, Any], now: float
    ) -> list[Utterance]:
        item.status = str(given.get("status", item.status))
        item.read_content(given.get("content"))
        if item.status == "in_progress":
            return []
        if item.role == "assistant":
            return self._answer_complete(item, now)
        return self._finalizer.finalize(item, "final") if item.is_typed else []


class UtteranceFinalizer:
    """Gives items their place and utterances their `seq`; returns each version of one once."""

    def __init__(self, items: Mapping[str, TranscriptItem]) -> None:
        self._items = items
        self._order = ItemOrder()
        self._finalized: dict[tuple[str, int], Utterance] = {}
        self.seq = 0
        self.has_answered = False
        self.latency = ResponseLatency()
        self.coach_ids: dict[str, str] = {}
        self.repeated = RecentIds(_MAX_ITEMS)

    def repeat(self, item_id: str, previous: str) -> None:
        """Place an item that is not to be recorded."""
        self.repeated.add(item_id)
        self._order.link(item_id, previous)

    def has_finalized(self, item: TranscriptItem) -> bool:
        """Whether any part of the item was finalized."""
        return any((item.id, index) in self._finalized for index in item.parts)

    def last_item(self, gone: Container[str]) -> str | None:
        """The id of the conversation's last item that is not in `gone`."""
        return self._order.last(gone)

    def link(self, item: TranscriptItem, previous: Any, turn_ended: float | None = None) -> None:
        """Place the item after `previous`; `created_at` never decreases along the conversation.

        `turn_ended` is when the turn that it holds ended, where that is later than its first sign.
        """
        if turn_ended is not None:
            self.latency.turn_ended(turn_ended)
        if item.id in self._order:
            return
        if turn_ended is None and item.role == "user":
            self.latency.turn_ended(item.first_seen)
        elif item.is_generated and item.id not in self.coach_ids:
            self.latency.answer_began(item.first_seen)
        self._order.link(item.id, previous if isinstance(previous, str) else None)
        before, after = map(self._item, self._order.neighbours(item.id))
        item.created_at = max(item.first_seen, before.created_at if before else 0.0)
        if after is not None:
            item.created_at = min(item.created_at, after.created_at)

    def _item(self, item_id: str | None) -> TranscriptItem | None:
        return self._items.get(item_id) if item_id is not None else None

    def finalize(self, item: TranscriptItem, state: State) -> list[Utterance]:
        """Return the item's utterances as they are now, leaving out those that did not change."""
        if item.role not in _SPEAKERS:
            return []
        finalized = []
        for index in sorted(item.parts):
            text = item.parts[index].so_far()
            if text or (state == "failed" and not self.has_finalized(item)):
                self.link(item, None)
                finalized += self._if_changed(self._utterance(item, index, text, state))
        return finalized

    def mark(self, item: TranscriptItem) -> list[Utterance]:
        """Return what was finalized of the item anew, if the model has lost it since, or has it."""
        keys = ((item.id, index) for index in sorted(item.parts))
        known = [self._finalized[key] for key in keys if key in self._finalized]
        marked = {"deleted_for_model": mark(item.is_deleted)}
        return [
            utterance
            for one in known
            for utterance in self._if_changed(msgspec.structs.replace(one, **marked))
        ]

    def _utterance(self, item: TranscriptItem, index: int, text: str, state: State) -> Utterance:
        self.has_answered |= item.is_generated and item.id not in self.coach_ids
        origin: Origin = "voice"
        if item.role == "user" and item.is_typed:
            origin = "text"
        elif item.role == "assistant" and not item.is_generated:
            origin = "seeded"
        return Utterance(
            item_id=item.id,
            content_index=index,
            role=cast(Speaker, item.role),
            text=text,
            heard_text=cut_to_heard(text, item.heard_ms, item.audio_ms),
            state=state,
            origin=origin,
            seq=0,
            position=self._order.position(item.id),
            created_at=item.created_at,
            heard_ms=item.heard_ms,
            heard_estimated=item.heard_estimated,
            audio_ms=item.audio_ms or None,
            coach_id=self.coach_ids.get(item.id),
            deleted_for_model=mark(item.is_deleted),
        )

    def _if_changed(self, utterance: Utterance) -> list[Utterance]:
        """The utterance with the next `seq`; nothing where its last version was the same."""
        key = utterance.item_id, utterance.content_index
        known = self._finalized.get(key)
        if known is not None and msgspec.structs.replace(utterance, seq=known.seq) == known:
            return []
        self.seq += 1
        self._finalized[key] = msgspec.structs.replace(utterance, seq=self.seq)
        return [self._finalized[key]]


class ResponseLatency:
    """Measures from the end of a turn (audio committed, or text sent) to the answer's first item.

    `count` is the number of answers measured.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last_ms: int | None = None
        self._turn_ended_at: float | None = None

    def turn_ended(self, now: float) -> None:
        """Note the end of the learner's turn; of two without an answer the later one counts."""
        self._turn_ended_at = now

    def answer_began(self, now: float) -> None:
        """Note that the model began to answer; an answer without a turn is not measured."""
        if self._turn_ended_at is not None:
            self.count += 1
            self.last_ms = max(0, round((now - self._turn_ended_at) * 1000))
            self._turn_ended_at = None
