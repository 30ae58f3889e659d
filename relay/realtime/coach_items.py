"""Where a coach's items stand: in the client's eyes at once, in the engine's once it is told."""

from typing import Any, Final

from relay.realtime.coach_turn import Turn
from relay.realtime.events import BadEvent, Event
from relay.realtime.hidden_items import unknown
from relay.realtime.order import ROOT
from relay.realtime.recent import Recent

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
        self._turns: dict[str, Turn] = {}
        self._after: dict[str | None, str] = {}  # the coach's item that the engine has not there
        self._placed = Recent(_MOST_IDS)
        self.gone = Recent(_MOST_IDS)
        self.tail: str | None = None  # the engine's last item, "" where that was deleted

    def __contains__(self, item_id: Any) -> bool:
        return isinstance(item_id, str) and item_id in self._turns

    def find(self, item_id: Any) -> Turn | None:
        """The turn that this item is."""
        return self._turns.get(item_id) if isinstance(item_id, str) else None

    def add(self, turn: Turn) -> None:
        """A coach begins to speak; the item stands at the conversation's end."""
        self._turns[turn.item_id] = turn
        self._after[turn.previous] = turn.item_id
        if len(self._turns) > MOST_TURNS:
            eldest = next(iter(self._turns))
            self._forget(self._turns.pop(eldest))

    def follow(self, event: Event) -> None:
        """Any event of the engine's: note what stands last there."""
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
                raise unknown(event, "creating", "invalid_value", turn.item_id)
        item = event.get("item")
        if isinstance(item, dict) and item.get("id") in self:
            message = f"Error adding item: the item with id '{item['id']}' already exists."
            code = "item_create_duplicate_item_id"
            raise BadEvent(message, code=code, event_id=event.get("event_id"))
        turn = self.find(event.get("previous_item_id"))
        if turn is None or turn.is_sent:
            return event
        return {**event, "previous_item_id": self.before(turn)}

    def before(self, turn: Turn) -> str | None:
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

    def delete(self, turn: Turn) -> None:
        """The client has no use for it any more; what stood behind it moves up."""
        turn.is_deleted = True
        self.gone.add(turn.item_id)
        behind = self._after.pop(turn.item_id, None)
        self._forget(turn)
        if behind is not None:
            self._after[turn.previous] = behind

    def _forget(self, turn: Turn) -> None:
        """The engine has it in its place: what follows it there follows it here."""
        if self._after.get(turn.previous) == turn.item_id:
            del self._after[turn.previous]


def _item_id(event: Event) -> Any:
    item = event.get("item")
    return item.get("id") if isinstance(item, dict) else event.get("item_id")
