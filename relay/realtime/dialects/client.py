"""Client dialects: GA, beta, and beta with the extras of the older front end."""

from dataclasses import dataclass
from typing import Final, Protocol

from relay.realtime import endings, events
from relay.realtime.dialects import beta
from relay.realtime.endings import Ending
from relay.realtime.events import Event, Frame

_SILENT_ENDINGS: Final = frozenset(
    ending.name for ending in (endings.CLIENT_LEFT, endings.CLIENT_LOST, endings.ENDED_BY_COACH)
)
_INVALID_API_KEY: Final = "invalid_request_error.invalid_api_key"
"""Close reason of OpenAI for a bad key."""
_UNNAMED: Final = "Unknown error"
_WRONG_ADDRESS: Final = 4000  # the close code of refusals that name what the address lacks


@dataclass(frozen=True, slots=True)
class Farewell:
    """The farewell to a client when its session ends: events first, then the close frame."""

    events: tuple[Event, ...]
    code: int
    reason: str


class ClientDialect(Protocol):
    """Translates between one kind of client and the GA vocabulary inside."""

    name: str

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """Translate an engine's frame for this client; None if the client is not shown it.

        `kind` is the frame's event type, `event` the decoded frame if it was decoded already.
        """

    def up(self, event: Event) -> Event:
        """Translate a client's event to GA."""

    def error(self, event: Event) -> Event:
        """Translate an `error` event of the relay's own."""

    def field(self, name: str) -> str:
        """The name of a session's or a response's field, as the client knows it."""

    def announce(self, conversation_id: str) -> Event | None:
        """The event that announces a new conversation's id; None if this client knows none."""

    def farewell(self, ending: Ending) -> Farewell:
        """The events and the close frame with which this client is told an ending."""


class GaDialect:
    """A client of the GA interface: everything passes unchanged."""

    name = "ga"

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """Return the frame unchanged."""
        return frame

    def up(self, event: Event) -> Event:
        """Return the event unchanged."""
        return event

    def error(self, event: Event) -> Event:
        """Return the event unchanged."""
        return event

    def field(self, name: str) -> str:
        """Return the name unchanged."""
        return name

    def announce(self, conversation_id: str) -> Event | None:
        """None: GA clients know no such event."""
        return None

    def farewell(self, ending: Ending) -> Farewell:
        """An `error` event, then the close."""
        return _openai_farewell(ending)


class BetaDialect:
    """A client of the beta interface (PROTOCOL §2)."""

    name = "beta"

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """Unchanged where both are alike; renamed without decoding where only the name differs."""
        if kind in beta.DROPPED:
            return None
        if kind not in beta.RENAMED and kind not in beta.REWRITTEN:
            return frame
        renamed = beta.rename(frame, kind)
        if renamed is not None:
            return renamed
        translated = beta.to_beta(event if event is not None else events.decode(frame))
        return events.encode(translated) if translated is not None else None

    def up(self, event: Event) -> Event:
        """Translate a client's event to GA."""
        return beta.to_ga(event)

    def error(self, event: Event) -> Event:
        """Give the fields that the error names their beta names."""
        return {**event, "error": beta.beta_error(event["error"])}

    def field(self, name: str) -> str:
        """The beta name."""
        return beta.beta_field(name)

    def announce(self, conversation_id: str) -> Event | None:
        """None: a beta client's `conversation.created` is OpenAI's, which has another shape."""
        return None

    def farewell(self, ending: Ending) -> Farewell:
        """An `error` event, then the close."""
        return _openai_farewell(ending)


