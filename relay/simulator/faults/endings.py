"""Faults of a whole session: it expires early, goes silent, or breaks off."""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from relay.engines.cascade.effects import Close, NewId
from relay.simulator.faults.alter import ended
from relay.simulator.faults.answers import LOST
from relay.simulator.faults.only import ALWAYS, FAULT, Count, Only, Unit
from relay.simulator.faults.seen import Seen


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


def expired(fault: SessionExpired, seen: Seen, _: NewId) -> list[Seen]:
    """Leave out what it does not say or do at its end."""
    if isinstance(seen.effect, Close):
        return [seen] if fault.close else []
    code = seen.event.get("error", {}).get("code") if seen.kind == "error" else None
    return [] if code == "session_expired" and not fault.error else [seen]


def stalled(fault: SessionStalled, seen: Seen, _: NewId) -> list[Seen]:
    """Say nothing more."""
    return [seen] if seen.number <= fault.after_events else []


def cut(fault: SessionCut, seen: Seen, _: NewId) -> list[Seen]:
    """Break off."""
    return [seen, ended(seen, LOST, "")] if seen.number == fault.after_events else [seen]
