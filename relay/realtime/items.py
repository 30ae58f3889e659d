"""Which conversation items a client is not shown, and what it is shown in their place."""

from bisect import bisect_left, insort
from collections.abc import Container
from typing import Any, Final

from relay.realtime.effects import RuleOutcome
from relay.realtime.events import BadEvent, Event
from relay.realtime.requests import RequestTracker

# ---- Conversation order: items linked by `previous_item_id`, kept as positions that can be sorted.

ROOT = "root"


class ItemOrder:
    """Positions of items; the first word on an item's place wins (PROTOCOL §5.3, §5.18).

    An item after the last one gets the next whole number, one between two others the number
    between theirs, so no position ever changes.
    """

    def __init__(self) -> None:
        self._position: dict[str, float] = {}
        self._sorted: list[tuple[float, str]] = []

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._position

    def position(self, item_id: str) -> float:
        """Where the item stands; KeyError for one that was never linked."""
        return self._position[item_id]

    def neighbours(self, item_id: str) -> tuple[str | None, str | None]:
        """The items right before and right after this one."""
        at = self._index(item_id)
        before = self._sorted[at - 1][1] if at else None
        after = self._sorted[at + 1][1] if at + 1 < len(self._sorted) else None
        return before, after

    def last(self, gone: Container[str]) -> str | None:
        """The last item of those that are not gone."""
        return next((key for _, key in reversed(self._sorted) if key not in gone), None)

    def link(self, item_id: str, previous: str | None) -> None:
        """Put the item after `previous`; "root" is the front, an unknown one the end."""
        if item_id in self._position:
            return
        position = self._place(previous)
        self._position[item_id] = position
        insort(self._sorted, (position, item_id))

    def _place(self, previous: str | None) -> float:
        if not self._sorted:
            return 1.0
        if previous == ROOT:
            return self._sorted[0][0] - 1.0
        at = self._index(previous) if previous in self._position else len(self._sorted) - 1
        if at == len(self._sorted) - 1:
            return self._sorted[-1][0] + 1.0
        return (self._sorted[at][0] + self._sorted[at + 1][0]) / 2

    def _index(self, item_id: str | None) -> int:
        assert item_id is not None  # noqa: S101 - narrows the type for `_place`
        return bisect_left(self._sorted, (self._position[item_id], item_id))


# ---- A set that forgets its oldest members.


