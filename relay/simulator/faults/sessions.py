"""Faults of a session's handshake, of the session as a whole, and of its single events."""

from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from relay.engines.cascade.effects import Close, Event, NewId, RequestRefused
from relay.simulator.faults.tracking import (
    ALWAYS,
    FAULT,
    Condition,
    Count,
    Seconds,
    TrackedEvent,
    Unit,
    again,
    changed,
    instead,
    lost,
)
from relay.simulator.handshake import BAD_KEY, BAD_MODEL, BETA, NO_MODEL, UpgradeRefused

Status = Literal[301, 302, 307, 308, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504]
AtLeastOne = Annotated[int, Meta(ge=1)]
Base64 = Annotated[int, Meta(ge=4, le=64 << 20)]

_KNOWN = {known.refusal.code: known for known in (BAD_KEY, BAD_MODEL, BETA, NO_MODEL)}
_OTHER_CODE = 4000
_UNKNOWN_VALUE = {"reason": "unknown", "since": [1, None, 2.5]}


# ------------------------------------------------------------------------------------ at the door


class HandshakeFault(Struct, **FAULT):
    """The upgrade is answered with this HTTP status.

    `location` goes with a redirect, `retry_after` (seconds) with 429 and 503.
    """

    unit: ClassVar[Unit] = "session"
    status: Status
    location: str | None = None
    retry_after: Count | None = None
    only: Condition = ALWAYS


class InBandRefusal(Struct, **FAULT):
    """The upgrade succeeds, then an `error` with this code comes, then the close.

    `close` is the close code; by default what OpenAI closes with, where that is known, else 4000.
    """

    unit: ClassVar[Unit] = "session"
    code: str = "invalid_api_key"
    message: str | None = None
    close: Annotated[int, Meta(ge=3000, le=4999)] | None = None
    only: Condition = ALWAYS


class SlowReader(Struct, **FAULT):
    """The server stops reading for so many seconds, after so many events of the client."""

    unit: ClassVar[Unit] = "session"
    seconds: Seconds = 5.0
    after_events: Count = 0
    only: Condition = ALWAYS


def handshake_response(fault: HandshakeFault, connection: ServerConnection) -> Response:
    """Return the HTTP answer to an upgrade."""
    status = HTTPStatus(fault.status)
    response = connection.respond(status, f"{status.phrase}: a fault of the script.\n")
    if fault.location is not None:
        response.headers["Location"] = fault.location
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def in_band_refusal(fault: InBandRefusal) -> UpgradeRefused:
    """Return the error and the close that follow a completed upgrade."""
    known = _KNOWN.get(fault.code)
    message = fault.message or (known.refusal.message if known else "A fault of the script.")
    code = fault.close or (known.code if known else _OTHER_CODE)
    return UpgradeRefused(RequestRefused(fault.code, message), code)


# ------------------------------------------------------------------------------ the whole session


class SessionExpired(Struct, **FAULT):
    """A session lasts so many seconds instead of an hour.

    With `error` it sends a `session_expired` error, with `close` it closes with 1001; without a
    close it falls silent.
    """

    unit: ClassVar[Unit] = "session"
    seconds: Annotated[float, Meta(gt=0, le=3600)]
    error: bool = True
    close: bool = True
    only: Condition = ALWAYS


class SessionStalled(Struct, **FAULT):
    """A session goes silent after so many events, without a close."""

    unit: ClassVar[Unit] = "session"
    after_events: Count
    only: Condition = ALWAYS


class SessionCut(Struct, **FAULT):
    """The connection is lost, without a close frame, after so many events."""

    unit: ClassVar[Unit] = "session"
    after_events: AtLeastOne
    only: Condition = ALWAYS


