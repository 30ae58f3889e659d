"""Tools of every fault: conditions, events with their place in a session, and stages."""

import hashlib
import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from relay.engines.cascade.effects import Close, Emit, Event, NewId

LOST = 1006
"""The code of a connection that broke off without a close frame."""

TRANSCRIPTION = "conversation.item.input_audio_transcription."

MAX_HELD = 4096
"""Events that one fault holds back; beyond that the oldest are sent early."""

_MAX_KNOWN = 4096
"""Items and responses that are remembered; the oldest are forgotten."""

_OF_THE_NEXT_TURN = (
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "input_audio_buffer.timeout_triggered",
)

Unit = Literal["session", "turn", "response", "event", "request"]
"""The unit that a fault affects as a whole: chance decides once for each."""

Number = Annotated[int, Meta(ge=1)]
Numbers = Number | list[Number]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]


# -------------------------------------------------------------------------- when a fault happens


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """The sessions, turns, responses or HTTP requests that a fault is limited to, from 1 on.

    `probability` is that of each thing the fault may happen to; the same seed chooses the same.
    """

    session: Numbers | None = None
    turn: Numbers | None = None
    response: Numbers | None = None
    request: Numbers | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0


ALWAYS = Condition()


def mode(class_name: str) -> str:
    """Return the name of a fault in a script.

    `TranscriptionLate` is `transcription_late`, `HandshakeFault` is `handshake`.
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name.removesuffix("Fault")).lower()


FAULT: dict[str, Any] = {
    "frozen": True,
    "forbid_unknown_fields": True,
    "tag_field": "mode",
    "tag": mode,
}
"""The options of every fault's Struct: they say how it is read from a script."""


@dataclass(frozen=True, slots=True)
class Dice:
    """The dice of one fault in one session: the same seed throws the same, in any order."""

    seed: int
    fault: int
    session: int

    def throw(self, number: int) -> float:
        """Return what was thrown for the n-th thing, from 0 up to but not including 1."""
        thrown = hashlib.blake2b(
            f"{self.seed}/{self.fault}/{self.session}/{number}".encode(), digest_size=6
        )
        return int.from_bytes(thrown.digest(), "big") / (1 << 48)


def among(numbers: Numbers | None, number: int | None) -> bool:
    """Return whether a number is one of those given; None stands for all."""
    if numbers is None:
        return True
    return number in (numbers if isinstance(numbers, Sequence) else (numbers,))


# ---------------------------------------------------------------------------- events with a place


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """An event, or the close, on its way to the client, with its place in the session.

    `number` counts the session's events from 1. `turn` and `response` say to which it belongs, a
    response to the turn that came before it; `delta` counts the deltas of that response.
    """

    effect: Emit | Close
    number: int
    turn: int | None = None
    response: int | None = None
    delta: int | None = None

    @property
    def event(self) -> Event:
        """Return the event, an empty one for the close."""
        return self.effect.event if isinstance(self.effect, Emit) else {}

    @property
    def kind(self) -> str:
        """Return the event's type, "" for the close."""
        return str(self.event.get("type", ""))

    def of(self, unit: Unit) -> int | None:
        """Return the number of the unit it belongs to, None where it belongs to none."""
        if unit == "turn":
            return self.turn
        if unit == "response":
            return self.response
        return self.number if unit == "event" else 0


def applies(tracked: TrackedEvent, condition: Condition, unit: Unit, dice: Dice) -> bool:
    """Return whether a fault with this condition happens to an event."""
    number = tracked.of(unit)
    return (
        number is not None
        and among(condition.turn, tracked.turn)
        and among(condition.response, tracked.response)
        and dice.throw(number) < condition.probability
    )


def changed(tracked: TrackedEvent, **fields: Any) -> TrackedEvent:
    """Return the event with these fields."""
    return instead(tracked, {**tracked.event, **fields})


def again(tracked: TrackedEvent, new_id: NewId) -> TrackedEvent:
    """Return the event once more, with an `event_id` of its own."""
    return changed(tracked, event_id=new_id("event"))


def instead(tracked: TrackedEvent, event: Event) -> TrackedEvent:
    """Return another event in its place."""
    return replace(tracked, effect=Emit(event))


def lost(tracked: TrackedEvent) -> TrackedEvent:
    """Return the loss of the connection in its place."""
    return replace(tracked, effect=Close(LOST, ""))


class EventTracker:
    """Counts the events, turns and responses of one session as they come."""

    def __init__(self) -> None:
        self._events = 0
        self._turns: dict[str, int] = {}
        self._responses: dict[str, tuple[int, int]] = {}  # number and turn, by id of either
        self._deltas: dict[int, int] = {}
        self._turn_count = 0
        self._response_count = 0
        self._last_done: tuple[int, int] | None = None

    def track(self, effect: Emit | Close) -> TrackedEvent:
        """Return the effect with its place in the session."""
        self._events += 1
        if isinstance(effect, Close):
            return TrackedEvent(effect, self._events)
        event = effect.event
        self._learn(event)
        response, turn = self._response_of(event) or (None, self._turn_of(event))
        delta = None
        if response is not None and event["type"].endswith(".delta"):
            delta = self._deltas[response] = self._deltas.get(response, 0) + 1
        return TrackedEvent(effect, self._events, turn, response, delta)

    def _learn(self, event: Event) -> None:
        kind = event["type"]
        if kind == "response.created":
            self._response_count += 1
            place = (self._response_count, self._turn_count)
            _note(self._responses, event["response"]["id"], place)
        elif kind == "response.output_item.added":
            place = self._responses.get(event["response_id"], (0, 0))
            _note(self._responses, event["item"]["id"], place)
        elif kind == "conversation.item.added" and event["item"].get("role") == "user":
            self._turn_count += 1
            _note(self._turns, event["item"]["id"], self._turn_count)
        elif kind == "response.done":
            self._last_done = self._responses.get(event["response"]["id"])

    def _response_of(self, event: Event) -> tuple[int, int] | None:
        if event["type"] == "rate_limits.updated":
            return self._last_done
        whole = event.get("response") or {}
        ids = (event.get("response_id"), whole.get("id"), _item_id(event))
        known = (self._responses.get(one) for one in ids if one is not None)
        return next((place for place in known if place is not None), None)

    def _turn_of(self, event: Event) -> int | None:
        item_id = _item_id(event)
        if item_id in self._turns:
            return self._turns[item_id]
        return self._turn_count + 1 if event["type"] in _OF_THE_NEXT_TURN else None


