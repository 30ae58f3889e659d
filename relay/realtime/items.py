"""Items of a conversation: their order, those hidden from the client, those the relay injects."""

from bisect import bisect_left, insort
from collections.abc import Container
from typing import Any, Final

from relay.realtime.effects import RuleOutcome
from relay.realtime.events import BadEvent, Event
from relay.realtime.requests import RequestTracker

Json = dict[str, Any]

ROOT: Final = "root"
"""The `previous_item_id` of an item at the front."""

_MAX_HIDDEN: Final = 8192  # hidden item and call ids: 2,700 calls, more than an hour holds
_MAX_ITEMS: Final = 10_000  # as many as the transcript
_ARGUMENTS_DONE: Final = "response.function_call_arguments.done"
_DELETED: Final = "conversation.item.deleted"
_PLACED: Final = frozenset(
    {"conversation.item.added", "conversation.item.created", "input_audio_buffer.committed"}
)
"""Events whose `previous_item_id` can be trusted; that of `.done` cannot (PROTOCOL §5.3)."""

_OF_KNOWN: Final = (
    *("conversation.item.truncated", "conversation.item.retrieved"),
    _DELETED,
)
"""Events about an item that the client knows already."""

_REFUSALS: Final = {
    "conversation.item.retrieve": ("retrieving", "item_retrieve_invalid_item_id"),
    "conversation.item.truncate": ("truncating", "item_truncate_invalid_item_id"),
    "conversation.item.delete": ("deleting", "item_delete_invalid_item_id"),
}
"""Client events about one item, and the verb and code of the API's refusal of an unknown one."""


class InjectedItems:
    """Items that the relay puts into the conversation, as the rule that hides them.

    They are made under the relay's own ids, and the client sees no trace of them, but of earlier
    items that it creates again itself: those are then shown under the id that it knows. Costs
    nothing until the first item is made.
    """

    def __init__(self, requests: RequestTracker) -> None:
        self._requests = requests
        self._hidden: HiddenItems | None = None
        self._made = 0
        self._parts: dict[str, dict[str, Json]] = {}  # by an earlier item's id, then by the relay's

    def create(self, item: Json) -> Event:
        """The `conversation.item.create` for this item; an id that it has is that of earlier."""
        if self._hidden is None:
            self._hidden = HiddenItems()
        self._made += 1
        item_id = f"relay_item_{self._made}"
        self._hidden.hide(item_id)
        if "id" in item:
            self._parts.setdefault(item["id"], {})[item_id] = item
        create = {"type": "conversation.item.create", "item": {**item, "id": item_id}}
        return self._requests.stamp(create)

    def ids_of(self, earlier_id: str) -> list[str]:
        """The ids under which the engine was told an earlier item; none if it was not."""
        return list(self._parts.get(earlier_id, ()))

    def before(self, earlier_id: str) -> str | None:
        """The item before an earlier one, for the client; None if there is none or is not known."""
        first = next(iter(self._parts.get(earlier_id, ())), None)
        return None if self._hidden is None else self._hidden.visible_before(first)

    def show(self, earlier_id: str) -> Json | None:
        """Show the client an earlier item, under that id, and return it; None if there is none."""
        parts = self._parts.get(earlier_id)
        if not parts or self._hidden is None:
            return None
        self._hidden.show(next(iter(parts)), earlier_id)
        first, *others = parts.values()
        return {**first, "content": sum((part["content"] for part in others), first["content"])}

    def forget(self, earlier_id: str) -> list[str]:
        """Forget an earlier item that the client deletes; returns its ids for the engine."""
        return list(self._parts.pop(earlier_id, ()))

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event; raises BadEvent if it names such an item, as if the item did not exist."""
        if self._hidden is not None:
            self._hidden.check(event)
        return RuleOutcome([event])

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event without a trace of these items; none if it is about one."""
        if self._hidden is None or event["type"] not in HiddenItems.reads:
            return RuleOutcome([event])
        if self._hidden.hides(event):
            return RuleOutcome(self._hidden.renamed(event))
        return RuleOutcome([self._hidden.relinked(event)])


