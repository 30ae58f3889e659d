"""Faults of what is said about a user's words (PROTOCOL §5.1, §5.2, §5.7 to §5.9)."""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from relay.engines.cascade.effects import NewId
from relay.engines.cascade.outputs import split
from relay.simulator.faults.tracking import (
    ALWAYS,
    FAULT,
    TRANSCRIPTION,
    Only,
    Seconds,
    TrackedEvent,
    Unit,
    again,
    changed,
    instead,
)

_COMPLETED = f"{TRANSCRIPTION}completed"
_DELTA = f"{TRANSCRIPTION}delta"


class TranscriptionLate(Struct, **FAULT):
    """A turn's words come so many seconds later, after the answer to them."""

    unit: ClassVar[Unit] = "turn"
    seconds: Seconds = 2.0
    only: Only = ALWAYS


class TranscriptionOutOfOrder(Struct, **FAULT):
    """A turn's words come after those of the turn behind it; after `seconds` if there is none."""

    unit: ClassVar[Unit] = "turn"
    seconds: Seconds = 30.0
    only: Only = ALWAYS


class TranscriptionBeforeItem(Struct, **FAULT):
    """A turn's first words come before its item does; all behind it waits, `seconds` at most."""

    unit: ClassVar[Unit] = "turn"
    seconds: Seconds = 2.0
    only: Only = ALWAYS


class TranscriptionDoubled(Struct, **FAULT):
    """A turn's `completed` comes so many times."""

    unit: ClassVar[Unit] = "turn"
    times: Annotated[int, Meta(ge=2, le=100)] = 2
    only: Only = ALWAYS


class TranscriptionEmpty(Struct, **FAULT):
    """A turn's transcript is "" and no delta came before it."""

    unit: ClassVar[Unit] = "turn"
    only: Only = ALWAYS


class TranscriptionFailed(Struct, **FAULT):
    """A turn's words could not be written down; the answer comes all the same."""

    unit: ClassVar[Unit] = "turn"
    code: str = "server_error"
    message: str = "Input transcription failed."
    only: Only = ALWAYS


class TranscriptionInterim(Struct, **FAULT):
    """A turn's `completed` comes after every word, with all words so far, as some servers do."""

    unit: ClassVar[Unit] = "turn"
    only: Only = ALWAYS


def doubled(fault: TranscriptionDoubled, seen: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Say it several times."""
    if seen.kind != _COMPLETED:
        return [seen]
    return [seen, *(again(seen, new_id) for _ in range(fault.times - 1))]


def empty(_: TranscriptionEmpty, seen: TrackedEvent, __: NewId) -> list[TrackedEvent]:
    """Say that nothing was said."""
    if seen.kind == _DELTA:
        return []
    return [changed(seen, transcript="")] if seen.kind == _COMPLETED else [seen]


def failed(fault: TranscriptionFailed, seen: TrackedEvent, _: NewId) -> list[TrackedEvent]:
    """Say that it failed."""
    if seen.kind == _DELTA:
        return []
    if seen.kind != _COMPLETED:
        return [seen]
    event = seen.event
    error = {"type": "server_error", "code": fault.code, "message": fault.message, "param": None}
    where = {key: event[key] for key in ("event_id", "item_id", "content_index")}
    return [instead(seen, {"type": f"{TRANSCRIPTION}failed", **where, "error": error})]


def interim(_: TranscriptionInterim, seen: TrackedEvent, new_id: NewId) -> list[TrackedEvent]:
    """Say it word by word, each time from the beginning; the last one says that it is whole."""
    if seen.kind == _DELTA:
        return []
    if seen.kind != _COMPLETED:
        return [seen]
    words = split(seen.event["transcript"])
    partial = [
        changed(again(seen, new_id), transcript="".join(words[:count]), status="in_progress")
        for count in range(1, len(words))
    ]
    return [*partial, changed(seen, status="completed")]
