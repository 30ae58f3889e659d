"""Keeps a client's system items from the engine, without an error that could end the client."""

from typing import Any, Final

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.client_policy import check_shape, speaks_for_server
from relay.realtime.effects import RuleOutcome
from relay.realtime.events import Event
from relay.realtime.grant import Grant

Json = dict[str, Any]

MAX_ITEMS: Final = 1_000
"""Withheld items that are remembered; more than a client keeps in a conversation."""

_CREATE: Final = "conversation.item.create"
_PLACED: Final = ("conversation.item.added", "conversation.item.done")


class SystemItems:
    """A rule of both directions, for an agent whose instructions are the server's.

    To some clients every error is fatal, so an item that would speak for the server is dropped with
    a `relay.warning`. Where the grant says `answer`, it is also confirmed like any other item: for
    clients that wait for that. The engine has no such item, so what names one is changed.
    """

    def __init__(self, session_id: str, grant: Grant, client: ClientEncoder) -> None:
        self._session_id = session_id
        self._grant = grant
        self._client = client
        self._withheld: dict[str, Json] = {}  # by item id: the `previous` of the engine, the `item`
        self._named = 0
        self._moved: dict[str, str] = {}  # items that the client put after a withheld one

    def from_client(self, event: Event, now: float) -> RuleOutcome | None:
        """Withhold a system item, and answer or change events that name one."""
        kind, item = event["type"], event.get("item")
        if kind == _CREATE and speaks_for_server(item, self._grant):
            check_shape(event)
            return self._withhold(event)
        if kind == "response.create":
            return self._without_input(event)
        if kind == _CREATE and self._has(event.get("previous_item_id")):
            return RuleOutcome([self._moved_up(event)])
        return self._answer(event) if self._has(event.get("item_id")) else None

    def from_engine(self, event: Event, now: float) -> RuleOutcome | None:
        """Put an item back to where the client put it, after one that the engine does not have."""
        item = event.get("item")
        if event["type"] not in _PLACED or not self._moved or not isinstance(item, dict):
            return None
        after = self._moved.get(str(item.get("id")))
        return RuleOutcome([{**event, "previous_item_id": after}]) if after is not None else None

    def _has(self, item_id: Any) -> bool:
        return isinstance(item_id, str) and item_id in self._withheld

    def _withhold(self, event: Event) -> RuleOutcome:
        item = event["item"]
        item_id = item.get("id")
        if not isinstance(item_id, str) or not item_id:
            self._named += 1
            item_id = f"item_{self._session_id[:8]}_{self._named}"
        given = event.get("previous_item_id")
        known = self._withheld.get(given) if isinstance(given, str) else None
        _remember(self._withheld, item_id, {"previous": known["previous"] if known else given})
        warning = self._client.notify(_withheld())
        if self._grant.system_items == "drop":
            return RuleOutcome([], after=warning)
        whole = {**item, "id": item_id, "object": "realtime.item", "status": "completed"}
        self._withheld[item_id]["item"] = whole
        placed = {"previous_item_id": given, "item": whole}
        event_id = f"event_relay_{item_id}"
        replies = [{"type": kind, "event_id": event_id, **placed} for kind in _PLACED]
        return RuleOutcome([], replies, after=warning)

    def _moved_up(self, event: Event) -> Event:
        """The creation of an item after a withheld one, after what stands before that."""
        item, given = event.get("item"), event["previous_item_id"]
        withheld = self._withheld[given]
        if "item" in withheld and isinstance(item, dict) and isinstance(item.get("id"), str):
            _remember(self._moved, item["id"], given)
        rest = {name: value for name, value in event.items() if name != "previous_item_id"}
        if withheld["previous"] is None:
            return rest
        return {**rest, "previous_item_id": withheld["previous"]}

    def _answer(self, event: Event) -> RuleOutcome | None:
        """The answer to an event about a withheld item; None where the engine's serves."""
        item_id, kind = event["item_id"], event["type"]
        told = {"event_id": f"event_relay_{item_id}", "item_id": item_id}
        if kind == "conversation.item.delete":
            return RuleOutcome([], [{"type": "conversation.item.deleted", **told}])
        item = self._withheld[item_id].get("item")
        if kind == "conversation.item.retrieve" and item is not None:
            del told["item_id"]
            return RuleOutcome([], [{"type": "conversation.item.retrieved", **told, "item": item}])
        return None

    def _without_input(self, event: Event) -> RuleOutcome | None:
        """A request without the items that would speak for the server, and those withheld."""
        response = event.get("response")
        given = response.get("input") if isinstance(response, dict) else None
        if not isinstance(response, dict) or not isinstance(given, list):
            return None
        kept = [item for item in given if not self._is_withheld(item)]
        if len(kept) == len(given):
            return None
        warning = self._client.notify(_withheld())
        return RuleOutcome([{**event, "response": {**response, "input": kept}}], after=warning)

    def _is_withheld(self, item: Any) -> bool:
        if speaks_for_server(item, self._grant):
            return True
        is_reference = isinstance(item, dict) and item.get("type") == "item_reference"
        return is_reference and self._has(item.get("id"))


def _remember(known: dict[str, Any], item_id: str, value: Any) -> None:
    """Keep a value for an item, and forget the oldest where there is no more room."""
    known[item_id] = value
    if len(known) > MAX_ITEMS:
        del known[next(iter(known))]


def _withheld() -> Event:
    message = "With this agent only the server speaks as the system, and so not forwarded: an item."
    return {"type": "relay.warning", "code": "item_dropped", "message": message}