class FirstBetaDialect:
    """A client of the first beta, of 2024, which may end at an event that it does not know."""

    name = "beta"

    def __init__(self) -> None:
        self._beta = BetaDialect()

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """As for any beta client; None for what the first beta did not have."""
        known = beta.BETA_NAMES.get(kind) in beta.FIRST_NAMES
        return self._beta.down(frame, kind, event) if known else None

    def up(self, event: Event) -> Event:
        """As for any beta client."""
        return self._beta.up(event)

    def error(self, event: Event) -> Event:
        """As for any beta client."""
        return self._beta.error(event)

    def field(self, name: str) -> str:
        """As for any beta client."""
        return self._beta.field(name)

    def announce(self, conversation_id: str) -> Event | None:
        """As for any beta client."""
        return self._beta.announce(conversation_id)

    def farewell(self, ending: Ending) -> Farewell:
        """As for any beta client."""
        return self._beta.farewell(ending)


class BrowserDialect:
    """The older front end: beta, a string `error`, and its own `conversation.created`."""

    name = "browser"

    def __init__(self) -> None:
        self._beta = BetaDialect()

    def down(self, frame: Frame, kind: str, event: Event | None) -> Frame | None:
        """As for any beta client, but that the engine's errors are strings as well."""
        if kind != "error":
            return self._beta.down(frame, kind, event)
        return events.encode(_with_string(event if event is not None else events.decode(frame)))

    def up(self, event: Event) -> Event:
        """As for any beta client."""
        return self._beta.up(event)

    def error(self, event: Event) -> Event:
        """Make `error` a string, with the code and the message beside it (CONTRACTS §3.19)."""
        return _with_string(event)

    def field(self, name: str) -> str:
        """As for any beta client."""
        return self._beta.field(name)

    def announce(self, conversation_id: str) -> Event | None:
        """The front end's own `conversation.created` (S3-27)."""
        return {"type": "conversation.created", "conversation_id": conversation_id}

    def farewell(self, ending: Ending) -> Farewell:
        """The close frame alone, except that two endings are told by an event as well.

        A lost engine (S3-12), and a refusal that says how long to wait.
        """
        if ending.name == endings.ENGINE_CLOSED.name:
            error = {"type": "error", "error": "OpenAI connection error"}
            return Farewell((error,), ending.code, ending.reason)
        if ending.retry_after_ms:
            told = _with_string(_error(ending, ending.name))
            told["retry_after_ms"] = ending.retry_after_ms
            return Farewell((told,), ending.code, ending.reason)
        if ending == endings.AT_CAPACITY:
            ending = endings.AT_CAPACITY_BROWSER
        code = 1000 if ending.name in _SILENT_ENDINGS else ending.code
        return Farewell((), code, ending.reason)


def _with_string(event: Event) -> Event:
    """An `error` event of whatever shape as the older front end reads it, in beta names."""
    fault = event.get("error")
    given = beta.beta_error(fault) if isinstance(fault, dict) else {"message": fault}
    said = [
        text for name in ("message", "code", "type") if isinstance(text := given.get(name), str)
    ]
    message = next(filter(None, said), _UNNAMED)
    code, event_id = given.get("code"), given.get("event_id")
    return {
        "type": "error",
        "error": message,
        "code": code,
        "message": message,
        "event_id": event_id,
    }


def _openai_farewell(ending: Ending) -> Farewell:
    """An `error` event that says why, then the close, as OpenAI does it (WIRE §5)."""
    if ending.name in _SILENT_ENDINGS:
        return Farewell((), 1000, "")
    error = _final_error(ending) if ending.final else _error(ending, ending.name)
    if ending.retry_after_ms:
        error["error"]["retry_after_ms"] = ending.retry_after_ms
    if ending in (endings.UNAUTHORIZED, endings.TOKEN_TOO_LONG):
        return Farewell((error,), 3000, _INVALID_API_KEY)
    return Farewell((error,), ending.code, ending.reason)


def _final_error(ending: Ending) -> Event:
    """An `error` on which clients stop: some look at its code, others at its type as well.

    A wrong address keeps the code that names what is wrong with it.
    """
    if ending.code != _WRONG_ADDRESS:
        return _error(ending, ending.final)
    error = _error(ending, ending.name)
    error["error"]["type"] = ending.final
    return error


def _error(ending: Ending, code: str) -> Event:
    return events.error(ending.advice, code=code, event_id=f"event_relay_{ending.name}")
