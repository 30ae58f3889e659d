"""Where a coach's items stand: in the client's eyes at once, in the engine's once it is told."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from relay.realtime.events import AUDIO_DELTA, BadEvent, Event
from relay.realtime.items import ROOT, RecentIds, unknown_item

# ---- One thing a coach says in the model's place, and the events that make it an ordinary answer.

Json = dict[str, Any]
BYTES_PER_MS: Final = 48  # PCM16 mono 24 kHz


@dataclass(slots=True)
class CoachTurn:
    """`item_id` and `response_id` are the relay's own.

    `previous` is the item before it in the client's eyes, `anchor` in the engine's: None where
    there was none, "" where that item is gone. `cut` says why it was cut off, `heard_ms` how much
    of it was heard then. `words` are None until they are known. `is_sent` says that the engine was
    told of it.
    """

    number: int
    coach_id: str
    item_id: str
    response_id: str
    previous: str | None
    anchor: str | None
    audio_ms: int = 0
    heard_ms: int | None = None
    cut: str = ""
    words: str | None = None
    is_sent: bool = False
    is_deleted: bool = False
    events: int = 0

    def item(self, *, done: bool) -> Json:
        """The conversation item as the client may see it."""
        status = "incomplete" if self.cut else "completed"
        said = {"type": "output_audio", **self._transcript()}
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status if done else "in_progress",
            "role": "assistant",
            "content": [said] if done else [],
        }

    def began(self) -> list[Event]:
        """How the answer begins (PROTOCOL §4.1)."""
        item, part = self.item(done=False), {"type": "audio", "transcript": ""}
        placed = {"previous_item_id": self.previous, "item": item}
        return [
            self._event("response.created", response=self._response("in_progress", [])),
            self._in_response("response.output_item.added", item=item),
            self._event("conversation.item.added", **placed),
            self._in_part("response.content_part.added", part=part),
        ]

    def sound(self, pcm: bytes) -> Event:
        """A piece of it; mind `audio_ms`."""
        return self._in_part(AUDIO_DELTA, delta=b64encode(pcm).decode())

    def silent(self) -> list[Event]:
        """No more sound comes."""
        return [self._in_part("response.output_audio.done")]

    def spelled(self) -> list[Event]:
        """The words, where they are known; they may come after the answer's end."""
        if not self.words:
            return []
        return [
            self._in_part("response.output_audio_transcript.delta", delta=self.words),
            self._in_part("response.output_audio_transcript.done", transcript=self.words),
        ]

    def ended(self) -> list[Event]:
        """How the answer ends (PROTOCOL §4.1; cut off, PROTOCOL §4.4)."""
        item, part = self.item(done=True), {"type": "audio", **self._transcript()}
        placed = {"previous_item_id": self.previous, "item": item}
        status = "cancelled" if self.cut else "completed"
        return [
            self._in_part("response.content_part.done", part=part),
            self._event("conversation.item.done", **placed),
            self._in_response("response.output_item.done", item=item),
            self._event("response.done", response=self._response(status, [item])),
        ]

    def told(self, kind: str, **more: Any) -> Event:
        """An answer to a client that asked about the item."""
        return self._event(kind, **more)

    def _transcript(self) -> Json:
        return {} if self.words is None else {"transcript": self.words}

    def _response(self, status: str, output: list[Json]) -> Json:
        why = {"type": "cancelled", "reason": self.cut} if status == "cancelled" else None
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": why,
            "output": output,
            "output_modalities": ["audio"],
            "usage": None,
            "metadata": None,
        }

    def _in_part(self, kind: str, **more: Any) -> Event:
        ids = {"response_id": self.response_id, "item_id": self.item_id}
        return self._event(kind, **ids, output_index=0, content_index=0, **more)

    def _in_response(self, kind: str, **more: Any) -> Event:
        return self._event(kind, response_id=self.response_id, output_index=0, **more)

    def _event(self, kind: str, **more: Any) -> Event:
        self.events += 1
        return {"type": kind, "event_id": f"event_{self.item_id}_{self.events}", **more}


MOST_TURNS: Final = 4096
"""Turns that are remembered; more than an hour of one-second sentences holds."""
_MOST_IDS: Final = 10_000  # as many as the transcript
_DELETED: Final = "conversation.item.deleted"
_PLACED: Final = frozenset(
    {"conversation.item.added", "conversation.item.created", "input_audio_buffer.committed"}
)
_ABOUT: Final = _PLACED | {
    *("conversation.item.done", "conversation.item.retrieved"),
    *("conversation.item.truncated", _DELETED),
}
"""The engine's events about an item: what it says of a coach's is known already."""


