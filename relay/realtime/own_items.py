"""Conversation items of the relay's own: made under its ids, and never shown to the client."""

from typing import Any

from relay.realtime.events import Event
from relay.realtime.hidden_items import HiddenItems
from relay.realtime.ledger import Ledger


class OwnItems:
    """Costs nothing until the first item is made."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
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
        return self._ledger.own(made)

    def check(self, event: Event) -> None:
        """Raise BadEvent for a client's event that names such an item, as if it did not exist."""
        if self._hidden is not None:
            self._hidden.check(event)

    def reads(self, kind: str) -> bool:
        """Whether an engine's event of this type must be decoded for `visible`."""
        return self._hidden is not None and kind in HiddenItems.reads

    def visible(self, event: Event) -> Event | None:
        """An engine's event without a trace of these items; None where it is about one."""
        if self._hidden is None or event["type"] not in HiddenItems.reads:
            return event
        return None if self._hidden.hides(event) else self._hidden.relinked(event)


def system_item(text: str) -> dict[str, Any]:
    """What the model is told, as a message from the system."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "system", "content": content}
