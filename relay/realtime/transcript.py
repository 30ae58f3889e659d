"""What both speakers said, put together from the engine's events by item id (PROTOCOL §5)."""

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple, cast

import msgspec

from relay.realtime.events import Event, TextDelta
from relay.realtime.items import ItemOrder
from relay.realtime.playout import HeardAudio, Playback, heard_text
from relay.realtime.records import Origin, Speaker, State, Utterance

# ---- One conversation item while its words come in.

_TEXT_OF: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "input_audio": "transcript",
    "output_audio": "transcript",
    "audio": "transcript",
}
_MAX_PARTS: Final = 64  # content parts of one item; the API itself shows one or two


@dataclass(slots=True)
class ContentPart:
    """One content part: the deltas so far, and the text once an event gave it whole."""

    deltas: list[str] = field(default_factory=list)
    text: str | None = None

    def so_far(self) -> str:
        """What is known of the text; deltas join raw, as they bring their own spaces."""
        return (self.text if self.text is not None else "".join(self.deltas)).strip()


@dataclass(slots=True)
class TranscriptItem:
    """What is known of one item. `seen` and `created` are Unix seconds."""

    id: str
    role: str
    seen: float
    created: float = 0.0
    generated: bool = False
    typed: bool = False
    status: str = "in_progress"
    failed: bool = False
    deleted: bool = False
    audio_ms: int = 0
    heard_ms: int | None = None
    estimated: bool = False
    parts: dict[int, ContentPart] = field(default_factory=dict)

    def part(self, index: Any) -> ContentPart | None:
        """The content part at this index, made when it is new; None beyond the bound."""
        key = index if isinstance(index, int) else 0
        if key not in self.parts and len(self.parts) >= _MAX_PARTS:
            return None
        return self.parts.setdefault(key, ContentPart())

    def answer_state(self) -> State:
        """What became of a complete answer."""
        if self.deleted or self.heard_ms == 0:
            return "unheard"
        cut = self.heard_ms is not None and (not self.audio_ms or self.heard_ms < self.audio_ms)
        return "interrupted" if cut or self.status == "incomplete" else "final"

    def read_content(self, content: Any) -> None:
        """Take the texts of an item object; what is already known whole stays."""
        if not isinstance(content, list):
            return
        for index, given in enumerate(content):
            if not isinstance(given, dict):
                continue
            kind = given.get("type")
            text = given.get(_TEXT_OF.get(str(kind), ""))
            part = self.part(index) if isinstance(text, str) else None
            if part is not None and part.text is None and isinstance(text, str):
                part.text = text
            self.typed = self.typed or kind == "input_text"

    def take_delta(self, event: Event) -> None:
        """A piece of a part's text."""
        if isinstance(event.get("delta"), str):
            self.take_word(event.get("content_index"), event["delta"])

    def take_word(self, index: Any, text: str) -> None:
        """The same, where it is known what is what."""
        part = self.part(index)
        if part is not None:
            part.deltas.append(text)

    def take_text(self, event: Event) -> None:
        """A part's whole text, from any of the events that have it; the first one counts."""
        part = self.part(event.get("content_index"))
        given = event.get("part", event)
        text = given.get("transcript", given.get("text")) if isinstance(given, dict) else None
        if part is not None and part.text is None and isinstance(text, str):
            part.text = text


# ---- How long answers let the learner wait; pure.


class ResponseLatency:
    """From the end of a turn (committed sound, or a written message) to the answer's first item."""

    def __init__(self) -> None:
        self.count = 0
        self.last_ms: int | None = None
        self._turn_over: float | None = None

    def turn(self, now: float) -> None:
        """The learner has said their turn; of two without an answer the later one counts."""
        self._turn_over = now

    def answer(self, now: float) -> None:
        """The model has begun to answer; what it says of its own accord is no answer."""
        if self._turn_over is not None:
            self.count += 1
            self.last_ms = max(0, round((now - self._turn_over) * 1000))
            self._turn_over = None


# ---- Utterances get their place, their `seq` and their final words here, each once.

_SPEAKERS: Final = ("user", "assistant")


