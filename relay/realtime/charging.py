"""Charges a session's usage to its budgets and warns, wraps up or ends it as they run out."""

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

_CREATED: Final = "response.created"
_DONE: Final = "response.done"
_MAX_RESPONSES: Final = 64  # in progress; the API has one in the conversation and few beside it


@dataclass(slots=True)
class CostTracker:
    """Meters a session, and charges its budgets where it has any.

    `prices` is None for an engine that is not billed, `stage` None for a session without a budget.
    """

    meter: UsageMeter
    prices: Prices | None = None
    stage: BudgetStage | None = None
    _in_progress: set[str] = field(default_factory=set)

    reads = UsageMeter.reads | {_CREATED}

    def observe(self, event: Event, now: float) -> list[Effect]:
        """Take one server event of the types in `reads` at `now` (Unix seconds)."""
        self._track_response(event)
        lines = self.meter.observe(event, now)
        used: list[Effect] = [RecordUsage(line, self._micro(line)) for line in lines]
        if self.stage is None or not used:
            return used
        answered = event["type"] == _DONE
        return [*used, ChargeBudget(self.stage.charge(self.cost().known, answered=answered))]

    def update_stage(self, balance: Balance) -> Stage | None:
        """The stage that the session has reached, if it is a new one.

        A model without a price may not spend from a budget at all.
        """
        if self.stage is None:
            return None
        if self.cost().unpriced:
            balance = Balance(0, balance.limit, balance.day)
        return self.stage.update(balance)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to spend."""
        return self.stage is not None and self.stage.name == "exhausted"

    def cost(self) -> Cost:
        """What the session has cost so far."""
        return Cost(0) if self.prices is None else self.meter.cost(self.prices)

    def unbilled_charge(self) -> Charge | None:
        """The estimated cost of answers cut off by the session's end, whose usage never comes."""
        if self.stage is None or not self._in_progress:
            return None
        return Charge(len(self._in_progress) * self.stage.expected, 0)

    def _track_response(self, event: Event) -> None:
        response = event.get("response")
        if not isinstance(response, dict):
            return
        if event["type"] == _CREATED and len(self._in_progress) < _MAX_RESPONSES:
            self._in_progress.add(str(response.get("id")))
        elif event["type"] == _DONE:
            self._in_progress.discard(str(response.get("id")))

    def _micro(self, line: UsageLine) -> int | None:
        if self.prices is None:
            return 0
        return cost(line.usage, self.prices.find(line.model))


@dataclass(frozen=True, slots=True)
class BudgetEnforcer:
    """Acts on a session's budget stage.

    `is_aware` says that the client understands `relay.*` events.
    """

    costs: CostTracker
    deadlines: Deadlines
    injected: InjectedItems
    is_aware: bool

    def observe(self, event: Event, now: float) -> list[Effect]:
        """Charge an engine's event; an answer that cannot be paid for ends the session."""
        effects = self.costs.observe(event, now)
        if event["type"] == _CREATED and self.costs.is_exhausted:
            effects.append(End(BUDGET_EXHAUSTED))
        return effects

    def on_balance(self, balance: Balance, heard_at: float, now: float) -> list[Effect]:
        """Act on the balance after a charge was settled.

        An exhausted session ends at `heard_at`, when its last answer will have been heard, but no
        later than after `WRAP_UP_SECONDS`.
        """
        stage = self.costs.update_stage(balance)
        if stage is None:
            return []
        self.deadlines.budget_ends_at = self._ends_at(stage, heard_at, now)
        effects: list[Effect] = []
        if self.is_aware and stage != "ok":
            effects.append(ToClient(encode(budget(balance.left))))
        if stage == "wrap_up":
            effects.append(ToEngine(encode(self.injected.create(system_item(GOOD_BYE)))))
        return effects

    def _ends_at(self, stage: Stage, heard_at: float, now: float) -> float:
        if stage == "exhausted":
            return min(heard_at, now + WRAP_UP_SECONDS, self.deadlines.budget_ends_at)
        return now + WRAP_UP_SECONDS if stage == "wrap_up" else math.inf
