"""All the faults of a simulator, and which of them happen in its n-th session."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, get_args

from relay.engines.cascade.effects import Close, Effect, Emit, NewId
from relay.engines.cascade.engine import SessionMachine
from relay.engines.cascade.machine import Opening
from relay.interfaces import Frame
from relay.parts.interfaces import Reply, ReplyOccasion, Revise
from relay.simulator.faults import answers, noise, transcriptions
from relay.simulator.faults import sessions as door
from relay.simulator.faults import sessions as endings
from relay.simulator.faults.sessions import SessionExpired
from relay.simulator.faults.tracking import (
    TRANSCRIPTION,
    BeforeItem,
    Census,
    Dice,
    Late,
    Only,
    OutOfOrder,
    TrackedEvent,
    among,
    concerned,
)
from relay.simulator.handshake import UpgradeRefused

# ---- How faults stand behind one another: what one lets through, the next one alters.


class Stage(Protocol):
    """One fault in one session."""

    def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Return what goes on in place of this; what is held comes back from `tick`."""

    def due(self) -> float:
        """Return when `tick` wants to be called, infinity while nothing is held."""

    def tick(self, now: float) -> list[TrackedEvent]:
        """Return what was held until now."""


@dataclass(frozen=True, slots=True)
class Each:
    """A fault that holds nothing: a function of one event, for those that concern it."""

    concerns: Callable[[TrackedEvent], bool]
    apply: Callable[[TrackedEvent], list[TrackedEvent]]

    def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Alter what concerns it."""
        return self.apply(seen) if self.concerns(seen) else [seen]

    def due(self) -> float:
        """Hold nothing."""
        return math.inf

    def tick(self, now: float) -> list[TrackedEvent]:
        """Hold nothing."""
        return []


class Pipeline:
    """All the faults of one session, in the order of the script."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def take(self, seen: TrackedEvent, now: float) -> list[TrackedEvent]:
        """Return what becomes of an event."""
        return self._through(0, [seen], now)

    def due(self) -> float:
        """Return when `tick` wants to be called."""
        return min((stage.due() for stage in self._stages), default=math.inf)

    def tick(self, now: float) -> list[TrackedEvent]:
        """Return what was held until now, altered by the faults behind the one that held it."""
        freed: list[TrackedEvent] = []
        for index, stage in enumerate(self._stages):
            freed += self._through(index + 1, stage.tick(now), now)
        return freed

    def _through(self, first: int, several: list[TrackedEvent], now: float) -> list[TrackedEvent]:
        for stage in self._stages[first:]:
            several = [passed for seen in several for passed in stage.take(seen, now)]
        return several


# ---- A session whose events are altered by faults, between its machine and its peer; pure.


class FaultyRules:
    """The `SessionMachine` of a session with faults; work for ear and mouth passes as it is.

    A session whose machine has ended lives on as long as nothing tells the client of the end.
    """

    def __init__(self, rules: SessionMachine, stages: Sequence[Stage]) -> None:
        self._rules = rules
        self._pipeline = Pipeline(stages)
        self._census = Census()
        self._over = False

    def begin(self, now: float) -> list[Effect]:
        """Open the session."""
        return self._alter(self._rules.begin(now), now)

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """Carry out one client event."""
        return self._alter(() if self._over else self._rules.receive(frame, now), now)

    def transcribed(self, item_id: str, text: str | None, now: float) -> list[Effect]:
        """Take what was understood of an item."""
        effects = () if self._over else self._rules.transcribed(item_id, text, now)
        return self._alter(effects, now)

    def synthesized(
        self, response_id: str, output: int, pcm: bytes | None, now: float
    ) -> list[Effect]:
        """Take the sound of one output of an answer."""
        effects = () if self._over else self._rules.synthesized(response_id, output, pcm, now)
        return self._alter(effects, now)

    def tick(self, now: float) -> list[Effect]:
        """Let go of what was held long enough, and do what has come due."""
        freed = _until_the_end(self._pipeline.tick(now))
        if any(isinstance(effect, Close) for effect in freed):
            return freed
        due = not self._over and self._rules.deadline(now) <= now
        return [*freed, *self._alter(self._rules.tick(now) if due else (), now)]

    def deadline(self, now: float) -> float:
        """Return when `tick` wants to be called next."""
        held = self._pipeline.due()
        return held if self._over else min(held, self._rules.deadline(now))

    def _alter(self, effects: Sequence[Effect], now: float) -> list[Effect]:
        altered: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit | Close):
                self._over = self._over or isinstance(effect, Close)
                seen = self._census.see(effect)
                altered += [passed.effect for passed in self._pipeline.take(seen, now)]
            else:
                altered.append(effect)
        return _until_the_end(altered)


