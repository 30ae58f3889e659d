"""All faults of a simulator, and those of its n-th session."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

from relay.engines.cascade.effects import Close, Effect, Emit, NewId
from relay.engines.cascade.engine import SessionMachine
from relay.engines.cascade.machine import Opening
from relay.interfaces import Frame
from relay.parts.interfaces import PartFailed, Reply, ReplyOccasion, Revise
from relay.simulator.faults import http, responses, sessions
from relay.simulator.faults.tracking import (
    TRANSCRIPTION,
    BeforeItem,
    Condition,
    Dice,
    EventStage,
    EventTracker,
    Late,
    OutOfOrder,
    Stage,
    TrackedEvent,
    among,
    applies,
)
from relay.simulator.handshake import UpgradeRefused

# ----------------------------------------------------------------------------------- every fault

DoorFault = sessions.HandshakeFault | sessions.InBandRefusal | sessions.SlowReader
"""Faults before a session begins, or of its socket."""

RulesFault = (
    responses.TranscriptionLate
    | responses.TranscriptionOutOfOrder
    | responses.TranscriptionBeforeItem
    | responses.TranscriptionDoubled
    | responses.TranscriptionEmpty
    | responses.TranscriptionFailed
    | responses.TranscriptionInterim
    | responses.ResponseFailed
    | responses.ResponseIncomplete
    | responses.ResponseInterleaved
    | responses.ResponseNotCreated
    | responses.ResponseCut
    | responses.RateLimitsMissing
    | sessions.Errors
    | sessions.UnknownEvents
    | sessions.UnknownFields
    | sessions.KeyOrder
    | sessions.LargeItem
    | sessions.EventMissing
    | sessions.EventDoubled
    | sessions.EventLate
    | sessions.SessionExpired
    | sessions.SessionStalled
    | sessions.SessionCut
)
"""Faults of a session's events."""

Fault = DoorFault | RulesFault | http.HttpFault

MODES: Mapping[str, type] = {shape.__struct_config__.tag: shape for shape in get_args(Fault)}
"""The faults by their names in a script."""

EVENT_FAULTS: Mapping[type, Callable[[Any, TrackedEvent, NewId], list[TrackedEvent]]] = {
    responses.TranscriptionDoubled: responses.transcription_doubled,
    responses.TranscriptionEmpty: responses.transcription_empty,
    responses.TranscriptionFailed: responses.transcription_failed,
    responses.TranscriptionInterim: responses.transcription_interim,
    responses.ResponseNotCreated: responses.response_not_created,
    responses.ResponseCut: responses.response_cut,
    responses.RateLimitsMissing: responses.rate_limits_missing,
    sessions.Errors: sessions.errors,
    sessions.UnknownEvents: sessions.unknown_events,
    sessions.UnknownFields: sessions.unknown_fields,
    sessions.KeyOrder: sessions.key_order,
    sessions.LargeItem: sessions.large_item,
    sessions.EventMissing: sessions.event_missing,
    sessions.EventDoubled: sessions.event_doubled,
    sessions.SessionExpired: sessions.session_expired,
    sessions.SessionStalled: sessions.session_stalled,
    sessions.SessionCut: sessions.session_cut,
}
"""By fault of one event at a time: the function that returns the events in its place."""

REPLY_FAULTS: Mapping[type, Callable[[Any, Reply], Reply]] = {
    responses.ResponseFailed: responses.response_failed,
    responses.ResponseIncomplete: responses.response_incomplete,
    responses.ResponseInterleaved: responses.response_interleaved,
}
"""By fault of a reply: the function that revises it before its first event."""


def holding_stage(fault: RulesFault, applies_to: Callable[[TrackedEvent], bool]) -> Stage | None:
    """Return the stage of a fault that holds events back, None for any other."""
    match fault:
        case responses.TranscriptionLate(seconds=seconds):
            return Late(lambda s: s.kind.startswith(TRANSCRIPTION) and applies_to(s), seconds)
        case responses.TranscriptionOutOfOrder(seconds=seconds):
            return OutOfOrder(applies_to, seconds)
        case responses.TranscriptionBeforeItem(seconds=seconds):
            return BeforeItem(applies_to, seconds)
        case sessions.EventLate(event=kind, seconds=seconds):
            return Late(lambda s: s.kind == kind and applies_to(s), seconds)
        case _:
            return None


_CONDITIONS = {
    "session": ("session",),
    "turn": ("session", "turn"),
    "response": ("session", "turn", "response"),
    "event": ("session", "turn", "response"),
    "request": ("request",),
}
"""By unit: the conditions that a fault of it can have."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of a simulator; the same `seed` chooses the same sessions, turns and so on.

    Raises ValueError for a fault with a condition that its unit cannot have.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse conditions that could never be met."""
        for number, fault in enumerate(self.faults, start=1):
            wrong = impossible_condition(fault)
            if wrong is not None:
                raise ValueError(f"fault {number}: {wrong}")

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the names of the faults, in the order of the script."""
        return tuple(str(fault.__struct_config__.tag) for fault in self.faults)

    def of_session(self, session: int) -> "SessionFaults":
        """Return the faults of the n-th session, counted from 1."""
        chosen = []
        for index, fault in enumerate(self.faults):
            if isinstance(fault, http.HttpFault):
                continue
            dice = Dice(self.seed, index, session)
            thrown = fault.unit != "session" or dice.throw(0) < fault.only.probability
            if thrown and among(fault.only.session, session):
                chosen.append((fault, dice))
        return SessionFaults(tuple(chosen))

    def of_requests(self) -> http.HttpFaults:
        """Return the faults of HTTP requests, with a count of requests of their own."""
        chosen = [(i, f) for i, f in enumerate(self.faults) if isinstance(f, http.HttpFault)]
        return http.HttpFaults(chosen, self.seed)


NO_FAULTS = Faults()


def impossible_condition(fault: Fault) -> str | None:
    """Return an error for a condition that could never be met, None when there is none."""
    allowed = _CONDITIONS[fault.unit]
    limits = (*_CONDITIONS["event"], *_CONDITIONS["request"])
    given = [name for name in limits if getattr(fault.only, name) is not None]
    wrong = [name for name in given if name not in allowed]
    if not wrong:
        return None
    return f"only.{wrong[0]}: a fault of a {fault.unit} can be limited by {', '.join(allowed)}"


# ----------------------------------------------------------------------- the faults of one session


@dataclass(frozen=True, slots=True)
class SessionFaults:
    """The faults of one session, in the order of the script, each with its dice."""

    chosen: Sequence[tuple[DoorFault | RulesFault, Dice]]

    @property
    def handshake(self) -> sessions.HandshakeFault | None:
        """Return the HTTP answer that takes the place of the upgrade."""
        return next((f for f, _ in self.chosen if isinstance(f, sessions.HandshakeFault)), None)

    @property
    def refusal(self) -> UpgradeRefused | None:
        """Return the refusal that follows a completed upgrade."""
        refusals = (f for f, _ in self.chosen if isinstance(f, sessions.InBandRefusal))
        return next((sessions.in_band_refusal(fault) for fault in refusals), None)

    @property
    def slow_reader(self) -> sessions.SlowReader | None:
        """Return when the server stops reading and for how long."""
        return next((f for f, _ in self.chosen if isinstance(f, sessions.SlowReader)), None)

    def opening(self, opening: Opening) -> Opening:
        """Return how the session begins: its length and the revision of its replies."""
        seconds = [f.seconds for f, _ in self.chosen if isinstance(f, sessions.SessionExpired)]
        shortest = min(seconds, default=opening.seconds)
        return replace(opening, seconds=shortest, revise=self._revise())

    def rules(self, rules: SessionMachine, new_id: NewId) -> SessionMachine:
        """Return the session's rules with its faults."""
        stages = [
            _stage(fault, dice, new_id)
            for fault, dice in self.chosen
            if not isinstance(fault, DoorFault) and type(fault) not in REPLY_FAULTS
        ]
        return FaultyRules(rules, stages) if stages else rules

    def _revise(self) -> Revise | None:
        revisions = [(f, dice) for f, dice in self.chosen if type(f) in REPLY_FAULTS]
        if not revisions:
            return None

        def revise(occasion: ReplyOccasion, reply: Reply) -> Reply:
            for fault, dice in revisions:
                if _revises(fault.only, occasion, dice):
                    reply = REPLY_FAULTS[type(fault)](fault, reply)
            return reply

        return revise


