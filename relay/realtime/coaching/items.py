"""A coach's turns as conversation items: their events, and their place for client and engine."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from relay.realtime.events import AUDIO_DELTA, BadEvent, Event
from relay.realtime.items import ROOT, RecentIds, unknown_item

Json = dict[str, Any]

BYTES_PER_MS: Final = 48  # PCM16 mono 24 kHz

MAX_TURNS: Final = 4096
"""Turns that are remembered; an hour of one-second sentences has fewer."""

_MAX_IDS: Final = 10_000  # as many as the transcript
_DELETED: Final = "conversation.item.deleted"
_PLACING: Final = frozenset(
    {"conversation.item.added", "conversation.item.created", "input_audio_buffer.committed"}
)
"""The engine's events that give an item its place."""

_ABOUT_ITEM: Final = _PLACING | {
    *("conversation.item.done", "conversation.item.retrieved"),
    *("conversation.item.truncated", _DELETED),
}
"""The engine's events about an item; those about a coach's item are not shown to the client."""


@dataclass(slots=True)
class CoachTurn:
    """What a coach says in the model's place, between two pauses, and its events as an answer.

    `item_id` and `response_id` are the relay's own. `previous` is the item before it for the
    client, `anchor` for the engine: None if there was none, "" if that item was deleted.
    `cut_reason` says why it was cut off, `heard_ms` how much was heard then. `text` is None until
    it is transcribed. `is_sent` says that the engine has been sent the item.
    """

    number: int
    coach_id: str
    item_id: str
    response_id: str
    previous: str | None
    anchor: str | None
    audio_ms: int = 0
    heard_ms: int | None = None
    cut_reason: str = ""
    text: str | None = None
    is_sent: bool = False
    is_deleted: bool = False
    event_count: int = 0

    def item(self, *, done: bool) -> Json:
        """The conversation item as the client may see it."""
        status = "incomplete" if self.cut_reason else "completed"
        part = {"type": "output_audio", **self._transcript()}
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status if done else "in_progress",
            "role": "assistant",
            "content": [part] if done else [],
        }

    def opening_events(self) -> list[Event]:
        """The events with which the answer begins (PROTOCOL §4.1)."""
        item, part = self.item(done=False), {"type": "audio", "transcript": ""}
        placed = {"previous_item_id": self.previous, "item": item}
        return [
            self.event("response.created", response=self._response("in_progress", [])),
            self._response_event("response.output_item.added", item=item),
            self.event("conversation.item.added", **placed),
            self._part_event("response.content_part.added", part=part),
        ]

    def audio_event(self, pcm: bytes) -> Event:
        """A piece of the answer's audio; the caller counts `audio_ms`."""
        return self._part_event(AUDIO_DELTA, delta=b64encode(pcm).decode())

    def audio_done_event(self) -> Event:
        """The end of the answer's audio."""
        return self._part_event("response.output_audio.done")

    def transcript_events(self) -> list[Event]:
        """The answer's text, if it is known; it may come after the answer's end."""
        if not self.text:
            return []
        return [
            self._part_event("response.output_audio_transcript.delta", delta=self.text),
            self._part_event("response.output_audio_transcript.done", transcript=self.text),
        ]

    def closing_events(self) -> list[Event]:
        """The events with which the answer ends (PROTOCOL §4.1; cut off, PROTOCOL §4.4)."""
        item, part = self.item(done=True), {"type": "audio", **self._transcript()}
        placed = {"previous_item_id": self.previous, "item": item}
        status = "cancelled" if self.cut_reason else "completed"
        return [
            self._part_event("response.content_part.done", part=part),
            self.event("conversation.item.done", **placed),
            self._response_event("response.output_item.done", item=item),
            self.event("response.done", response=self._response(status, [item])),
        ]

    def event(self, kind: str, **fields: Any) -> Event:
        """An event about this turn, with an id of its own."""
        self.event_count += 1
        return {"type": kind, "event_id": f"event_{self.item_id}_{self.event_count}", **fields}

    def _transcript(self) -> Json:
        return {} if self.text is None else {"transcript": self.text}

    def _response(self, status: str, output: list[Json]) -> Json:
        cancelled = {"type": "cancelled", "reason": self.cut_reason}
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": cancelled if status == "cancelled" else None,
            "output": output,
            "output_modalities": ["audio"],
            "usage": None,
            "metadata": None,
        }

    def _part_event(self, kind: str, **fields: Any) -> Event:
        ids = {"response_id": self.response_id, "item_id": self.item_id}
        return self.event(kind, **ids, output_index=0, content_index=0, **fields)

    def _response_event(self, kind: str, **fields: Any) -> Event:
        return self.event(kind, response_id=self.response_id, output_index=0, **fields)