class UtteranceFinalizer:
    """Keeps what settled of a session's items, and in which order."""

    def __init__(self, items: Mapping[str, TranscriptItem]) -> None:
        self._items = items
        self._order = ItemOrder()
        self._settled: dict[tuple[str, int], Utterance] = {}
        self.seq = 0
        self.delays = ResponseLatency()
        self.coaches: dict[str, str] = {}  # who said an item in the model's place

    def has_settled(self, item: TranscriptItem) -> bool:
        """Whether any of the item's words settled."""
        return any((item.id, index) in self._settled for index in item.parts)

    def last(self, gone: Container[str]) -> str | None:
        """The item at the conversation's end, of those that are not gone."""
        return self._order.last(gone)

    def link(self, item: TranscriptItem, previous: Any, over: float | None = None) -> None:
        """Give the item its place; `created` follows the places, whatever arrived first.

        `over` is when the turn that it holds was over, where that is later than its first sign.
        """
        if over is not None:
            self.delays.turn(over)
        if item.id in self._order:
            return
        if over is None and item.role == "user":
            self.delays.turn(item.seen)
        elif item.generated and item.id not in self.coaches:
            self.delays.answer(item.seen)
        self._order.link(item.id, previous if isinstance(previous, str) else None)
        before, after = self._order.neighbours(item.id)
        item.created = max(item.seen, self._items[before].created if before else 0.0)
        if after is not None:
            item.created = min(item.created, self._items[after].created)

    def settle(self, item: TranscriptItem, state: State) -> list[Utterance]:
        """The item's utterances as they are now; those that say nothing new are left out."""
        if item.role not in _SPEAKERS:
            return []
        settled = []
        for index in sorted(item.parts):
            text = item.parts[index].so_far()
            if text:
                self.link(item, None)
                settled += self._changed(self._utterance(item, index, text, state))
        return settled

    def _utterance(self, item: TranscriptItem, index: int, text: str, state: State) -> Utterance:
        origin: Origin = "voice"
        if item.role == "user" and item.typed:
            origin = "text"
        elif item.role == "assistant" and not item.generated:
            origin = "seeded"
        return Utterance(
            item_id=item.id,
            content_index=index,
            role=cast(Speaker, item.role),
            text=text,
            heard_text=heard_text(text, item.heard_ms, item.audio_ms),
            state=state,
            origin=origin,
            seq=0,
            position=self._order.position(item.id),
            created_at=item.created,
            heard_ms=item.heard_ms,
            heard_estimated=item.estimated,
            audio_ms=item.audio_ms or None,
            coach_id=self.coaches.get(item.id),
        )

    def _changed(self, utterance: Utterance) -> list[Utterance]:
        """The utterance with the next `seq`, or nothing when it says what was already settled."""
        key = utterance.item_id, utterance.content_index
        known = self._settled.get(key)
        if known is not None and msgspec.structs.replace(utterance, seq=known.seq) == known:
            return []
        self.seq += 1
        self._settled[key] = msgspec.structs.replace(utterance, seq=self.seq)
        return [self._settled[key]]


# ---- The words so far of what nobody has finished saying; read only while somebody watches.

_NEWEST: Final = 32  # items looked at: what is open is always among the last that began
_SPEAKING_ROLES: Final = ("user", "assistant")


class InterimTranscript(NamedTuple):
    """What is known so far of one content part that has not settled, and which coach says it."""

    item_id: str
    content_index: int
    role: Speaker
    text: str
    coach_id: str | None = None


class InterimTranscripts:
    """Looks into a transcript's own items when asked, so that collecting words costs nothing."""

    def __init__(self, items: dict[str, TranscriptItem], settling: UtteranceFinalizer) -> None:
        self._items = items
        self._settling = settling

    @property
    def settled(self) -> int:
        """The newest `seq`: how many times something settled."""
        return self._settling.seq

    def open(self) -> list[InterimTranscript]:
        """The open parts that have words, the oldest item first."""
        coaches = self._settling.coaches
        newest = [self._items[key] for key in islice(reversed(self._items), _NEWEST)]
        return [
            InterimTranscript(
                item.id, index, cast("Speaker", item.role), text, coaches.get(item.id)
            )
            for item in reversed(newest)
            if item.role in _SPEAKING_ROLES
            and not item.deleted
            and not self._settling.has_settled(item)
            for index, part in sorted(item.parts.items())
            if (text := part.so_far())
        ]


_Handler = Callable[[Event, float], list[Utterance]]
_HEARD: Final = "conversation.item.input_audio_transcription."
_SPOKEN: Final = "response.output_audio_transcript."
_WRITTEN: Final = "response.output_text."
_MAX_ITEMS: Final = 10_000  # an hour of turns of one second each is 3,600