def _revises(condition: Condition, occasion: ReplyOccasion, dice: Dice) -> bool:
    return (
        among(condition.turn, occasion.turn)
        and among(condition.response, occasion.response)
        and dice.throw(occasion.response) < condition.probability
    )


def _stage(fault: RulesFault, dice: Dice, new_id: NewId) -> Stage:
    applies_here = partial(applies, condition=fault.only, unit=fault.unit, dice=dice)
    holding = holding_stage(fault, applies_here)
    if holding is not None:
        return holding
    alter = EVENT_FAULTS[type(fault)]
    return EventStage(applies_here, lambda tracked: alter(fault, tracked, new_id))


class FaultyRules:
    """The `SessionMachine` of a session with faults; work for the parts passes unchanged.

    When the machine has ended but a fault keeps the end from the client, the session goes on.
    """

    def __init__(self, rules: SessionMachine, stages: Sequence[Stage]) -> None:
        self._rules = rules
        self._pipeline = Pipeline(stages)
        self._tracker = EventTracker()
        self._ended = False

    def begin(self, now: float) -> list[Effect]:
        """Open the session."""
        return self._alter(self._rules.begin(now), now)

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """Carry out one client event."""
        return self._alter(() if self._ended else self._rules.receive(frame, now), now)

    def progress(self, work: int, piece: Any, now: float) -> list[Effect]:
        """Take a piece of the result of some work."""
        return self._alter(() if self._ended else self._rules.progress(work, piece, now), now)

    def finish(self, work: int, failure: PartFailed | None, now: float) -> list[Effect]:
        """Take the end of some work, None where it succeeded."""
        return self._alter(() if self._ended else self._rules.finish(work, failure, now), now)

    def tick(self, now: float) -> list[Effect]:
        """Release what was held long enough, and do what is due."""
        released = _up_to_close(self._pipeline.tick(now))
        if any(isinstance(effect, Close) for effect in released):
            return released
        due = not self._ended and self._rules.deadline(now) <= now
        return [*released, *self._alter(self._rules.tick(now) if due else (), now)]

    def deadline(self, now: float) -> float:
        """Return when to call `tick` next."""
        held = self._pipeline.due()
        return held if self._ended else min(held, self._rules.deadline(now))

    def _alter(self, effects: Sequence[Effect], now: float) -> list[Effect]:
        altered: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit | Close):
                self._ended = self._ended or isinstance(effect, Close)
                tracked = self._tracker.track(effect)
                altered += [passed.effect for passed in self._pipeline.take(tracked, now)]
            else:
                altered.append(effect)
        return _up_to_close(altered)


def _up_to_close(effects: Sequence[Effect | TrackedEvent]) -> list[Effect]:
    """Return the effects up to the first close: nothing may follow it."""
    kept: list[Effect] = []
    for effect in effects:
        kept.append(effect.effect if isinstance(effect, TrackedEvent) else effect)
        if isinstance(kept[-1], Close):
            break
    return kept


class Pipeline:
    """All stages of one session in the order of the script: each alters the output of the last."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def take(self, tracked: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Return the events to send in place of this."""
        return self._through(0, [tracked], now)

    def due(self) -> float:
        """Return when to call `tick`."""
        return min((stage.due() for stage in self._stages), default=math.inf)

    def tick(self, now: float) -> list[TrackedEvent]:
        """Return what is due, altered by the stages after the one that held it."""
        released: list[TrackedEvent] = []
        for index, stage in enumerate(self._stages):
            released += self._through(index + 1, stage.tick(now), now)
        return released

    def _through(self, first: int, events: list[TrackedEvent], now: float) -> list[TrackedEvent]:
        for stage in self._stages[first:]:
            events = [passed for tracked in events for passed in stage.take(tracked, now)]
        return events
