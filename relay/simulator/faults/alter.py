"""Small changes to an event on its way: other fields, another event, the same once more."""

from dataclasses import replace
from typing import Any

from relay.engines.cascade.effects import Close, Emit, Event, NewId
from relay.simulator.faults.seen import Seen


def changed(seen: Seen, **fields: Any) -> Seen:
    """Return the event with these fields."""
    return instead(seen, {**seen.event, **fields})


def again(seen: Seen, new_id: NewId) -> Seen:
    """Return the event once more, as an event of its own."""
    return changed(seen, event_id=new_id("event"))


def instead(seen: Seen, event: Event) -> Seen:
    """Return another event in its place."""
    return replace(seen, effect=Emit(event))


def ended(seen: Seen, code: int, reason: str) -> Seen:
    """Return the end in its place; 1006 is a connection that breaks off without a word."""
    return replace(seen, effect=Close(code, reason))