class CoachItems:
    """Keeps the order of items consistent between the client and the engine.

    The client sees a coach's item at once, the engine only when its text is known.
    """

    def __init__(self) -> None:
        self._turns: dict[str, CoachTurn] = {}
        # By item: the coach's item that follows it for the client, but not (yet) for the engine.
        self._after: dict[str | None, str] = {}
        self._placed = RecentIds(_MAX_IDS)
        self.gone = RecentIds(_MAX_IDS)  # ids of deleted items
        self.tail: str | None = None  # the engine's last item, "" if that was deleted

    def __contains__(self, item_id: Any) -> bool:
        return isinstance(item_id, str) and item_id in self._turns

    def find(self, item_id: Any) -> CoachTurn | None:
        """The turn of this item, if it is a coach's."""
        return self._turns.get(item_id) if isinstance(item_id, str) else None

    def add(self, turn: CoachTurn) -> None:
        """Append a coach's item to the conversation."""
        self._turns[turn.item_id] = turn
        self._after[turn.previous] = turn.item_id
        if len(self._turns) > MAX_TURNS:
            oldest = next(iter(self._turns))
            self._unlink(self._turns.pop(oldest))

    def observe(self, event: Event, now: float) -> None:
        """Follow which item is the last one in the engine's conversation."""
        if event["type"] == _DELETED:
            self.gone.add(str(event.get("item_id")))
            if event.get("item_id") == self.tail:
                self.tail = ""
        if event["type"] not in _PLACING:
            return
        item_id, previous = _item_id(event), event.get("previous_item_id")
        if not isinstance(item_id, str) or item_id in self._placed:
            return
        self._placed.add(item_id)
        is_known = previous in self._placed or previous in (None, ROOT)
        if not self.tail or previous == self.tail or not is_known:
            self.tail = item_id

    def visible(self, event: Event) -> Event | None:
        """An engine's event as the client may see it; None if it is about a coach's item."""
        if not self._turns or event["type"] not in _ABOUT_ITEM:
            return event
        turn = self.find(_item_id(event))
        if turn is not None:
            if event["type"] in _PLACING:
                self._unlink(turn)
            return None
        if "previous_item_id" not in event:
            return event
        previous = event["previous_item_id"]
        if event["type"] not in _PLACING and previous is None:  # not to be believed (PROTOCOL §5.3)
            return event
        while previous in self._after:
            previous = self._after[previous]
        return {**event, "previous_item_id": previous}

    def for_engine(self, event: Event) -> Event:
        """A client's event as the engine may see it; BadEvent if it refers to an unsent item."""
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
        return {**event, "previous_item_id": self.previous_for_engine(turn)}

    def previous_for_engine(self, turn: CoachTurn) -> str | None:
        """The `previous_item_id` that gives a turn its place in the engine's conversation.

        None stands for the end, if nothing better is known.
        """
        sent = [t.item_id for t in self._turns.values() if t.is_sent and t.anchor == turn.anchor]
        earlier = [i for i in sent if self._turns[i].number < turn.number and i not in self.gone]
        if earlier:
            return earlier[-1]
        if turn.anchor is None:
            return ROOT
        return None if not turn.anchor or turn.anchor in self.gone else turn.anchor

    def delete(self, turn: CoachTurn) -> None:
        """Delete a coach's item at the client's wish; what followed it moves up."""
        turn.is_deleted = True
        self.gone.add(turn.item_id)
        following = self._after.pop(turn.item_id, None)
        self._unlink(turn)
        if following is not None:
            self._after[turn.previous] = following

    def _unlink(self, turn: CoachTurn) -> None:
        """Stop inserting a turn after its predecessor: the engine has it in its place."""
        if self._after.get(turn.previous) == turn.item_id:
            del self._after[turn.previous]


def _item_id(event: Event) -> Any:
    item = event.get("item")
    return item.get("id") if isinstance(item, dict) else event.get("item_id")
