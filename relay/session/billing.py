"""Reserves budget when a session is admitted, charges it while it runs, reports at its end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from relay.interfaces import Engine
from relay.metrics import Metrics
from relay.realtime.billing.budget import Balance, BudgetHold, Budgets, BudgetStage, Charge, Limit
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import Usage, day_of
from relay.realtime.charging import CostTracker
from relay.realtime.endings import BUDGET_EXHAUSTED, FORBIDDEN, SessionRefused
from relay.realtime.grant import Grant
from relay.tasks import error_fields

QUERY_SECONDS: Final = 2.0
"""Seconds the store may take to answer what was spent today."""
_TOKEN_KINDS: Final = ("text_in", "audio_in", "image_in", "text_out", "audio_out")

Spent = Callable[[int, str, str | None], Awaitable[int]]
"""Given a UTC day, an agent's id and a user's or None: micro-dollars spent."""

log = structlog.get_logger(__name__)


class BudgetService:
    """The budgets of this process, for sessions with an engine that bills them.

    Tracks what this process spends; asks the store what was spent earlier or elsewhere. If the
    store does not answer, sessions continue with the spend of this process.
    """

    def __init__(self, prices: Prices, spent: Spent, engine: Engine) -> None:
        self._prices = prices
        self._engine = engine
        self._spent = spent
        self._budgets = Budgets()

    async def open(self, grant: Grant, session_id: str, now: float) -> BudgetHold | None:
        """Hold enough for two answers; None where the grant has no budget.

        Raises `SessionRefused`: BUDGET_EXHAUSTED where there is not enough, FORBIDDEN for a model
        that has no price. `now` is in Unix seconds.
        """
        engine = self._engine.capabilities
        if not grant.bounds.is_budgeted or not engine.billed:
            return None
        for model in engine.billed_models or (grant.model or "",):
            if self._prices.find(model) is None:
                log.warning("session refused: budgeted model has no price", model=model)
                raise SessionRefused(FORBIDDEN)
        day = day_of(now)
        limits = [await self._with_spent(limit, user, grant, day) for limit, user in _limits(grant)]
        hold = self._budgets.open(session_id, limits, day)
        if not hold.reserve(BudgetStage().reservation, day):
            hold.release()
            raise SessionRefused(BUDGET_EXHAUSTED)
        return hold

    async def _with_spent(self, limit: Limit, user: str | None, grant: Grant, day: int) -> Limit:
        """The limit with what was spent of it today, as far as the store can tell."""
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                spent = await self._spent(day, grant.agent_id, user)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, sessions go on
            log.warning(
                "could not load today's spend; continuing with the in-process total",
                **error_fields(error),
            )
            return limit
        return Limit(limit.key, limit.micro, spent)


def _limits(grant: Grant) -> Iterator[tuple[Limit, str | None]]:
    """Each budget of a grant, with its user if it is per user."""
    agent, user = f"agent:{grant.agent_id}", grant.caller.sub
    if grant.bounds.budget_micro is not None:
        yield Limit(agent, grant.bounds.budget_micro), None
    if grant.bounds.user_budget_micro is not None:
        yield Limit(f"{agent}/user:{user}", grant.bounds.user_budget_micro), user


class SessionBilling:
    """Charges one session; `hold` is None if it has no budget. `now` is in Unix seconds."""

    def __init__(self, costs: CostTracker, hold: BudgetHold | None) -> None:
        self._costs = costs
        self._hold = hold

    def charge(self, charge: Charge, now: float) -> Balance | None:
        """Charge the budgets; returns the balance, None without a budget."""
        if self._hold is None:
            return None
        return self._hold.settle(charge, day_of(now))

    def close(self, now: float) -> None:
        """Charge what was cut off by the session's end, and release what is left of the hold."""
        charge = self._costs.unbilled_charge()
        if charge is not None:
            self.charge(charge, now)
        if self._hold is not None:
            self._hold.release()

    def report(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        """Count and log the session's usage and cost."""
        tokens, speech = token_counts(self._costs), _speech(self._costs)
        cost = self._costs.cost()
        dollars = cost.known / 1_000_000
        metrics.used(tokens, speech, dollars)
        if tokens:
            log.info("session usage", **tokens, **speech, dollars=dollars, unpriced=cost.unpriced)


def token_counts(costs: CostTracker) -> Counter[str]:
    """The tokens used so far, by kind, of all models together."""
    tokens: Counter[str] = Counter()
    for usage in costs.meter.totals().values():
        tokens.update({kind: getattr(usage, kind) for kind in _TOKEN_KINDS})
    return tokens


def _speech(costs: CostTracker) -> dict[str, float]:
    """The speech that models not billed by tokens heard or made, by the units that have any."""
    used = sum(costs.meter.totals().values(), Usage())
    speech = {"characters": used.characters, "seconds": used.milliseconds / 1000}
    return {unit: amount for unit, amount in speech.items() if amount}