def _until_the_end(effects: Sequence[Effect | TrackedEvent]) -> list[Effect]:
    """Return the effects up to the first end: nothing comes after it."""
    kept: list[Effect] = []
    for effect in effects:
        kept.append(effect.effect if isinstance(effect, TrackedEvent) else effect)
        if isinstance(kept[-1], Close):
            break
    return kept


# ---- Every fault there is: its shape as a script has it, and the function that carries it out.

DoorFault = door.Handshake | door.InBandRefusal | door.SlowReader
"""What happens before a session begins, or beside it."""

RulesFault = (
    transcriptions.TranscriptionLate
    | transcriptions.TranscriptionOutOfOrder
    | transcriptions.TranscriptionBeforeItem
    | transcriptions.TranscriptionDoubled
    | transcriptions.TranscriptionEmpty
    | transcriptions.TranscriptionFailed
    | transcriptions.TranscriptionInterim
    | answers.ResponseFailed
    | answers.ResponseIncomplete
    | answers.ResponseInterleaved
    | answers.ResponseNotCreated
    | answers.ResponseCut
    | answers.RateLimitsMissing
    | noise.Errors
    | noise.UnknownEvents
    | noise.UnknownFields
    | noise.KeyOrder
    | noise.LargeItem
    | noise.EventMissing
    | noise.EventDoubled
    | noise.EventLate
    | endings.SessionExpired
    | endings.SessionStalled
    | endings.SessionCut
)
"""What happens within a session."""

Fault = DoorFault | RulesFault

MODES: Mapping[str, type] = {shape.__struct_config__.tag: shape for shape in get_args(Fault)}
"""The faults by what they are called in a script."""

EACH: Mapping[type, Callable[[Any, TrackedEvent, NewId], list[TrackedEvent]]] = {
    transcriptions.TranscriptionDoubled: transcriptions.doubled,
    transcriptions.TranscriptionEmpty: transcriptions.empty,
    transcriptions.TranscriptionFailed: transcriptions.failed,
    transcriptions.TranscriptionInterim: transcriptions.interim,
    answers.ResponseNotCreated: answers.not_created,
    answers.ResponseCut: answers.cut,
    answers.RateLimitsMissing: answers.limits_missing,
    noise.Errors: noise.errors,
    noise.UnknownEvents: noise.unknown_events,
    noise.UnknownFields: noise.unknown_fields,
    noise.KeyOrder: noise.key_order,
    noise.LargeItem: noise.large_item,
    noise.EventMissing: noise.missing,
    noise.EventDoubled: noise.doubled,
    endings.SessionExpired: endings.expired,
    endings.SessionStalled: endings.stalled,
    endings.SessionCut: endings.cut,
}
"""Faults of one event at a time: what goes on in its place."""

REPLIES: Mapping[type, Callable[[Any, Reply], Reply]] = {
    answers.ResponseFailed: answers.failed,
    answers.ResponseIncomplete: answers.incomplete,
    answers.ResponseInterleaved: answers.interleaved,
}
"""Faults of what is answered, before any event tells of it."""


def holding(fault: RulesFault, concerns: Callable[[TrackedEvent], bool]) -> Stage | None:
    """Return the stage of a fault that holds events back, None for any other."""
    match fault:
        case transcriptions.TranscriptionLate(seconds=seconds):
            return Late(lambda s: s.kind.startswith(TRANSCRIPTION) and concerns(s), seconds)
        case transcriptions.TranscriptionOutOfOrder(seconds=seconds):
            return OutOfOrder(concerns, seconds)
        case transcriptions.TranscriptionBeforeItem(seconds=seconds):
            return BeforeItem(concerns, seconds)
        case noise.EventLate(event=kind, seconds=seconds):
            return Late(lambda s: s.kind == kind and concerns(s), seconds)
        case _:
            return None


