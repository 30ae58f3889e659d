"""The events of the relay's own making, for aware clients and for the engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.realtime.events import BadEvent, Event


def locked_fields(removed: Sequence[str]) -> Event:
    """`relay.warning`: what of an event was the server's, and so was not forwarded."""
    message = f"Set by the server, and so not forwarded: {', '.join(removed)}."
    return {"type": "relay.warning", "code": "locked_fields", "message": message}


def budget(left: int) -> Event:
    """`relay.budget`: how many micro-dollars the session may still spend."""
    return {"type": "relay.budget", "left": max(0, left)}


def truncate(item_id: str, ms: int) -> Event:
    """`conversation.item.truncate` for a client that cannot say how much it played."""
    kind = "conversation.item.truncate"
    return {"type": kind, "item_id": item_id, "content_index": 0, "audio_end_ms": ms}


@dataclass(frozen=True, slots=True)
class Played:
    """A client says how much of an item it has played."""

    item_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class Token:
    """A client means to go on with this token."""

    token: str


def read_own(event: Event) -> Played | Token | None:
    """What a relay-aware client has for the relay itself; None for an event of the API.

    Raises BadEvent for one in a wrong shape.
    """
    if event["type"] == "relay.token":
        token = event.get("token")
        if not isinstance(token, str):
            raise _wants("token", "a string", event)
        return Token(token)
    if event["type"] == "relay.playback":
        item_id, played = event.get("item_id"), event.get("played_ms")
        if not isinstance(item_id, str):
            raise _wants("item_id", "a string", event)
        if not isinstance(played, int) or isinstance(played, bool):
            raise _wants("played_ms", "an integer", event)
        return Played(item_id, played)
    return None


def _wants(name: str, what: str, event: Event) -> BadEvent:
    """The refusal of an event for the relay itself that lacks something."""
    return BadEvent(
        f"Invalid '{name}': expected {what}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )
