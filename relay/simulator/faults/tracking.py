"""Every event of a session with its place in it: which event, of which turn, of which response."""

import hashlib
import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from relay.engines.cascade.effects import Close, Emit, Event, NewId

# ---- When a fault happens: in which session, turn or response, and how often.

Unit = Literal["session", "turn", "response", "event"]
"""What a fault happens to as a whole: chance decides once for each of them."""

Number = Annotated[int, Meta(ge=1)]
Numbers = Number | list[Number]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class Only(Struct, frozen=True, forbid_unknown_fields=True):
    """The sessions, turns and responses that a fault is limited to, all counted from 1.

    `probability` is that of each thing the fault may happen to; the same seed chooses the same.
    """

    session: Numbers | None = None
    turn: Numbers | None = None
    response: Numbers | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0


ALWAYS = Only()


def mode(class_name: str) -> str:
    """Return how a fault is called in a script: `TranscriptionLate` is `transcription_late`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


FAULT: dict[str, Any] = {
    "frozen": True,
    "forbid_unknown_fields": True,
    "tag_field": "mode",
    "tag": mode,
}
"""How every fault's shape is read from a script."""


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
    """Tell whether a number is one of those asked for; None asks for all."""
    if numbers is None:
        return True
    return number in (numbers if isinstance(numbers, Sequence) else (numbers,))


_MAX_KNOWN = 4096  # items and responses remembered; the eldest are forgotten

_OF_THE_NEXT_TURN = (
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "input_audio_buffer.timeout_triggered",
)


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """An event, or the end, on its way to the client.

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
        """Return the event, an empty one for the end."""
        return self.effect.event if isinstance(self.effect, Emit) else {}

    @property
    def kind(self) -> str:
        """Return the event's type, "" for the end."""
        return str(self.event.get("type", ""))

    def of(self, unit: Unit) -> int | None:
        """Return the number of the thing it belongs to, None where it belongs to none."""
        if unit == "turn":
            return self.turn
        if unit == "response":
            return self.response
        return self.number if unit == "event" else 0


def concerned(seen: TrackedEvent, only: Only, unit: Unit, luck: Dice) -> bool:
    """Tell whether a fault that is limited like this happens to an event."""
    number = seen.of(unit)
    return (
        number is not None
        and among(only.turn, seen.turn)
        and among(only.response, seen.response)
        and luck.throw(number) < only.probability
    )


class Census:
    """Counts the events of one session, its user's turns and its responses, as they come."""

    def __init__(self) -> None:
        self._events = 0
        self._turns: dict[str, int] = {}
        self._responses: dict[str, tuple[int, int]] = {}  # number and turn, by id of either
        self._deltas: dict[int, int] = {}
        self._turn_count = 0
        self._response_count = 0
        self._last_done: tuple[int, int] | None = None

    def see(self, effect: Emit | Close) -> TrackedEvent:
        """Return the effect with its place."""
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


# ---- Faults that hold events back: until a time, until another turn's words, or before an item.

TRANSCRIPTION = "conversation.item.input_audio_transcription."
MAX_HELD = 4096
"""Events that one fault holds; then the eldest go on early."""


class Late:
    """Lets everything pass, but some of it so many seconds later."""

    def __init__(self, concerns: Callable[[TrackedEvent], bool], seconds: float) -> None:
        self._concerns = concerns
        self._seconds = seconds
        self._held: deque[tuple[float, TrackedEvent]] = deque()

    def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Hold what concerns it."""
        if not self._concerns(seen):
            return [seen]
        self._held.append((now + self._seconds, seen))
        return [self._held.popleft()[1]] if len(self._held) > MAX_HELD else []

    def due(self) -> float:
        """Return when the eldest has waited long enough."""
        return self._held[0][0] if self._held else math.inf

    def tick(self, now: float) -> list[TrackedEvent]:
        """Let go of what has waited long enough."""
        freed = []
        while self._held and self._held[0][0] <= now:
            freed.append(self._held.popleft()[1])
        return freed


class OutOfOrder:
    """Holds what is said of one turn's words until a later turn's words are whole."""

    def __init__(self, concerns: Callable[[TrackedEvent], bool], seconds: float) -> None:
        self._concerns = concerns
        self._seconds = seconds
        self._held: list[TrackedEvent] = []
        self._until = math.inf

    def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Hold this turn's words; a later turn's let them go."""
        if not seen.kind.startswith(TRANSCRIPTION):
            return [seen]
        if self._concerns(seen) and (not self._held or self._held[0].turn == seen.turn):
            self._held.append(seen)
            self._until = now + self._seconds
            return []
        return [seen, *self._free()] if _ends(seen) else [seen]

    def due(self) -> float:
        """Return when no later turn is waited for any more."""
        return self._until

    def tick(self, now: float) -> list[TrackedEvent]:
        """Let go when no other turn came."""
        return self._free() if now >= self._until else []

    def _free(self) -> list[TrackedEvent]:
        freed, self._held, self._until = self._held, [], math.inf
        return freed


class BeforeItem:
    """Holds a turn from its end on, until some of its words were told (WIRE §4.1)."""

    def __init__(self, concerns: Callable[[TrackedEvent], bool], seconds: float) -> None:
        self._concerns = concerns
        self._seconds = seconds
        self._held: list[TrackedEvent] = []
        self._until = math.inf

    def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Hold everything from the end of a turn on, but for its own words."""
        if not self._held:
            if not self._begins(seen):
                return [seen]
            self._until = now + self._seconds
        elif seen.turn == self._held[0].turn and seen.kind.startswith(TRANSCRIPTION):
            return [*self._free(), seen] if _ends(seen) else [seen]
        self._held.append(seen)
        crowded = len(self._held) > MAX_HELD or isinstance(seen.effect, Close)
        return self._free() if crowded else []

    def due(self) -> float:
        """Return when no words are waited for any more."""
        return self._until

    def tick(self, now: float) -> list[TrackedEvent]:
        """Let go when no words came."""
        return self._free() if now >= self._until else []

    def _begins(self, seen: TrackedEvent) -> bool:
        ends_a_turn = seen.kind in (
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        )
        return ends_a_turn and self._concerns(seen)

    def _free(self) -> list[TrackedEvent]:
        freed, self._held, self._until = self._held, [], math.inf
        return freed


def _ends(seen: TrackedEvent) -> bool:
    return seen.kind in (f"{TRANSCRIPTION}completed", f"{TRANSCRIPTION}failed")


# ---- Small changes to an event on its way: other fields, another event, the same once more.


def changed(seen: TrackedEvent, **fields: Any) -> TrackedEvent:
    """Return the event with these fields."""
    return instead(seen, {**seen.event, **fields})


def again(seen: TrackedEvent, new_id: NewId) -> TrackedEvent:
    """Return the event once more, as an event of its own."""
    return changed(seen, event_id=new_id("event"))


def instead(seen: TrackedEvent, event: Event) -> TrackedEvent:
    """Return another event in its place."""
    return replace(seen, effect=Emit(event))


def ended(seen: TrackedEvent, code: int, reason: str) -> TrackedEvent:
    """Return the end in its place; 1006 is a connection that breaks off without a word."""
    return replace(seen, effect=Close(code, reason))
