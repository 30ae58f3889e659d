"""Whose money a session spends."""

from typing import Any

import pytest

from relay.interfaces import ConversationHistory
from relay.realtime.billing.pricing import Prices
from relay.realtime.endings import BUDGET_EXHAUSTED, FORBIDDEN, SessionRefused
from relay.realtime.grant import Bounds, Grant
from relay.session.billing import BudgetService
from tests.session.fakes import CALLER, FakePast

DOLLAR = 1_000_000
NOW = 20_778 * 86_400.0
BOTH = Bounds(budget_micro=10 * DOLLAR, user_budget_micro=DOLLAR)


def grant(bounds: Bounds = BOTH, **more: Any) -> Grant:
    given: dict[str, Any] = {"model": "gpt-realtime-2.1"} | more
    return Grant(caller=CALLER, agent_id="a1", bounds=bounds, **given)


async def test_the_store_is_asked_for_the_agents_and_the_users_day() -> None:
    past = FakePast(ConversationHistory())
    past.spent_today = 400_000
    purse = await BudgetService(Prices(), past.spent).open(grant(), "s1", NOW)
    assert past.asked == [(20_778, "a1", None), (20_778, "a1", "u1")]
    assert purse is not None
    assert (purse.balance().left, purse.balance().limit) == (600_000, DOLLAR), "the tighter one"


async def test_without_a_budget_or_a_price_nobody_is_asked() -> None:
    past = FakePast(ConversationHistory())
    assert await BudgetService(Prices(), past.spent).open(grant(Bounds()), "s1", NOW) is None
    assert await BudgetService(None, past.spent).open(grant(), "s1", NOW) is None
    assert past.asked == []


async def test_a_store_that_is_away_stops_no_call() -> None:
    past = FakePast(ConversationHistory())
    past.spent_today = OSError("away")
    purse = await BudgetService(Prices(), past.spent).open(grant(), "s1", NOW)
    assert purse is not None
    assert purse.balance().left == DOLLAR


async def test_a_model_without_a_price_is_not_for_a_budget() -> None:
    with pytest.raises(SessionRefused) as refusal:
        await BudgetService(Prices(), FakePast(ConversationHistory()).spent).open(
            grant(model="secret"), "s1", NOW
        )
    assert refusal.value.ending == FORBIDDEN


async def test_a_spent_budget_refuses_and_keeps_nothing() -> None:
    past = FakePast(ConversationHistory())
    past.spent_today = DOLLAR
    purses = BudgetService(Prices(), past.spent)
    with pytest.raises(SessionRefused) as refusal:
        await purses.open(grant(), "s1", NOW)
    assert refusal.value.ending == BUDGET_EXHAUSTED
    past.spent_today = 0
    with pytest.raises(SessionRefused):  # what was once known to be spent stays spent
        await purses.open(grant(), "s2", NOW)
    assert await purses.open(grant(), "s3", NOW + 86_400) is not None, "tomorrow"
