"""All the faults of a simulator, and which of them happen in its n-th session."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from relay.engines.cascade.effects import NewId
from relay.engines.cascade.engine import Rules
from relay.engines.cascade.machine import Opening
from relay.parts.interfaces import Occasion, Reply, Revise
from relay.simulator.faults import door
from relay.simulator.faults.endings import SessionExpired
from relay.simulator.faults.only import Luck, Only, among
from relay.simulator.faults.rules import FaultyRules
from relay.simulator.faults.seen import concerned
from relay.simulator.faults.stages import Each, Stage
from relay.simulator.faults.table import EACH, REPLIES, DoorFault, Fault, RulesFault, holding
from relay.simulator.manners import TurnedAway

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
            luck = Luck(self.seed, index, session)
            in_it = fault.unit != "session" or luck.throw(0) < fault.only.probability
            if in_it and among(fault.only.session, session):
                chosen.append((fault, luck))
        return SessionFaults(tuple(chosen))


NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class SessionFaults:
    """The faults of one session, in the order of the script, each with its dice."""

    chosen: Sequence[tuple[Fault, Luck]]

    @property
    def handshake(self) -> door.Handshake | None:
        """Return the HTTP answer that takes the place of the upgrade."""
        return next((f for f, _ in self.chosen if isinstance(f, door.Handshake)), None)

    @property
    def turned_away(self) -> TurnedAway | None:
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

    def rules(self, rules: Rules, new_id: NewId) -> Rules:
        """Return the session's rules with its faults."""
        stages = [
            _stage(fault, luck, new_id)
            for fault, luck in self.chosen
            if not isinstance(fault, DoorFault) and type(fault) not in REPLIES
        ]
        return FaultyRules(rules, stages) if stages else rules

    def _revise(self, first: Revise) -> Revise:
        revisions = [(f, luck) for f, luck in self.chosen if type(f) in REPLIES]

        def revise(occasion: Occasion, reply: Reply) -> Reply:
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


def _hits(only: Only, occasion: Occasion, luck: Luck) -> bool:
    return (
        among(only.turn, occasion.turn)
        and among(only.response, occasion.response)
        and luck.throw(occasion.response) < only.probability
    )


def _stage(fault: RulesFault, luck: Luck, new_id: NewId) -> Stage:
    concerns = partial(concerned, only=fault.only, unit=fault.unit, luck=luck)
    held = holding(fault, concerns)
    if held is not None:
        return held
    apply = EACH[type(fault)]
    return Each(concerns, lambda seen: apply(fault, seen, new_id))
