"""Recognises items of earlier sessions that a client creates again, and keeps one order of all."""

from collections.abc import Iterable
from typing import Any, Final

from relay.realtime.earlier import EarlierRecords
from relay.realtime.effects import CorrectEarlier, Effect, RuleOutcome
from relay.realtime.events import BadEvent, Event
from relay.realtime.items import ROOT, InjectedItems, RecentIds
from relay.realtime.requests import RequestTracker
from relay.realtime.transcript import Transcript

Json = dict[str, Any]

_CREATE: Final = "conversation.item.create"
_DELETE: Final = "conversation.item.delete"
_MAX_ITEMS: Final = 10_000  # as many as the transcript
_SPOKEN: Final = ("user", "assistant")


class ReplayedItems:
    """Rule of a client's events in a conversation that continues.

    The engine was told the history under ids of the relay's own, which the client does not see, and
    the store has it. An item that the client creates under its id of an earlier session is
    therefore neither told nor stored again: the relay answers in the engine's place, and from then
    on translates the client's id. One that the engine was not told, as it is too old or was never
    heard, goes to the engine in its place of the history, and is not stored again either.

    What else a client creates stands behind the history, as in the store: a message that it wants
    at the front, or within the history, comes right after it. Calls of tools and their outputs stay
    where the client has them. An engine tells of an item at the front that it has no predecessor,
    as of one whose place it does not tell; of those that the client put there the rules behind this
    one read ROOT. `history` are the ids of earlier items, oldest first.
    """

    def __init__(
        self,
        history: Iterable[str],
        injected: InjectedItems,
        requests: RequestTracker,
        transcript: Transcript,
        earlier: EarlierRecords | None = None,
    ) -> None:
        self._history = list(dict.fromkeys(history))
        self._index = {item_id: index for index, item_id in enumerate(self._history)}
        self._injected = injected
        self._requests = requests
        self._transcript = transcript
        self._earlier = earlier or EarlierRecords()
        self._shown: set[str] = set()  # of the history: what the client has created, not deleted
        self._own: set[str] = set()  # of the history: what the engine has under the client's id
        self._firsts = RecentIds(_MAX_ITEMS)  # items that the client put at the front
        self._within = RecentIds(_MAX_ITEMS)  # tool items that the client put into the history
        self._named = 0
        self._answers = 0

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event as the engine may see it; replies to a repeated item. Raises BadEvent."""
        if event["type"] != _CREATE:
            return self._about_shown(event) if self._shown else RuleOutcome([event])
        item_id = event["item"].get("id")
        if isinstance(item_id, str) and item_id in self._index:
            return self._repeated(event, item_id)
        return RuleOutcome([self._placed(event)])

    def from_engine(self, event: Event, now: float) -> RuleOutcome | None:
        """The event with ROOT as the predecessor of an item at the front; None for any other."""
        item = event.get("item")
        if not isinstance(item, dict) or event.get("previous_item_id") is not None:
            return None
        if item.get("id") not in self._firsts:
            return None
        return RuleOutcome([{**event, "previous_item_id": ROOT}])

    def _repeated(self, event: Event, item_id: str) -> RuleOutcome:
        """The client creates an item of the history."""
        if item_id in self._shown:
            raise BadEvent(
                f"Error adding item: the item with id '{item_id}' already exists.",
                code="item_create_duplicate_item_id",
                event_id=event.get("event_id"),
            )
        before = self._history[: self._index[item_id]]
        previous = self._injected.before(item_id) or self._last_shown(before)
        self._shown.add(item_id)
        self._transcript.repeat(item_id, previous or ROOT)
        told = self._injected.show(item_id)
        if told is not None:
            return RuleOutcome(replies=self._answer(told, previous))
        behind = self._last_told(before)
        self._own.add(item_id)
        placed = {**event, "previous_item_id": behind}
        placed = self._at_front(placed) if behind == ROOT else placed
        return RuleOutcome([placed], after=self._mark(item_id, deleted=False))

    def _answer(self, item: Json, previous: str | None) -> list[Event]:
        """The events with which an engine tells of a new item."""
        self._answers += 1
        item = {"object": "realtime.item", "status": "completed", **item}
        return [
            {
                "type": f"conversation.item.{kind}",
                "event_id": f"event_relay_{kind}_{self._answers}",
                "previous_item_id": previous,
                "item": item,
            }
            for kind in ("added", "done")
        ]

    def _placed(self, event: Event) -> Event:
        """A new item's `conversation.item.create`, with a place behind the history."""
        previous, item = event.get("previous_item_id"), event["item"]
        if previous is None:
            return event
        is_inside = previous in self._shown or previous in self._within
        is_message = item.get("type") == "message" and item.get("role") in _SPOKEN
        last = self._last_told(self._history)
        if is_message and (is_inside or previous == ROOT) and last != ROOT:
            return self._at_front({**event, "previous_item_id": last})
        if previous == ROOT:
            return self._at_front(event)
        if is_inside and isinstance(item.get("id"), str):
            self._within.add(item["id"])
        return {**event, "previous_item_id": self._parts_of(previous)[-1]}

    def _at_front(self, event: Event) -> Event:
        """The event with an id, by which the item is known when the engine tells of it."""
        item = event["item"]
        if not isinstance(item.get("id"), str):
            self._named += 1
            event = {**event, "item": {**item, "id": f"item_relay_front_{self._named}"}}
        self._firsts.add(event["item"]["id"])
        return event

    def _about_shown(self, event: Event) -> RuleOutcome:
        """An event that may be about a repeated item."""
        item_id = event.get("item_id")
        if not isinstance(item_id, str) or item_id not in self._shown:
            return RuleOutcome(self._with_references(event))
        if event["type"] == _DELETE:
            marked = self._mark(item_id, deleted=True)
            return RuleOutcome(self._deletion(event, item_id), after=marked)
        return RuleOutcome([{**event, "item_id": self._parts_of(item_id)[0]}])

    def _mark(self, item_id: str, *, deleted: bool) -> list[Effect]:
        """Remember for the sessions to come whether the model has this item."""
        return [CorrectEarlier(record) for record in self._earlier.mark(item_id, deleted=deleted)]

    def _with_references(self, event: Event) -> list[Event]:
        """An event whose response may be made of repeated items, for the engine."""
        response = event.get("response")
        given = response.get("input") if isinstance(response, dict) else None
        if not isinstance(response, dict) or not isinstance(given, list):
            return [event]
        return [{**event, "response": {**response, "input": [self._reference(i) for i in given]}}]

    def _reference(self, item: Any) -> Any:
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            return item
        return {**item, "id": self._parts_of(item["id"])[-1]}

    def _deletion(self, event: Event, item_id: str) -> list[Event]:
        """Delete a repeated item, of which the engine may have several parts."""
        self._shown.discard(item_id)
        parts = self._injected.forget(item_id)
        if item_id in self._own or not parts:
            self._own.discard(item_id)
            return [event]
        first, *others = ({"type": _DELETE, "item_id": part} for part in parts)
        return [{**event, **first}, *map(self._requests.stamp, others)]

    def _parts_of(self, item_id: str) -> list[str]:
        """The engine's ids for an item that the client names."""
        parts = self._injected.ids_of(item_id) if item_id in self._shown else []
        return parts or [item_id]

    def _last_shown(self, history: list[str]) -> str | None:
        """The last of these that the client has created again: some engines tell no order."""
        return next((one for one in reversed(history) if one in self._shown - self._own), None)

    def _last_told(self, history: list[str]) -> str:
        """The engine's id of the last of these that it knows; ROOT if it knows none."""
        for item_id in reversed(history):
            parts = self._injected.ids_of(item_id)
            if parts or item_id in self._own:
                return parts[-1] if parts else item_id
        return ROOT
