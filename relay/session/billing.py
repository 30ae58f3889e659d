"""What one session pays with, and what is told of it at the end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from relay.metrics import Metrics
from relay.realtime.billing.budget import Balance, BudgetHold, Budgets, BudgetStage, Charge, Limit
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import day_of
from relay.realtime.charging import CostTracker
from relay.realtime.endings import BUDGET_EXHAUSTED, FORBIDDEN, SessionRefused
from relay.realtime.grant import Grant

_TOKEN_KINDS: Final = ("text_in", "audio_in", "image_in", "text_out", "audio_out")


class SessionBilling:
    """`purse` is None where nobody set a budget. Every `now` is in Unix seconds."""

    def __init__(self, spending: CostTracker, purse: BudgetHold | None) -> None:
        self._spending = spending
        self._purse = purse

    def settle(self, bill: Charge, now: float) -> Balance | None:
        """Pay; returns what is left, None without a purse."""
        if self._purse is None:
            return None
        return self._purse.settle(bill, day_of(now))

    def close(self, now: float) -> None:
        """The session is over: pay for what was cut off, and let others have the rest."""
        bill = self._spending.unbilled_charge()
        if bill is not None:
            self.settle(bill, now)
        if self._purse is not None:
            self._purse.release()

    def report(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        """Tell what the session used and cost."""
        tokens = tokens_of(self._spending)
        cost = self._spending.cost()
        dollars = cost.known / 1_000_000
        metrics.used(tokens, dollars)
        if tokens:
            log.info("session used", **tokens, dollars=dollars, unpriced=cost.unpriced)


def tokens_of(spending: CostTracker) -> Counter[str]:
    """What was used so far, by kind, all models together."""
    tokens: Counter[str] = Counter()
    for usage in spending.meter.totals().values():
        tokens.update({kind: getattr(usage, kind) for kind in _TOKEN_KINDS})
    return tokens


# ---- Whose money a session spends: opened at the door, given back at the end.

ASK_SECONDS: Final = 2.0
"""How long the store may take to say what was spent today."""

Spent = Callable[[int, str, str | None], Awaitable[int]]
"""Given a UTC day, an agent's id and a user's or None: micro-dollars spent."""

log = structlog.get_logger(__name__)


class BudgetService:
    """Hands out the purses of this process; `prices` is None where the voice costs nothing.

    What this process spends it knows itself. What was spent before it started, or by another one,
    the store says; where it cannot, the call goes on with what is known here.
    """

    def __init__(self, prices: Prices | None, spent: Spent) -> None:
        self._prices = prices
        self._spent = spent
        self._budgets = Budgets()

    async def open(self, grant: Grant, session_id: str, now: float) -> BudgetHold | None:
        """A purse with enough in it for two answers; None where there is no budget.

        Raises Refused: BUDGET_EXHAUSTED where there is not, FORBIDDEN for a model that nobody can
        put a price on.
        """
        if not grant.bounds.is_budgeted or self._prices is None:
            return None
        if self._prices.find(grant.model or "") is None:
            log.warning("a budget cannot pay for a model without a price", model=grant.model)
            raise SessionRefused(FORBIDDEN)
        day = day_of(now)
        limits = [await self._known(limit, user, grant, day) for limit, user in _limits(grant)]
        purse = self._budgets.open(session_id, limits, day)
        if not purse.reserve(BudgetStage().reservation, day):
            purse.release()
            raise SessionRefused(BUDGET_EXHAUSTED)
        return purse

    async def _known(self, limit: Limit, user: str | None, grant: Grant, day: int) -> Limit:
        """The limit with what the store knows to be spent of it today."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                spent = await self._spent(day, grant.agent_id, user)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, calls go on
            log.warning("what was spent today is not known", error=type(error).__name__)
            return limit
        return Limit(limit.key, limit.micro, spent)


def _limits(grant: Grant) -> Iterator[tuple[Limit, str | None]]:
    """Each budget of a call, and the user whose it is where it is one user's."""
    agent, user = f"agent:{grant.agent_id}", grant.caller.sub
    if grant.bounds.budget_micro is not None:
        yield Limit(agent, grant.bounds.budget_micro), None
    if grant.bounds.user_budget_micro is not None:
        yield Limit(f"{agent}/user:{user}", grant.bounds.user_budget_micro), user
