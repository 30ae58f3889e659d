"""Remembers a client's edits of items that the engine has not confirmed: it may leave first."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from relay.realtime.events import Event

MOST_EDITS: Final = 256
"""Edits that are remembered at once; engines answer each within a moment."""

_CONFIRMED: Final = {
    "conversation.item.delete": "conversation.item.deleted",
    "conversation.item.truncate": "conversation.item.truncated",
}
"""What the engine tells when it has done these."""


class UnansweredEdits:
    """The deletions and truncations that went to the engine, until it confirms or refuses them.

    An engine that is asked does so in all but odd cases, and tells nobody once the client has left.
    """

    def __init__(self) -> None:
        self._edits: dict[tuple[str, str], Event] = {}  # by what confirms it, and the item

    def ask(self, event: Event) -> None:
        """Take an event of the client that goes to the engine."""
        confirmed, item_id = _CONFIRMED.get(event["type"]), event.get("item_id")
        if confirmed is None or not isinstance(item_id, str):
            return
        self._edits[confirmed, item_id] = event
        if len(self._edits) > MOST_EDITS:
            del self._edits[next(iter(self._edits))]

    def observe(self, event: Event) -> None:
        """Take an event of the engine."""
        if not self._edits:
            return
        self._edits.pop((event["type"], str(event.get("item_id"))), None)
        if event["type"] == "error":
            fault = event.get("error")
            refused = fault.get("event_id") if isinstance(fault, dict) else None
            kept = {key: edit for key, edit in self._edits.items() if _id_of(edit) != refused}
            self._edits = kept

    def take(self, audio_ms: Callable[[str], int | None]) -> list[Event]:
        """The events that would have confirmed them; none of them waits any more.

        `audio_ms` is an item's length, None where it has no audio: beyond it no engine truncates.
        """
        edits, self._edits = self._edits, {}
        return [
            {**edit, "type": confirmed}
            for (confirmed, item_id), edit in edits.items()
            if confirmed != _CONFIRMED["conversation.item.truncate"]
            or edit["audio_end_ms"] <= (audio_ms(item_id) or 0)
        ]


def _id_of(edit: Mapping[str, Any]) -> str | None:
    """The id by which a refusal names it; an engine says null of an event that had none."""
    event_id = edit.get("event_id")
    return event_id if isinstance(event_id, str) else None
