"""Faults of single events: some too many, some missing, some in another shape or size."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from relay.engines.cascade.effects import Event, NewId
from relay.simulator.faults.tracking import (
    ALWAYS,
    FAULT,
    Only,
    Seconds,
    TrackedEvent,
    Unit,
    again,
    changed,
    instead,
)

Every = Annotated[int, Meta(ge=1)]
Base64 = Annotated[int, Meta(ge=4, le=64 << 20)]

_STRANGE = {"reason": "nobody knows", "since": [1, None, 2.5]}


class Errors(Struct, **FAULT):
    """An `error` event that ends nothing comes after every so many events."""

    unit: ClassVar[Unit] = "event"
    every: Every = 10
    code: str = "server_error"
    type: str = "server_error"
    message: str = "The server had an error while processing your request."
    only: Only = ALWAYS


class UnknownEvents(Struct, **FAULT):
    """An event of a type that nobody knows comes after every so many events."""

    unit: ClassVar[Unit] = "event"
    every: Every = 10
    type: str = "session.weather.updated"
    only: Only = ALWAYS


class UnknownFields(Struct, **FAULT):
    """Events, and the items, parts and responses in them, have a field that nobody knows."""

    unit: ClassVar[Unit] = "event"
    name: str = "x_unknown"
    only: Only = ALWAYS


class KeyOrder(Struct, **FAULT):
    """Events have their keys the other way round, so that `type` comes last."""

    unit: ClassVar[Unit] = "event"
    only: Only = ALWAYS


class LargeItem(Struct, **FAULT):
    """A retrieved item holds so many base64 characters of audio."""

    unit: ClassVar[Unit] = "event"
    bytes: Base64 = 5 << 20
    only: Only = ALWAYS


class EventMissing(Struct, **FAULT):
    """Events of this type do not come."""

    unit: ClassVar[Unit] = "event"
    event: str
    only: Only = ALWAYS


class EventDoubled(Struct, **FAULT):
    """Events of this type come twice."""

    unit: ClassVar[Unit] = "event"
    event: str
    only: Only = ALWAYS


class EventLate(Struct, **FAULT):
    """Events of this type come so many seconds later, and what is behind them comes first."""

    unit: ClassVar[Unit] = "event"
    event: str
    seconds: Seconds = 1.0
    only: Only = ALWAYS


def errors(fault: Errors, seen: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Add an error."""
    told = {"type": fault.type, "code": fault.code, "message": fault.message}
    error = {**told, "param": None, "event_id": None}
    return _sprinkled(fault.every, seen, new_id, {"type": "error", "error": error})


def unknown_events(fault: UnknownEvents, seen: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Add an event of another type."""
    return _sprinkled(fault.every, seen, new_id, {"type": fault.type, "weather": _STRANGE})


def unknown_fields(fault: UnknownFields, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Add a field in every place where one could be."""
    if not seen.event:
        return [seen]
    return [instead(seen, _stranger(seen.event, fault.name))]


def key_order(_: KeyOrder, seen: TrackedEvent, __: NewId) -> list[TrackedEvent]:
    """Turn the keys round."""
    return [instead(seen, dict(reversed(seen.event.items())))] if seen.event else [seen]


def large_item(fault: LargeItem, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Put much silence into what was retrieved."""
    content = seen.event.get("item", {}).get("content")
    if seen.kind != "conversation.item.retrieved" or not content:
        return [seen]
    first = {**content[0], "audio": "A" * (fault.bytes // 4 * 4)}
    return [changed(seen, item={**seen.event["item"], "content": [first, *content[1:]]})]


def missing(fault: EventMissing, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Leave it out."""
    return [] if seen.kind == fault.event else [seen]


def doubled(fault: EventDoubled, seen: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Say it twice."""
    return [seen, again(seen, new_id)] if seen.kind == fault.event else [seen]


def _sprinkled(every: int, seen: TrackedEvent, new_id: NewId, event: Event) -> list[TrackedEvent]:
    if seen.number % every:
        return [seen]
    kind = event.pop("type")
    return [seen, instead(seen, {"type": kind, "event_id": new_id("event"), **event})]


def _stranger(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_stranger(entry, name) for entry in value]
    if not isinstance(value, dict):
        return value
    inner = ("item", "response", "part", "output", "content", "usage", "error")
    known = {key: _stranger(v, name) if key in inner else v for key, v in value.items()}
    return {**known, name: _STRANGE}