def _item_id(event: Event) -> str:
    item = event.get("item") or {}
    return str(event.get("item_id") or item.get("id") or "")


def _note(known: dict[str, Any], key: str, value: Any) -> None:
    known[key] = value
    if len(known) > _MAX_KNOWN:
        del known[next(iter(known))]


# ----------------------------------------------------------------------- stages of a fault


class Stage(Protocol):
    """One fault in one session."""

    def take(self, tracked: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Return the events to send in place of this one, none where it is held back."""

    def due(self) -> float:
        """Return when to call `tick`, infinity while nothing is held."""

    def tick(self, now: float) -> list[TrackedEvent]:
        """Return the events that were held back and are due."""


@dataclass(frozen=True, slots=True)
class EventStage:
    """A fault that holds nothing back: it alters the events that it applies to one by one."""

    applies: Callable[[TrackedEvent], bool]
    alter: Callable[[TrackedEvent], list[TrackedEvent]]

    def take(self, tracked: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Alter the event where it applies."""
        return self.alter(tracked) if self.applies(tracked) else [tracked]

    def due(self) -> float:
        """Hold nothing."""
        return math.inf

    def tick(self, now: float) -> list[TrackedEvent]:
        """Hold nothing."""
        return []


class Late:
    """Sends the events that it applies to so many seconds later."""

    def __init__(self, applies: Callable[[TrackedEvent], bool], seconds: float) -> None:
        self._applies = applies
        self._seconds = seconds
        self._held: deque[tuple[float, TrackedEvent]] = deque()

    def take(self, tracked: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Hold the event where it applies."""
        if not self._applies(tracked):
            return [tracked]
        self._held.append((now + self._seconds, tracked))
        return [self._held.popleft()[1]] if len(self._held) > MAX_HELD else []

    def due(self) -> float:
        """Return when the oldest has waited long enough."""
        return self._held[0][0] if self._held else math.inf

    def tick(self, now: float) -> list[TrackedEvent]:
        """Return what has waited long enough."""
        released = []
        while self._held and self._held[0][0] <= now:
            released.append(self._held.popleft()[1])
        return released


class OutOfOrder:
    """Holds the transcription events of one turn until those of a later turn are complete."""

    def __init__(self, applies: Callable[[TrackedEvent], bool], seconds: float) -> None:
        self._applies = applies
        self._seconds = seconds
        self._held: list[TrackedEvent] = []
        self._until = math.inf

    def take(self, tracked: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Hold this turn's events; the end of a later turn's releases them."""
        if not tracked.kind.startswith(TRANSCRIPTION):
            return [tracked]
        if self._applies(tracked) and (not self._held or self._held[0].turn == tracked.turn):
            self._held.append(tracked)
            self._until = now + self._seconds
            return []
        return [tracked, *self._release()] if _ends(tracked) else [tracked]

    def due(self) -> float:
        """Return when to stop waiting for a later turn."""
        return self._until

    def tick(self, now: float) -> list[TrackedEvent]:
        """Release them when no later turn came."""
        return self._release() if now >= self._until else []

    def _release(self) -> list[TrackedEvent]:
        released, self._held, self._until = self._held, [], math.inf
        return released


class BeforeItem:
    """Holds all events from a turn's end until its transcription is complete (WIRE §4.1).

    The deltas of the transcription pass, so that they come before the item they belong to.
    """

    def __init__(self, applies: Callable[[TrackedEvent], bool], seconds: float) -> None:
        self._applies = applies
        self._seconds = seconds
        self._held: list[TrackedEvent] = []
        self._until = math.inf

    def take(self, tracked: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Hold everything from the end of a turn on but its own transcription events."""
        if not self._held:
            if not self._begins(tracked):
                return [tracked]
            self._until = now + self._seconds
        elif tracked.turn == self._held[0].turn and tracked.kind.startswith(TRANSCRIPTION):
            return [*self._release(), tracked] if _ends(tracked) else [tracked]
        self._held.append(tracked)
        full_or_closed = len(self._held) > MAX_HELD or isinstance(tracked.effect, Close)
        return self._release() if full_or_closed else []

    def due(self) -> float:
        """Return when to stop waiting for the transcription."""
        return self._until

    def tick(self, now: float) -> list[TrackedEvent]:
        """Release everything when no transcription came."""
        return self._release() if now >= self._until else []

    def _begins(self, tracked: TrackedEvent) -> bool:
        ends_a_turn = tracked.kind in (
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        )
        return ends_a_turn and self._applies(tracked)

    def _release(self) -> list[TrackedEvent]:
        released, self._held, self._until = self._held, [], math.inf
        return released


def _ends(tracked: TrackedEvent) -> bool:
    return tracked.kind in (f"{TRANSCRIPTION}completed", f"{TRANSCRIPTION}failed")