class RecentIds:
    """Remembers the last `most` different strings that were added."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._members: dict[str, None] = {}

    def __contains__(self, member: object) -> bool:
        return isinstance(member, str) and member in self._members

    def add(self, member: str) -> None:
        """Remember it; the oldest one goes where there is no more room."""
        self._members[member] = None
        if len(self._members) > self._most:
            del self._members[next(iter(self._members))]


Json = dict[str, Any]

_MOST_IDS: Final = 8192  # hidden item and call ids: 2,700 calls, more than an hour holds
_MOST_ITEMS: Final = 10_000  # as many as the transcript
_ARGUMENTS_DONE: Final = "response.function_call_arguments.done"
_DELETED: Final = "conversation.item.deleted"
_PLACED: Final = frozenset(
    {"conversation.item.added", "conversation.item.created", "input_audio_buffer.committed"}
)
"""Events whose `previous_item_id` can be believed; that of `.done` cannot (PROTOCOL §5.3)."""

_NAMING: Final = {
    "conversation.item.retrieve": ("retrieving", "item_retrieve_invalid_item_id"),
    "conversation.item.truncate": ("truncating", "item_truncate_invalid_item_id"),
    "conversation.item.delete": ("deleting", "item_delete_invalid_item_id"),
}
"""Client events that name an item, and what the API answers where there is none of that id."""


class HiddenItems:
    """Calls of the server's own tools with the items that answer them, and the relay's own items.

    Whatever function call has one of `names` is hidden: no client can make such an item (a grant
    with server tools refuses it), so the model did.
    """

    reads: Final = _PLACED | {
        *("conversation.item.done", "conversation.item.retrieved"),
        *("conversation.item.truncated", _DELETED),
    }
    """The engine's events by which a client would know of an item."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self._names = names
        self._ids = RecentIds(_MOST_IDS)
        self._order = ItemOrder()
        self._placed = 0
        self._gone = RecentIds(_MOST_ITEMS)

    def is_call(self, item: Any) -> bool:
        """Whether this item is a call of one of the server's own tools."""
        if not isinstance(item, dict) or item.get("type") != "function_call":
            return False
        return self._has_name(item)

    def _has_name(self, named: Json) -> bool:
        name = named.get("name")
        return isinstance(name, str) and name in self._names

    def hide(self, item_id: str) -> None:
        """An item that the relay itself is about to make."""
        self._ids.add(item_id)

    def hides(self, event: Event) -> bool:
        """Note where the event's item stands, and tell whether the event is hidden."""
        item = event.get("item")
        hidden = self._hides_item(item) if isinstance(item, dict) else self._hides_named(event)
        self._place(event)
        return hidden

    def visible(self, output: list[Any]) -> list[Any]:
        """The items of a response that the client is shown."""
        return [item for item in output if not (isinstance(item, dict) and self._hides_item(item))]

    def relinked(self, event: Event) -> Event:
        """The event with a predecessor that the client knows; the same object where it has."""
        previous = event.get("previous_item_id")
        if previous not in self._ids:
            return event
        return {**event, "previous_item_id": self._visible_before(previous)}

    def check(self, event: Event) -> None:
        """Raise BadEvent for a client's event that names a hidden item, as if it did not exist."""
        item_id = event.get("item_id")
        if item_id in self._ids and event["type"] in _NAMING:
            doing, code = _NAMING[event["type"]]
            raise unknown(event, doing, code, item_id)
        if event.get("previous_item_id") in self._ids:
            code = "item_create_invalid_previous_item_id"
            raise unknown(event, "creating", code, event["previous_item_id"])
        for item in _items_of(event):
            for name in ("id", "call_id"):
                if item.get(name) in self._ids:
                    raise unknown(event, "creating", "invalid_value", item[name])

    def _hides_item(self, item: Json) -> bool:
        named = [item[name] for name in ("id", "call_id") if isinstance(item.get(name), str)]
        if not self.is_call(item) and not any(name in self._ids for name in named):
            return False
        for name in named:
            self._ids.add(name)
        return True

    def _hides_named(self, event: Event) -> bool:
        """An event about an item, or a piece of a call's arguments; `.done` has the call's name."""
        if event["type"] == _ARGUMENTS_DONE and self._has_name(event):
            return self._hides_item({**event, "type": "function_call", "id": event.get("item_id")})
        return event.get("item_id") in self._ids or event.get("call_id") in self._ids

    def _place(self, event: Event) -> None:
        item = event.get("item")
        item_id = item.get("id") if isinstance(item, dict) else event.get("item_id")
        if not isinstance(item_id, str):
            return
        if event["type"] == _DELETED:
            self._gone.add(item_id)
        if event["type"] in _PLACED:
            previous = event.get("previous_item_id")
            if isinstance(previous, str):
                self._link(previous, None)  # where its own event was missed
            self._link(item_id, previous if isinstance(previous, str) else None)

    def _link(self, item_id: str, previous: str | None) -> None:
        if item_id not in self._order and self._placed < _MOST_ITEMS:
            self._order.link(item_id, previous)
            self._placed += 1

    def _visible_before(self, item_id: Any) -> str | None:
        """The nearest item before this one that the client knows.

        Looked up in the whole order: something may have been put between since.
        """
        before: str | None = item_id
        while before is not None and (before in self._ids or before in self._gone):
            before = self._order.neighbours(before)[0] if before in self._order else None
        return before


def _items_of(event: Event) -> list[Json]:
    """The items that a client's event brings, or refers to."""
    response = event.get("response")
    given = response.get("input") if isinstance(response, dict) else None
    items = [event.get("item"), *(given if isinstance(given, list) else [])]
    return [item for item in items if isinstance(item, dict)]


def unknown(event: Event, doing: str, code: str, item_id: Any) -> BadEvent:
    """The refusal of an event that names an item which does not exist."""
    return BadEvent(
        f"Error {doing} item: the item with id '{item_id}' does not exist.",
        code=code,
        event_id=event.get("event_id"),
    )


# ---- Conversation items of the relay's own: made under its ids, and never shown to the client.


class InjectedItems:
    """Costs nothing until the first item is made."""

    def __init__(self, requests: RequestTracker) -> None:
        self._requests = requests
        self._hidden: HiddenItems | None = None
        self._made = 0

    def create(self, item: dict[str, Any]) -> Event:
        """The `conversation.item.create` that goes up for this item, which needs no id."""
        if self._hidden is None:
            self._hidden = HiddenItems()
        self._made += 1
        item_id = f"relay_item_{self._made}"
        self._hidden.hide(item_id)
        made = {"type": "conversation.item.create", "item": {**item, "id": item_id}}
        return self._requests.stamp(made)

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event; raises BadEvent where it names such an item, as if that did not exist."""
        if self._hidden is not None:
            self._hidden.check(event)
        return RuleOutcome([event])

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event without a trace of these items; none where it is about one."""
        if self._hidden is None or event["type"] not in HiddenItems.reads:
            return RuleOutcome([event])
        if self._hidden.hides(event):
            return RuleOutcome()
        return RuleOutcome([self._hidden.relinked(event)])


def system_item(text: str) -> dict[str, Any]:
    """What the model is told, as a message from the system."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "system", "content": content}
