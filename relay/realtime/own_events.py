"""The events of the relay's own making, for aware clients and for the engine."""

from collections.abc import Sequence

from relay.realtime.events import BadEvent, Event
from relay.realtime.playout import Heard
from relay.realtime.setup import Setup


def hello(setup: Setup) -> Event:
    """`relay.session`: which session and conversation this is, and until when the token lasts."""
    return {
        "type": "relay.session",
        "session_id": setup.session_id,
        "conversation_id": setup.conversation_id,
        "expires_at": int(setup.grant.caller.expires_at),
    }


def locked_fields(removed: Sequence[str]) -> Event:
    """`relay.warning`: what of an event was the server's, and so was not forwarded."""
    message = f"Set by the server, and so not forwarded: {', '.join(removed)}."
    return {"type": "relay.warning", "code": "locked_fields", "message": message}


def truncate(heard: Heard) -> Event:
    """`conversation.item.truncate` for a client that cannot say how much it played."""
    kind = "conversation.item.truncate"
    return {"type": kind, "item_id": heard.item_id, "content_index": 0, "audio_end_ms": heard.ms}


def wants(name: str, what: str, event: Event) -> BadEvent:
    """The refusal of an event for the relay itself that lacks something."""
    return BadEvent(
        f"Invalid '{name}': expected {what}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )
