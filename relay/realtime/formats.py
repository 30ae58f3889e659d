"""What sound a session's client speaks and hears, as the engine says it; pure."""

from typing import Any, Final

from relay.realtime.events import Event

PCM: Final = "audio/pcm"
"""PCM16 mono 24 kHz: what a session has unless it asked for another one."""


class Formats:
    """Feed it every `session.created` and `session.updated`."""

    def __init__(self) -> None:
        self.spoken = PCM  # by the client
        self.heard = PCM

    def feed(self, event: Event) -> None:
        """Take what the engine says of the session; anything else is none of this."""
        if event["type"] in ("session.created", "session.updated"):
            self.spoken = _format(event, "input") or self.spoken
            self.heard = _format(event, "output") or self.heard


def _format(event: Event, side: str) -> str | None:
    value: Any = event
    for name in ("session", "audio", side, "format", "type"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
