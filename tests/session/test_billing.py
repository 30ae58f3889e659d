"""Budgets: held at admission, charged while a session runs, reported at its end."""

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from relay.interfaces import ConversationHistory, EngineCapabilities
from relay.metrics import Metrics
from relay.realtime.billing.budget import Budgets, BudgetStage, Charge, Limit
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import UsageMeter
from relay.realtime.charging import CostTracker
from relay.realtime.endings import BUDGET_EXHAUSTED, FORBIDDEN, SessionRefused
from relay.realtime.grant import Bounds, Grant
from relay.session.billing import BudgetService, SessionBilling
from tests.fake_connection import FakePeer
from tests.realtime import wire_events as wire
from tests.realtime.wire_usage import parts_usage, response_done, response_usage
from tests.session.fakes import CALLER, FakeEngine, FakePast

DOLLAR = 1_000_000
NOW = 20_778 * 86_400.0
ENGINE = FakeEngine(FakePeer())
BOTH = Bounds(budget_micro=10 * DOLLAR, user_budget_micro=DOLLAR)


def grant(bounds: Bounds = BOTH, **more: Any) -> Grant:
    given: dict[str, Any] = {"model": "gpt-realtime-2.1"} | more
    return Grant(caller=CALLER, agent_id="a1", bounds=bounds, **given)


async def test_the_store_is_asked_what_agent_and_user_spent_today() -> None:
    past = FakePast(ConversationHistory())
    past.spent_today = 400_000
    hold = await BudgetService(Prices(), past.spent, ENGINE).open(grant(), "s1", NOW)
    assert past.asked == [(20_778, "a1", None), (20_778, "a1", "u1")]
    assert hold is not None
    assert (hold.balance().left, hold.balance().limit) == (600_000, DOLLAR), "the tighter one"


async def test_without_a_budget_or_a_price_the_store_is_not_asked() -> None:
    past = FakePast(ConversationHistory())
    assert (
        await BudgetService(Prices(), past.spent, ENGINE).open(grant(Bounds()), "s1", NOW) is None
    )
    free = FakeEngine(FakePeer(), EngineCapabilities(billed=False))
    assert await BudgetService(Prices(), past.spent, free).open(grant(), "s1", NOW) is None
    assert past.asked == []


async def test_sessions_go_on_without_the_stores_answer() -> None:
    past = FakePast(ConversationHistory())
    past.spent_today = OSError("away")
    hold = await BudgetService(Prices(), past.spent, ENGINE).open(grant(), "s1", NOW)
    assert hold is not None
    assert hold.balance().left == DOLLAR


async def test_a_budget_refuses_a_model_without_a_price() -> None:
    with pytest.raises(SessionRefused) as refusal:
        await BudgetService(Prices(), FakePast(ConversationHistory()).spent, ENGINE).open(
            grant(model="secret"), "s1", NOW
        )
    assert refusal.value.ending == FORBIDDEN


async def test_a_budget_asks_for_the_prices_of_the_engines_own_models() -> None:
    past = FakePast(ConversationHistory())
    engine = FakeEngine(FakePeer(), made_of("gpt-4.1-mini", "tts-1"))
    budgets = BudgetService(Prices(), past.spent, engine)
    assert await budgets.open(grant(model="secret"), "s1", NOW) is not None
    engine.capabilities = made_of("tts-1", "ours")  # another engine took its place
    with pytest.raises(SessionRefused) as refusal:
        await budgets.open(grant(), "s2", NOW)
    assert refusal.value.ending == FORBIDDEN


def made_of(*models: str) -> EngineCapabilities:
    return EngineCapabilities(billed=True, billed_models=models)


async def test_a_spent_budget_refuses_and_holds_nothing() -> None:
    past = FakePast(ConversationHistory())
    past.spent_today = DOLLAR
    budgets = BudgetService(Prices(), past.spent, ENGINE)
    with pytest.raises(SessionRefused) as refusal:
        await budgets.open(grant(), "s1", NOW)
    assert refusal.value.ending == BUDGET_EXHAUSTED
    past.spent_today = 0
    with pytest.raises(SessionRefused):  # what was once known to be spent stays spent
        await budgets.open(grant(), "s2", NOW)
    assert await budgets.open(grant(), "s3", NOW + 86_400) is not None, "tomorrow"


NOW = 20_778 * 86_400.0
LIMIT = Limit("user:u1", 1_000_000)


def costs() -> CostTracker:
    return CostTracker(
        UsageMeter("gpt-realtime-2.1", "w"), Prices(), BudgetStage(first_answer=5000)
    )


def test_without_a_budget_there_is_nothing_to_charge() -> None:
    billing = SessionBilling(costs(), None)
    assert billing.charge(Charge(1, 2), NOW) is None
    billing.close(NOW)


def test_an_answer_that_was_cut_off_is_charged_and_the_rest_released() -> None:
    budgets, used = Budgets(), costs()
    hold = budgets.open("s1", [LIMIT], 20_778)
    assert hold.reserve(10_000, 20_778)
    billing = SessionBilling(used, hold)
    used.observe(wire.response_created("R1"), NOW)
    billing.close(NOW)
    assert budgets.open("s2", [LIMIT], 20_778).balance().left == 995_000
    billing.close(NOW)
    assert budgets.open("s3", [LIMIT], 20_778).balance().left <= 995_000


def test_the_report_counts_and_logs_tokens_and_dollars() -> None:
    used, metrics = costs(), Metrics()
    used.observe(response_done("R1", response_usage(audio=(10, 0), out=(0, 100))), NOW)
    with capture_logs() as logs:
        SessionBilling(used, None).report(metrics, structlog.get_logger())
    assert logs[0]["event"] == "session usage"
    assert (logs[0]["audio_out"], logs[0]["dollars"]) == (100, 0.00672)
    assert b"relay_cost_dollars_total 0.00672" in metrics.render()


def test_the_report_counts_speech_in_characters_and_seconds() -> None:
    used, metrics = costs(), Metrics()
    spoken = {"model": "gpt-4o-mini-tts", "characters": 30, "seconds": 2.5}
    used.observe(response_done("R1", parts_usage(spoken)), NOW)
    with capture_logs() as logs:
        SessionBilling(used, None).report(metrics, structlog.get_logger())
    assert (logs[0]["characters"], logs[0]["seconds"], logs[0]["text_in"]) == (30, 2.5, 0)
    assert b'relay_speech_total{unit="characters"} 30.0' in metrics.render()
    assert b'relay_speech_total{unit="seconds"} 2.5' in metrics.render()


def test_a_session_that_used_nothing_logs_nothing() -> None:
    with capture_logs() as logs:
        SessionBilling(costs(), None).report(Metrics(), structlog.get_logger())
    assert logs == []
