"""What one session used, what that costs, and how near its money is to its end; pure."""

import math
from dataclasses import dataclass, field
from typing import Final

from relay.realtime.billing.budget import (
    GOOD_BYE,
    WRAP_UP_SECONDS,
    Balance,
    BudgetStage,
    Charge,
    Stage,
)
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import Cost, UsageLine, UsageMeter, cost
from relay.realtime.deadlines import Deadlines
from relay.realtime.effects import ChargeBudget, Effect, End, RecordUsage, ToClient, ToEngine
from relay.realtime.endings import BUDGET_EXHAUSTED
from relay.realtime.events import Event, budget, encode
from relay.realtime.items import InjectedItems, system_item

_BEGUN: Final = "response.created"
_BILLED: Final = "response.done"
_MOST_ANSWERING: Final = 64  # the API makes one in the conversation and few beside it
FREE: Final = Cost(0)
"""What a voice costs that nobody bills."""


@dataclass(slots=True)
class CostTracker:
    """Observes what the meter reads, and `response.created`.

    `prices` is None for a voice that costs nothing, `brake` None where nobody set a budget.
    """

    meter: UsageMeter
    prices: Prices | None = None
    brake: BudgetStage | None = None
    _answering: set[str] = field(default_factory=set)

    reads = UsageMeter.reads | {_BEGUN}

    def observe(self, event: Event, now: float) -> list[Effect]:
        """Take one server event at `now` (Unix seconds)."""
        self._follow(event)
        line = self.meter.observe(event, now)
        if line is None:
            return []
        used = RecordUsage(line, self._micro(line))
        if self.brake is None:
            return [used]
        answered = event["type"] == _BILLED
        return [used, ChargeBudget(self.brake.bill(self.cost().known, answered=answered))]

    def stands(self, standing: Balance) -> Stage | None:
        """The stage that the session has come to, where it is a new one.

        What nobody can put a price on may not be spent from a budget at all.
        """
        if self.brake is None:
            return None
        if self.cost().unpriced:
            standing = Balance(0, standing.limit, standing.day)
        return self.brake.stands(standing)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to spend."""
        return self.brake is not None and self.brake.stage == "exhausted"

    def cost(self) -> Cost:
        """What the session cost so far."""
        return FREE if self.prices is None else self.meter.cost(self.prices)

    def last_bill(self) -> Charge | None:
        """What answers that the session's end cut off may cost: no bill will come for them."""
        if self.brake is None or not self._answering:
            return None
        return Charge(len(self._answering) * self.brake.expected, 0)

    def _follow(self, event: Event) -> None:
        """Note which answers are on their way."""
        response = event.get("response")
        if not isinstance(response, dict):
            return
        if event["type"] == _BEGUN and len(self._answering) < _MOST_ANSWERING:
            self._answering.add(str(response.get("id")))
        elif event["type"] == _BILLED:
            self._answering.discard(str(response.get("id")))

    def _micro(self, line: UsageLine) -> int | None:
        if self.prices is None:
            return 0
        return cost(line.usage, self.prices.find(line.model))


# ---- What follows when a session's money runs out: a warning, a good-bye, the end; pure.


@dataclass(frozen=True, slots=True)
class BudgetEnforcer:
    """Acts on what `spending` counts; `is_aware` says that the client knows `relay.*` events."""

    spending: CostTracker
    deadlines: Deadlines
    own: InjectedItems
    is_aware: bool

    def observe(self, event: Event, now: float) -> list[Effect]:
        """What an engine's event costs; an answer that nobody can pay for ends the session."""
        actions = self.spending.observe(event, now)
        if event["type"] == "response.created" and self.spending.is_exhausted:
            actions.append(End(BUDGET_EXHAUSTED))
        return actions

    def afforded(self, standing: Balance, heard_at: float, now: float) -> list[Effect]:
        """A bill was settled, and so the purse stands now.

        The session does not end before `heard_at`, when the last answer will have been heard, but
        in bounded time.
        """
        stage = self.spending.stands(standing)
        if stage is None:
            return []
        self.deadlines.broke_at = self._ends_at(stage, heard_at, now)
        actions: list[Effect] = []
        if self.is_aware and stage != "ok":
            actions.append(ToClient(encode(budget(standing.left))))
        if stage == "wrap_up":
            actions.append(ToEngine(encode(self.own.create(system_item(GOOD_BYE)))))
        return actions

    def _ends_at(self, stage: Stage, heard_at: float, now: float) -> float:
        if stage == "exhausted":
            return min(heard_at, now + WRAP_UP_SECONDS, self.deadlines.broke_at)
        return now + WRAP_UP_SECONDS if stage == "wrap_up" else math.inf
