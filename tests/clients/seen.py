"""What a client has of a conversation: its history, the order of events, the errors it was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.client import Client
from tests.clients.conversation import Place

Event = dict[str, Any]
Row = tuple[str, str]
PLACED = ("conversation.item.added", "conversation.item.created")
"""Events that say where an item stands; the second is what beta clients know."""
WHOLE = (
    *(*PLACED, "conversation.item.done", "conversation.item.retrieved"),
    "response.output_item.done",
)
"""Events that tell an item as it is now."""


ASIDES = frozenset(
    {"conversation.item.retrieved", "conversation.item.truncated", "session.updated"}
)
"""Answers to what some clients ask in the middle of others' events: they come when they come."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One call as its client has it.

    `history` are roles (or types, of items that have none) and texts; `types` the events in their
    order without deltas, whose number depends on the time; `errors` what was wrong.
    """

    history: list[Row]
    types: list[str]
    errors: list[Event]

    @property
    def asides_apart(self) -> "Seen":
        """The same with the asides at the end, for a client that asks in its own time."""
        main = [kind for kind in self.types if kind not in ASIDES]
        asides = sorted(kind for kind in self.types if kind in ASIDES)
        return Seen(self.history, main + asides, self.errors)


def seen(events: Sequence[Event], history: Sequence[Sequence[str]] | None = None) -> Seen:
    """What came, with the client's own `history` where it keeps one."""
    rows = history_of(events) if history is None else [(role, text) for role, text in history]
    types = [event["type"] for event in events if not event["type"].endswith(".delta")]
    return Seen(rows, types, [event["error"] for event in events if event["type"] == "error"])


def history_of(events: Sequence[Event]) -> list[Row]:
    """The items as the events tell them: where each stands, and the last that was said of it."""
    order: list[str] = []
    items: dict[str, Row] = {}
    for event in events:
        if event["type"] in PLACED:
            after = event["previous_item_id"]
            order.insert(order.index(after) + 1 if after else 0, event["item"]["id"])
        if event["type"] in WHOLE:
            items[event["item"]["id"]] = row(event["item"])
        if event["type"] == "conversation.item.input_audio_transcription.completed":
            items[event["item_id"]] = (items[event["item_id"]][0], event["transcript"])
    return [items[name] for name in order]


def row(item: Event) -> Row:
    """Who said what."""
    if item["type"] == "message":
        texts = [part.get("text") or part.get("transcript") or "" for part in item["content"]]
        return item["role"], " ".join(texts)
    if item["type"] == "function_call":
        return "function_call", f"{item['name']} {item['arguments']}"
    return item["type"], item["output"]


async def held(client: Client, place: Place, scratch: Path) -> tuple[Seen, Seen]:
    """Hold the conversation with a program of its own: the call, and the one after it."""
    first, again = await client.talk(place, scratch)
    return seen(**first), seen(**again)
