"""How one client sees the session: GA as it is, beta names, or beta names with S3's extras."""

from dataclasses import dataclass
from typing import Final, Protocol

from relay.realtime import endings, events
from relay.realtime.dialects import beta as dialect
from relay.realtime.endings import Ending
from relay.realtime.events import Event, Frame


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a client is told when its session ends: events first, then the close frame."""

    events: tuple[Event, ...]
    code: int
    reason: str


class ClientDialect(Protocol):
    """One client's side of the protocol."""

    name: str

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """An engine's frame as this client reads it, None when it is not for this client.

        `event` is the frame decoded, where that was done already.
        """

    def up(self, event: Event) -> Event:
        """A client's event in GA form."""

    def error(self, event: Event) -> Event:
        """An `error` event of the relay's own in the shape this client knows."""

    def announce(self, conversation_id: str) -> Event | None:
        """The event that tells a new conversation's id, if this client knows one."""

    def farewell(self, ending: Ending) -> Farewell:
        """How this client is told an ending."""


_SILENT: Final = frozenset(
    ending.name for ending in (endings.CLIENT_LEFT, endings.CLIENT_LOST, endings.ENDED_BY_COACH)
)
_BAD_KEY: Final = "invalid_request_error.invalid_api_key"


def _openai_farewell(ending: Ending) -> Farewell:
    """OpenAI's own manners: an `error` event that says why, then the close (WIRE §5)."""
    if ending.name in _SILENT:
        return Farewell((), 1000, "")
    event_id = f"event_relay_{ending.name}"
    if ending == endings.UNAUTHORIZED:
        told = events.error(ending.advice, code="invalid_api_key", event_id=event_id)
        return Farewell((told,), 3000, _BAD_KEY)
    told = events.error(ending.advice, code=ending.name, event_id=event_id)
    return Farewell((told,), ending.code, ending.reason)


class GaDialect:
    """A client of the GA interface: everything passes as it came."""

    name = "ga"

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """The frame untouched."""
        return frame

    def up(self, event: Event) -> Event:
        """The event untouched."""
        return event

    def error(self, event: Event) -> Event:
        """OpenAI's shape, as it is."""
        return event

    def announce(self, conversation_id: str) -> Event | None:
        """GA clients know no such event."""
        return None

    def farewell(self, ending: Ending) -> Farewell:
        """An `error` event, then the close."""
        return _openai_farewell(ending)


class BetaDialect:
    """A client that still speaks beta names (PROTOCOL §2)."""

    name = "beta"

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """Untouched where both say the same, renamed in place where only the name differs."""
        if kind in dialect.DROPPED:
            return None
        if kind not in dialect.RENAMED and kind not in dialect.REWRITTEN:
            return frame
        renamed = dialect.rename(frame, kind)
        if renamed is not None:
            return renamed
        translated = dialect.to_beta(event if event is not None else events.decode(frame))
        return events.encode(translated) if translated is not None else None

    def up(self, event: Event) -> Event:
        """Beta shapes become GA shapes."""
        return dialect.to_ga(event)

    def error(self, event: Event) -> Event:
        """The `error` event has the same shape in both."""
        return event

    def announce(self, conversation_id: str) -> Event | None:
        """Nothing: `conversation.created` here would be OpenAI's, of another shape."""
        return None

    def farewell(self, ending: Ending) -> Farewell:
        """An `error` event, then the close."""
        return _openai_farewell(ending)


class BrowserDialect:
    """S3's front end: beta names, a string `error`, and its own `conversation.created`."""

    name = "browser"

    def __init__(self) -> None:
        self._beta = BetaDialect()

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """As any beta client."""
        return self._beta.down(frame, kind, event)

    def up(self, event: Event) -> Event:
        """As any beta client."""
        return self._beta.up(event)

    def error(self, event: Event) -> Event:
        """`error` is a string here, with the code and the message beside it (CONTRACTS §3.19)."""
        fault = event["error"]
        return {
            "type": "error",
            "error": fault["message"],
            "code": fault["code"],
            "message": fault["message"],
            "event_id": fault["event_id"],
        }

    def announce(self, conversation_id: str) -> Event | None:
        """S3-27."""
        return {"type": "conversation.created", "conversation_id": conversation_id}

    def farewell(self, ending: Ending) -> Farewell:
        """The close frame alone; a lost engine is told in words too (S3-12)."""
        if ending == endings.ENGINE_CLOSED:
            told = {"type": "error", "error": "OpenAI connection error"}
            return Farewell((told,), ending.code, ending.reason)
        if ending == endings.AT_CAPACITY:
            ending = endings.AT_CAPACITY_BROWSER
        code = 1000 if ending.name in _SILENT else ending.code
        return Farewell((), code, ending.reason)
