"""Whose money a session spends: opened at the door, given back at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import structlog

from relay.realtime.billing.budget import Brake, Budgets, Limit, Purse
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import day_of
from relay.realtime.endings import BUDGET_EXHAUSTED, FORBIDDEN, Refused
from relay.realtime.grant import Grant

ASK_SECONDS: Final = 2.0
"""How long the store may take to say what was spent today."""

Spent = Callable[[int, str, str | None], Awaitable[int]]
"""Given a UTC day, an agent's id and a user's or None: micro-dollars spent."""

log = structlog.get_logger(__name__)


class Purses:
    """Hands out the purses of this process; `prices` is None where the voice costs nothing.

    What this process spends it knows itself. What was spent before it started, or by another one,
    the store says; where it cannot, the call goes on with what is known here.
    """

    def __init__(self, prices: Prices | None, spent: Spent) -> None:
        self._prices = prices
        self._spent = spent
        self._budgets = Budgets()

    async def open(self, grant: Grant, session_id: str, now: float) -> Purse | None:
        """A purse with enough in it for two answers; None where there is no budget.

        Raises Refused: BUDGET_EXHAUSTED where there is not, FORBIDDEN for a model that nobody can
        put a price on.
        """
        if not grant.bounds.is_budgeted or self._prices is None:
            return None
        if self._prices.find(grant.model or "") is None:
            log.warning("a budget cannot pay for a model without a price", model=grant.model)
            raise Refused(FORBIDDEN)
        day = day_of(now)
        limits = [await self._known(limit, user, grant, day) for limit, user in _limits(grant)]
        purse = self._budgets.open(session_id, limits, day)
        if not purse.reserve(Brake().want, day):
            purse.release()
            raise Refused(BUDGET_EXHAUSTED)
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