class CoachItems:
    """The engine knows nothing of a coach's item until its words are known, the client at once."""

    def __init__(self) -> None:
        self._turns: dict[str, CoachTurn] = {}
        self._after: dict[str | None, str] = {}  # the coach's item that the engine has not there
        self._placed = RecentIds(_MOST_IDS)
        self.gone = RecentIds(_MOST_IDS)
        self.tail: str | None = None  # the engine's last item, "" where that was deleted

    def __contains__(self, item_id: Any) -> bool:
        return isinstance(item_id, str) and item_id in self._turns

    def find(self, item_id: Any) -> CoachTurn | None:
        """The turn that this item is."""
        return self._turns.get(item_id) if isinstance(item_id, str) else None

    def add(self, turn: CoachTurn) -> None:
        """A coach begins to speak; the item stands at the conversation's end."""
        self._turns[turn.item_id] = turn
        self._after[turn.previous] = turn.item_id
        if len(self._turns) > MOST_TURNS:
            eldest = next(iter(self._turns))
            self._forget(self._turns.pop(eldest))

    def observe(self, event: Event, now: float) -> None:
        """Note which item stands last in the engine's conversation."""
        if event["type"] == _DELETED:
            self.gone.add(str(event.get("item_id")))
            if event.get("item_id") == self.tail:
                self.tail = ""
        if event["type"] not in _PLACED:
            return
        item_id, previous = _item_id(event), event.get("previous_item_id")
        if not isinstance(item_id, str) or item_id in self._placed:
            return
        self._placed.add(item_id)
        known = previous in self._placed or previous in (None, ROOT)
        if not self.tail or previous == self.tail or not known:
            self.tail = item_id

    def visible(self, event: Event) -> Event | None:
        """An engine's event as the client may see it; None where it is about a coach's item."""
        if not self._turns or event["type"] not in _ABOUT:
            return event
        turn = self.find(_item_id(event))
        if turn is not None:
            if event["type"] in _PLACED:
                self._forget(turn)
            return None
        if "previous_item_id" not in event:
            return event
        previous = event["previous_item_id"]
        if event["type"] not in _PLACED and previous is None:  # not to be believed (PROTOCOL §5.3)
            return event
        while previous in self._after:
            previous = self._after[previous]
        return {**event, "previous_item_id": previous}

    def checked(self, event: Event) -> Event:
        """A client's event on its way up, in the engine's eyes; raises BadEvent."""
        response = event.get("response")
        given = response.get("input") if isinstance(response, dict) else None
        for item in given if isinstance(given, list) else []:
            turn = self.find(item.get("id")) if isinstance(item, dict) else None
            if turn is not None and not turn.is_sent:
                raise unknown_item(event, "creating", "invalid_value", turn.item_id)
        item = event.get("item")
        if isinstance(item, dict) and item.get("id") in self:
            message = f"Error adding item: the item with id '{item['id']}' already exists."
            code = "item_create_duplicate_item_id"
            raise BadEvent(message, code=code, event_id=event.get("event_id"))
        turn = self.find(event.get("previous_item_id"))
        if turn is None or turn.is_sent:
            return event
        return {**event, "previous_item_id": self.before(turn)}

    def before(self, turn: CoachTurn) -> str | None:
        """What the engine has right before this turn's place: for `previous_item_id`.

        None stands for the end, where nothing better is known.
        """
        sent = [t.item_id for t in self._turns.values() if t.is_sent and t.anchor == turn.anchor]
        earlier = [i for i in sent if self._turns[i].number < turn.number and i not in self.gone]
        if earlier:
            return earlier[-1]
        if turn.anchor is None:
            return ROOT
        return None if not turn.anchor or turn.anchor in self.gone else turn.anchor

    def delete(self, turn: CoachTurn) -> None:
        """The client has no use for it any more; what stood behind it moves up."""
        turn.is_deleted = True
        self.gone.add(turn.item_id)
        behind = self._after.pop(turn.item_id, None)
        self._forget(turn)
        if behind is not None:
            self._after[turn.previous] = behind

    def _forget(self, turn: CoachTurn) -> None:
        """The engine has it in its place: what follows it there follows it here."""
        if self._after.get(turn.previous) == turn.item_id:
            del self._after[turn.previous]


def _item_id(event: Event) -> Any:
    item = event.get("item")
    return item.get("id") if isinstance(item, dict) else event.get("item_id")