def system_item(text: str) -> Json:
    """An item with instructions to the model, as a message of the system."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "system", "content": content}


class HiddenItems:
    """Tracks which items the client must not see, and relinks the visible ones around them.

    Hidden are items announced by `hide`, function calls of one of `names`, and the outputs of such
    calls. No client can make a call of these names (a grant with server tools refuses it), so the
    model did.
    """

    reads: Final = _PLACED | {
        *("conversation.item.done", "conversation.item.retrieved"),
        *("conversation.item.truncated", _DELETED),
    }
    """The engine's events by which a client would learn of an item."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self._names = names
        self._ids = RecentIds(_MAX_HIDDEN)
        self._order = ItemOrder()
        self._linked = 0
        self._deleted = RecentIds(_MAX_ITEMS)
        self._shown: dict[str, str] = {}  # the client's names of items that are hidden otherwise

    def is_call(self, item: Any) -> bool:
        """Whether this item is a call of one of `names`."""
        if not isinstance(item, dict) or item.get("type") != "function_call":
            return False
        return self._has_name(item)

    def _has_name(self, named: Json) -> bool:
        name = named.get("name")
        return isinstance(name, str) and name in self._names

    def hide(self, item_id: str) -> None:
        """Hide an item that the relay is about to make."""
        self._ids.add(item_id)

    def show(self, item_id: str, name: str) -> None:
        """Show a hidden item from now on, under this name."""
        self._shown[item_id] = name

    def renamed(self, event: Event) -> list[Event]:
        """A hidden event as the client may see it: about an item that is shown, under its name.

        None where it tells that the item was made: the client was told so under its name.
        """
        if event["type"] not in _OF_KNOWN:
            return []
        item = event.get("item")
        item_id = item.get("id") if isinstance(item, dict) else event.get("item_id")
        name = self._shown.get(item_id) if isinstance(item_id, str) else None
        if name is None:
            return []
        if isinstance(item, dict):
            return [{**event, "item": {**item, "id": name}}]
        return [{**event, "item_id": name}]

    def hides(self, event: Event) -> bool:
        """Note the place of the event's item; returns whether the event is hidden."""
        item = event.get("item")
        hidden = self._hides_item(item) if isinstance(item, dict) else self._hides_reference(event)
        self._place(event)
        return hidden

    def visible(self, output: list[Any]) -> list[Any]:
        """The items of a response that the client may see."""
        return [item for item in output if not (isinstance(item, dict) and self._hides_item(item))]

    def relinked(self, event: Event) -> Event:
        """The event with a predecessor that the client knows; the same object if it has one."""
        previous = event.get("previous_item_id")
        if previous not in self._ids:
            return event
        return {**event, "previous_item_id": self.visible_before(previous)}

    def check(self, event: Event) -> None:
        """Raise BadEvent if a client's event names a hidden item, as if it did not exist."""
        item_id = event.get("item_id")
        if item_id in self._ids and event["type"] in _REFUSALS:
            doing, code = _REFUSALS[event["type"]]
            raise unknown_item(event, doing, code, item_id)
        if event.get("previous_item_id") in self._ids:
            code = "item_create_invalid_previous_item_id"
            raise unknown_item(event, "creating", code, event["previous_item_id"])
        for item in _items_of(event):
            for name in ("id", "call_id"):
                if item.get(name) in self._ids:
                    raise unknown_item(event, "creating", "invalid_value", item[name])

    def _hides_item(self, item: Json) -> bool:
        ids = [item[name] for name in ("id", "call_id") if isinstance(item.get(name), str)]
        if not self.is_call(item) and not any(name in self._ids for name in ids):
            return False
        for name in ids:
            self._ids.add(name)
        return True

    def _hides_reference(self, event: Event) -> bool:
        """Whether an event without an item is about a hidden one.

        Of the pieces of a call's arguments, only `.done` has the call's name.
        """
        if event["type"] == _ARGUMENTS_DONE and self._has_name(event):
            return self._hides_item({**event, "type": "function_call", "id": event.get("item_id")})
        return event.get("item_id") in self._ids or event.get("call_id") in self._ids

    def _place(self, event: Event) -> None:
        item = event.get("item")
        item_id = item.get("id") if isinstance(item, dict) else event.get("item_id")
        if not isinstance(item_id, str):
            return
        if event["type"] == _DELETED:
            self._deleted.add(item_id)
        if event["type"] in _PLACED:
            previous = event.get("previous_item_id")
            if isinstance(previous, str) and previous != ROOT:
                self._link(previous, None)  # in case its own event was missed
            self._link(item_id, previous if isinstance(previous, str) else None)

    def _link(self, item_id: str, previous: str | None) -> None:
        if item_id not in self._order and self._linked < _MAX_ITEMS:
            self._order.link(item_id, previous)
            self._linked += 1

    def visible_before(self, item_id: str | None) -> str | None:
        """The nearest item before this hidden one that the client knows.

        Looked up in the whole order, since items may have been inserted meanwhile.
        """
        before: str | None = item_id
        while before is not None and self._is_unknown(before):
            before = self._order.neighbours(before)[0] if before in self._order else None
        return None if before is None else self._shown.get(before, before)

    def _is_unknown(self, item_id: str) -> bool:
        """Whether the client knows no such item."""
        is_hidden = item_id in self._ids and item_id not in self._shown
        return is_hidden or item_id in self._deleted


