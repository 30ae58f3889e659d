"""Faults of a whole session: it expires early, goes silent, or breaks off."""

from http import HTTPStatus
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from relay.engines.cascade.effects import Close, NewId, RequestRefused
from relay.simulator.faults.answers import LOST
from relay.simulator.faults.tracking import (
    ALWAYS,
    FAULT,
    Count,
    Only,
    Seconds,
    TrackedEvent,
    Unit,
    ended,
)
from relay.simulator.handshake import BAD_KEY, BAD_MODEL, BETA, NO_MODEL, UpgradeRefused


class SessionExpired(Struct, **FAULT):
    """A session lasts so many seconds instead of an hour.

    `error` tells whether it says so in an event, `close` whether it closes with 1001; without a
    close it falls silent.
    """

    unit: ClassVar[Unit] = "session"
    seconds: Annotated[float, Meta(gt=0, le=3600)]
    error: bool = True
    close: bool = True
    only: Only = ALWAYS


class SessionStalled(Struct, **FAULT):
    """A session goes silent after so many events: nothing more comes, no close either."""

    unit: ClassVar[Unit] = "session"
    after_events: Count
    only: Only = ALWAYS


class SessionCut(Struct, **FAULT):
    """The connection breaks off, without a close, after so many events."""

    unit: ClassVar[Unit] = "session"
    after_events: Annotated[int, Meta(ge=1)]
    only: Only = ALWAYS


def expired(fault: SessionExpired, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Leave out what it does not say or do at its end."""
    if isinstance(seen.effect, Close):
        return [seen] if fault.close else []
    code = seen.event.get("error", {}).get("code") if seen.kind == "error" else None
    return [] if code == "session_expired" and not fault.error else [seen]


def stalled(fault: SessionStalled, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Say nothing more."""
    return [seen] if seen.number <= fault.after_events else []


def cut(fault: SessionCut, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Break off."""
    return [seen, ended(seen, LOST, "")] if seen.number == fault.after_events else [seen]


# ---- Faults at the door: who is turned away before any session, and a server that does not read.

Status = Literal[301, 302, 307, 308, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504]

_UNKNOWN = 4000
_KNOWN = {known.refusal.code: known for known in (BAD_KEY, BAD_MODEL, BETA, NO_MODEL)}


class Handshake(Struct, **FAULT):
    """The upgrade is answered with this HTTP status.

    `location` goes with a redirect, `retry_after` (seconds) with 429 and 503.
    """

    unit: ClassVar[Unit] = "session"
    status: Status
    location: str | None = None
    retry_after: Count | None = None
    only: Only = ALWAYS


class InBandRefusal(Struct, **FAULT):
    """The upgrade succeeds, then an `error` with this code comes, then the close.

    `close` is the close code; what OpenAI closes with where it is known, else 4000.
    """

    unit: ClassVar[Unit] = "session"
    code: str = "invalid_api_key"
    message: str | None = None
    close: Annotated[int, Meta(ge=3000, le=4999)] | None = None
    only: Only = ALWAYS


class SlowReader(Struct, **FAULT):
    """The server stops reading for so many seconds, after so many events of the client."""

    unit: ClassVar[Unit] = "session"
    seconds: Seconds = 5.0
    after_events: Count = 0
    only: Only = ALWAYS


def answer(fault: Handshake, connection: ServerConnection) -> Response:
    """Return the HTTP answer to an upgrade."""
    status = HTTPStatus(fault.status)
    response = connection.respond(status, f"{status.phrase}: a fault of the script.\n")
    if fault.location is not None:
        response.headers["Location"] = fault.location
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def turned_away(fault: InBandRefusal) -> UpgradeRefused:
    """Return how a connection is closed that was let in."""
    known = _KNOWN.get(fault.code)
    message = fault.message or (known.refusal.message if known else "A fault of the script.")
    code = fault.close or (known.code if known else _UNKNOWN)
    return UpgradeRefused(RequestRefused(fault.code, message), code)