_LIMITS = {
    "session": ("session",),
    "turn": ("session", "turn"),
    "response": ("session", "turn", "response"),
    "event": ("session", "turn", "response"),
}
"""By what a fault of each unit can be limited."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of a simulator; the same `seed` chooses the same victims.

    Raises ValueError for a fault that is limited by something it knows nothing of.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse limits that could never hold."""
        for number, fault in enumerate(self.faults, start=1):
            wrong = senseless(fault)
            if wrong is not None:
                raise ValueError(f"fault {number}: {wrong}")

    @property
    def modes(self) -> tuple[str, ...]:
        """Return what the faults are called, in the order of the script."""
        return tuple(str(fault.__struct_config__.tag) for fault in self.faults)

    def of_session(self, session: int) -> "SessionFaults":
        """Return those of the n-th session, counted from 1."""
        chosen = []
        for index, fault in enumerate(self.faults):
            luck = Dice(self.seed, index, session)
            in_it = fault.unit != "session" or luck.throw(0) < fault.only.probability
            if in_it and among(fault.only.session, session):
                chosen.append((fault, luck))
        return SessionFaults(tuple(chosen))


NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class SessionFaults:
    """The faults of one session, in the order of the script, each with its dice."""

    chosen: Sequence[tuple[Fault, Dice]]

    @property
    def handshake(self) -> door.Handshake | None:
        """Return the HTTP answer that takes the place of the upgrade."""
        return next((f for f, _ in self.chosen if isinstance(f, door.Handshake)), None)

    @property
    def turned_away(self) -> UpgradeRefused | None:
        """Return how the connection is closed right after the upgrade."""
        refusals = (f for f, _ in self.chosen if isinstance(f, door.InBandRefusal))
        return next((door.turned_away(fault) for fault in refusals), None)

    @property
    def nap(self) -> door.SlowReader | None:
        """Return when the server stops reading, and for how long."""
        return next((f for f, _ in self.chosen if isinstance(f, door.SlowReader)), None)

    def opening(self, opening: Opening) -> Opening:
        """Return how the session begins: how long it lasts, and what becomes of its replies."""
        lasts = [f.seconds for f, _ in self.chosen if isinstance(f, SessionExpired)]
        seconds = min(lasts, default=opening.seconds)
        return replace(opening, seconds=seconds, revise=self._revise(opening.revise))

    def rules(self, rules: SessionMachine, new_id: NewId) -> SessionMachine:
        """Return the session's rules with its faults."""
        stages = [
            _stage(fault, luck, new_id)
            for fault, luck in self.chosen
            if not isinstance(fault, DoorFault) and type(fault) not in REPLIES
        ]
        return FaultyRules(rules, stages) if stages else rules

    def _revise(self, first: Revise) -> Revise:
        revisions = [(f, luck) for f, luck in self.chosen if type(f) in REPLIES]

        def revise(occasion: ReplyOccasion, reply: Reply) -> Reply:
            revised = first(occasion, reply)
            for fault, luck in revisions:
                if _hits(fault.only, occasion, luck):
                    revised = REPLIES[type(fault)](fault, revised)
            return revised

        return revise


def senseless(fault: Fault) -> str | None:
    """Return which limit of a fault could never hold, None when all make sense."""
    allowed = _LIMITS[fault.unit]
    given = [name for name in _LIMITS["event"] if getattr(fault.only, name) is not None]
    wrong = [name for name in given if name not in allowed]
    if not wrong:
        return None
    return f"only.{wrong[0]}: a fault of a {fault.unit} can be limited by {', '.join(allowed)}"


def _hits(only: Only, occasion: ReplyOccasion, luck: Dice) -> bool:
    return (
        among(only.turn, occasion.turn)
        and among(only.response, occasion.response)
        and luck.throw(occasion.response) < only.probability
    )


def _stage(fault: RulesFault, luck: Dice, new_id: NewId) -> Stage:
    concerns = partial(concerned, only=fault.only, unit=fault.unit, luck=luck)
    held = holding(fault, concerns)
    if held is not None:
        return held
    apply = EACH[type(fault)]
    return Each(concerns, lambda seen: apply(fault, seen, new_id))