def session_expired(fault: SessionExpired, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Drop the error and the close where the fault does without them."""
    if isinstance(tracked.effect, Close):
        return [tracked] if fault.close else []
    code = tracked.event.get("error", {}).get("code") if tracked.kind == "error" else None
    return [] if code == "session_expired" and not fault.error else [tracked]


def session_stalled(fault: SessionStalled, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Drop everything after the last event."""
    return [tracked] if tracked.number <= fault.after_events else []


def session_cut(fault: SessionCut, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Lose the connection after the last event."""
    return [tracked, lost(tracked)] if tracked.number == fault.after_events else [tracked]


# ---------------------------------------------------------------------------------- single events


class Errors(Struct, **FAULT):
    """An `error` event that ends nothing comes after every so many events."""

    unit: ClassVar[Unit] = "event"
    every: AtLeastOne = 10
    code: str = "server_error"
    type: str = "server_error"
    message: str = "The server had an error while processing your request."
    only: Condition = ALWAYS


class UnknownEvents(Struct, **FAULT):
    """An event of an unknown type comes after every so many events."""

    unit: ClassVar[Unit] = "event"
    every: AtLeastOne = 10
    type: str = "session.weather.updated"
    only: Condition = ALWAYS


class UnknownFields(Struct, **FAULT):
    """Events, and the items, parts and responses in them, have an unknown field."""

    unit: ClassVar[Unit] = "event"
    name: str = "x_unknown"
    only: Condition = ALWAYS


class KeyOrder(Struct, **FAULT):
    """Events have their keys in reverse order, so that `type` comes last."""

    unit: ClassVar[Unit] = "event"
    only: Condition = ALWAYS


class LargeItem(Struct, **FAULT):
    """A retrieved item holds so many base64 characters of audio."""

    unit: ClassVar[Unit] = "event"
    bytes: Base64 = 5 << 20
    only: Condition = ALWAYS


class EventMissing(Struct, **FAULT):
    """Events of this type do not come."""

    unit: ClassVar[Unit] = "event"
    event: str
    only: Condition = ALWAYS


class EventDoubled(Struct, **FAULT):
    """Events of this type come twice."""

    unit: ClassVar[Unit] = "event"
    event: str
    only: Condition = ALWAYS


class EventLate(Struct, **FAULT):
    """Events of this type come so many seconds later, after the events that follow them."""

    unit: ClassVar[Unit] = "event"
    event: str
    seconds: Seconds = 1.0
    only: Condition = ALWAYS


def errors(fault: Errors, tracked: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Add an error after every n-th event."""
    shown = {"type": fault.type, "code": fault.code, "message": fault.message}
    error = {**shown, "param": None, "event_id": None}
    return _every(fault.every, tracked, new_id, {"type": "error", "error": error})


def unknown_events(
    fault: UnknownEvents, tracked: TrackedEvent, new_id: NewId
) -> list[TrackedEvent]:
    """Add an unknown event after every n-th event."""
    return _every(fault.every, tracked, new_id, {"type": fault.type, "weather": _UNKNOWN_VALUE})


def unknown_fields(fault: UnknownFields, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Add the field wherever one could be."""
    if not tracked.event:
        return [tracked]
    return [instead(tracked, _with_field(tracked.event, fault.name))]


def key_order(_: KeyOrder, tracked: TrackedEvent, __: NewId) -> list[TrackedEvent]:
    """Reverse the keys."""
    return [instead(tracked, dict(reversed(tracked.event.items())))] if tracked.event else [tracked]


def large_item(fault: LargeItem, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Put that much audio into the first part of a retrieved item."""
    content = tracked.event.get("item", {}).get("content")
    if tracked.kind != "conversation.item.retrieved" or not content:
        return [tracked]
    first = {**content[0], "audio": "A" * (fault.bytes // 4 * 4)}
    return [changed(tracked, item={**tracked.event["item"], "content": [first, *content[1:]]})]


def event_missing(fault: EventMissing, tracked: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Drop it."""
    return [] if tracked.kind == fault.event else [tracked]


def event_doubled(fault: EventDoubled, tracked: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Send it twice."""
    return [tracked, again(tracked, new_id)] if tracked.kind == fault.event else [tracked]


def _every(count: int, tracked: TrackedEvent, new_id: NewId, event: Event) -> list[TrackedEvent]:
    if tracked.number % count:
        return [tracked]
    kind = event.pop("type")
    return [tracked, instead(tracked, {"type": kind, "event_id": new_id("event"), **event})]


def _with_field(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_with_field(entry, name) for entry in value]
    if not isinstance(value, dict):
        return value
    inner = ("item", "response", "part", "output", "content", "usage", "error")
    known = {key: _with_field(v, name) if key in inner else v for key, v in value.items()}
    return {**known, name: _UNKNOWN_VALUE}