def _items_of(event: Event) -> list[Json]:
    """The items that a client's event carries or refers to."""
    response = event.get("response")
    given = response.get("input") if isinstance(response, dict) else None
    items = [event.get("item"), *(given if isinstance(given, list) else [])]
    return [item for item in items if isinstance(item, dict)]


def unknown_item(event: Event, doing: str, code: str, item_id: Any) -> BadEvent:
    """The refusal of an event that names an item which does not exist."""
    return BadEvent(
        f"Error {doing} item: the item with id '{item_id}' does not exist.",
        code=code,
        event_id=event.get("event_id"),
    )


class ItemOrder:
    """The order of items, each linked once by its `previous_item_id` (PROTOCOL §5.3, §5.18).

    An item has a position that sorts: after the last one the next whole number, between two others
    the number between theirs. So no position ever changes.
    """

    def __init__(self) -> None:
        self._position: dict[str, float] = {}
        self._sorted: list[tuple[float, str]] = []

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._position

    def position(self, item_id: str) -> float:
        """The item's position; KeyError if it was never linked."""
        return self._position[item_id]

    def neighbours(self, item_id: str) -> tuple[str | None, str | None]:
        """The items right before and right after this one."""
        at = self._index(item_id)
        before = self._sorted[at - 1][1] if at else None
        after = self._sorted[at + 1][1] if at + 1 < len(self._sorted) else None
        return before, after

    def last(self, gone: Container[str]) -> str | None:
        """The last item that is not gone."""
        return next((key for _, key in reversed(self._sorted) if key not in gone), None)

    def link(self, item_id: str, previous: str | None) -> None:
        """Put a new item after `previous`: ROOT is the front, an unknown item or None the end."""
        if item_id in self._position:
            return
        position = self._place_after(previous)
        self._position[item_id] = position
        insort(self._sorted, (position, item_id))

    def _place_after(self, previous: str | None) -> float:
        if not self._sorted:
            return 1.0
        if previous == ROOT:
            return self._sorted[0][0] - 1.0
        last = len(self._sorted) - 1
        at = self._index(previous) if previous and previous in self._position else last
        if at == last:
            return self._sorted[-1][0] + 1.0
        return (self._sorted[at][0] + self._sorted[at + 1][0]) / 2

    def _index(self, item_id: str) -> int:
        return bisect_left(self._sorted, (self._position[item_id], item_id))


class RecentIds:
    """Remembers the last `most` different strings that were added."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._members: dict[str, None] = {}

    def __contains__(self, member: object) -> bool:
        return isinstance(member, str) and member in self._members

    def add(self, member: str) -> None:
        """Remember a string, and forget the oldest where there is no more room."""
        self._members[member] = None
        if len(self._members) > self._most:
            del self._members[next(iter(self._members))]