class Transcript:
    """Observes every event but audio, and returns the utterances that settled.

    The learner's words settle when their text is final, an answer when it was heard to its end or
    cut. An utterance settles again, with a new `seq`, when a later event corrects it; a repeat
    changes nothing. Empty ones keep their position and never settle.
    """

    def __init__(self, playback: Playback) -> None:
        self._playback = playback
        self._items: dict[str, TranscriptItem] = {}
        self.settling = UtteranceFinalizer(self._items)
        self.partials = InterimTranscripts(self._items, self.settling)
        self._out_of_band: set[str] = set()
        self._playing: dict[str, TranscriptItem] = {}
        self._handlers = self._table()
        self.reads = frozenset(self._handlers)

    def _table(self) -> dict[str, _Handler]:
        return {
            "input_audio_buffer.speech_started": self._expect_user,
            "input_audio_buffer.committed": self._committed,
            "conversation.item.added": self._item_seen,
            "conversation.item.done": self._item_seen,
            "conversation.item.retrieved": self._retrieved,
            "conversation.item.truncated": self._truncated,
            "conversation.item.deleted": self._deleted,
            _HEARD + "delta": self._delta,
            _HEARD + "completed": self._user_completed,
            _HEARD + "failed": self._user_failed,
            _SPOKEN + "delta": self._delta,
            _WRITTEN + "delta": self._delta,
            _SPOKEN + "done": self._answer_text,
            _WRITTEN + "done": self._answer_text,
            "response.content_part.done": self._answer_text,
            "response.output_item.added": self._output_item,
            "response.output_item.done": self._output_item,
            "response.created": self._response_created,
            "response.done": self._response_done,
        }

    def observe(self, event: Event, now: float) -> list[Utterance]:
        """Take one server event at `now` (Unix seconds); returns what it settled, in order."""
        handler = self._handlers.get(event["type"])
        if handler is None or str(event.get("response_id")) in self._out_of_band:
            return []
        return handler(event, now)

    def audio(self, item_id: str, milliseconds: int) -> None:
        """Count model audio that went out for an item."""
        item = self._items.get(item_id)
        if item is not None:
            item.audio_ms += milliseconds

    def word(self, word: TextDelta) -> None:
        """A piece of an answer's text, as `response.output_*.delta` brings it."""
        item = self._items.get(word.item_id)
        if item is not None and item.generated:
            item.take_word(word.content_index, word.delta)

    @property
    def is_playing(self) -> bool:
        """Whether an answer is complete and not yet heard to its end."""
        return bool(self._playing)

    def next_tick(self) -> float:
        """When an answer will have been heard to its end; infinity when none is playing."""
        return min(map(self._playback.ends_at, self._playing), default=math.inf)

    def tick(self, now: float) -> list[Utterance]:
        """Settle the answers that were heard to their end by now."""
        ended = [item for item in self._playing.values() if self._playback.ended(item.id, now)]
        return [utterance for item in ended for utterance in self._answered(item, now)]

    def cut(self, heard: HeardAudio, now: float) -> list[Utterance]:
        """The player was flushed while this was playing."""
        item = self._items.get(heard.item_id)
        if item is None:
            return []
        item.heard_ms, item.estimated = heard.ms, not heard.exact
        return self._answered(item, now) if item.status != "in_progress" else []

    def finish(self, now: float) -> list[Utterance]:
        """The session ended: what was not heard to its end was cut, what is open is partial."""
        settled: list[Utterance] = []
        for item in list(self._items.values()):
            if item.id in self._playing or self._broke_off(item, now):
                settled += self.cut(self._playback.heard(item.id, now), now)
            if not self.settling.has_settled(item):
                settled += self.settling.settle(item, "partial")
        return settled

    def _broke_off(self, item: TranscriptItem, now: float) -> bool:
        is_open = item.status == "in_progress" and item.heard_ms is None
        return is_open and not self._playback.ended(item.id, now)

    def _open(self, item_id: Any, role: str, now: float) -> TranscriptItem | None:
        """The item of this id, made when it is new; None for no id or beyond the bound."""
        if not isinstance(item_id, str) or not item_id:
            return None
        if item_id not in self._items:
            if len(self._items) >= _MAX_ITEMS:
                return None
            self._items[item_id] = TranscriptItem(item_id, role, now)
        return self._items[item_id]

    def _answered(self, item: TranscriptItem, now: float) -> list[Utterance]:
        """An answer is complete: it settles now, or when it has been heard."""
        if item.heard_ms is None and not self._playback.ended(item.id, now):
            self._playing[item.id] = item
            return []
        self._playing.pop(item.id, None)
        return self.settling.settle(item, item.answer_state())

    def _expect_user(self, event: Event, now: float) -> list[Utterance]:
        self._open(event.get("item_id"), "user", now)
        return []

    def _committed(self, event: Event, now: float) -> list[Utterance]:
        item = self._open(event.get("item_id"), "user", now)
        if item is not None:
            self.settling.link(item, event.get("previous_item_id"), now)
        return []

    def _delta(self, event: Event, now: float) -> list[Utterance]:
        by_user = event["type"].startswith(_HEARD)
        item = self._open(event.get("item_id"), "user" if by_user else "assistant", now)
        if item is not None:
            item.generated = not by_user
            item.take_delta(event)
        return []

    def _user_completed(self, event: Event, now: float) -> list[Utterance]:
        item = self._open(event.get("item_id"), "user", now)
        part = item.part(event.get("content_index")) if item is not None else None
        if item is None or part is None or not isinstance(event.get("transcript"), str):
            return []
        part.text = event["transcript"]
        if event.get("status", "completed") != "completed":  # cumulative interim (PROTOCOL §5.9)
            return []
        return self.settling.settle(item, "final")

    def _user_failed(self, event: Event, now: float) -> list[Utterance]:
        item = self._open(event.get("item_id"), "user", now)
        return self.settling.settle(item, "failed") if item is not None else []

    def _item_seen(self, event: Event, now: float) -> list[Utterance]:
        """`conversation.item.added` and `.done`: the order, and texts that came with the item."""
        given = event.get("item")
        if not isinstance(given, dict):
            return []
        role = given.get("role") if given.get("type", "message") == "message" else "none"
        item = self._open(given.get("id"), str(role), now)
        if item is None:
            return []
        item.role = str(role)
        if event["type"] != "conversation.item.done" or event.get("previous_item_id") is not None:
            self.settling.link(item, event.get("previous_item_id"))
        return self._read(item, given, now)

    def _read(self, item: TranscriptItem, given: dict[str, Any], now: float) -> list[Utterance]:
        item.status = str(given.get("status", item.status))
        item.read_content(given.get("content"))
        if item.status == "in_progress":
            return []
        if item.role == "assistant":
            return self._answered(item, now)
        return self.settling.settle(item, "final") if item.typed else []

    def _retrieved(self, event: Event, now: float) -> list[Utterance]:
        """May fill a transcript that never came, and never makes an item (PROTOCOL §5.15)."""
        given = event.get("item")
        item = self._items.get(str(given.get("id"))) if isinstance(given, dict) else None
        if item is None or item.status == "in_progress" or not isinstance(given, dict):
            return []
        item.read_content(given.get("content"))
        if item.role == "assistant":
            return self._answered(item, now)
        return self.settling.settle(item, "final")

    def _truncated(self, event: Event, now: float) -> list[Utterance]:
        item, heard = self._items.get(str(event.get("item_id"))), event.get("audio_end_ms")
        if item is None or not isinstance(heard, int):
            return []
        item.heard_ms, item.estimated = heard, False
        return self._answered(item, now) if item.status != "in_progress" else []

    def _deleted(self, event: Event, now: float) -> list[Utterance]:
        """A tombstone: the place stays, and an answer that was taken back counts as unheard."""
        item = self._items.get(str(event.get("item_id")))
        if item is None or item.role != "assistant":
            return []
        item.deleted, item.heard_ms = True, 0
        return self._answered(item, now)

    def _response_created(self, event: Event, now: float) -> list[Utterance]:
        response = event.get("response")
        if isinstance(response, dict) and response.get("conversation_id", "") is None:
            self._out_of_band.add(str(response.get("id")))
        return []

    def _answer_text(self, event: Event, now: float) -> list[Utterance]:
        """The text as it was generated, which is more than what was heard (PROTOCOL §5.4)."""
        item = self._open(event.get("item_id"), "assistant", now)
        if item is not None:
            item.generated = True
            item.take_text(event)
        return []

    def _output_item(self, event: Event, now: float) -> list[Utterance]:
        given = event.get("item")
        if not isinstance(given, dict) or given.get("type", "message") != "message":
            return []
        item = self._open(given.get("id"), "assistant", now)
        if item is None:
            return []
        item.role, item.generated = "assistant", True
        return self._read(item, given, now)

    def _response_done(self, event: Event, now: float) -> list[Utterance]:
        """The last chance for texts whose own events were missed."""
        response = event.get("response")
        if not isinstance(response, dict):
            return []
        if response.get("conversation_id", "") is None:
            self._out_of_band.discard(str(response.get("id")))
            return []
        output = response.get("output")
        items = output if isinstance(output, list) else []
        return [u for given in items for u in self._output_item({"item": given}, now)]
