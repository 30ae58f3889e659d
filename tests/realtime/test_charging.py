"""Charging a session: usage to budgets, and warning, good-bye and end as they run out."""

import json
import math
from typing import Any

import pytest

from relay.realtime.billing.budget import (
    FIRST_ANSWER,
    GOOD_BYE,
    WRAP_UP_SECONDS,
    Balance,
    BudgetStage,
)
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import UsageMeter
from relay.realtime.charging import BudgetEnforcer, CostTracker
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.effects import ChargeBudget, Effect, End, RecordUsage, ToClient, ToEngine
from relay.realtime.endings import BUDGET_EXHAUSTED
from relay.realtime.items import InjectedItems
from relay.realtime.requests import RequestTracker
from tests.realtime import wire_events as wire
from tests.realtime.wire_usage import (
    lasted,
    parts_usage,
    response_done,
    response_usage,
    session,
    transcribed,
)

NOW = 1_795_219_200.0
MODEL, TRANSCRIBER = "gpt-realtime-2.1", "gpt-realtime-whisper"
SECOND = response_usage(audio=(10, 0), out=(0, 100))  # 320 + 6,400 micro-dollars


def costs(stage: BudgetStage | None = None, prices: Prices | None = None) -> CostTracker:
    return CostTracker(UsageMeter(MODEL, TRANSCRIBER), prices or Prices(), stage)


def test_usage_is_recorded_with_its_cost() -> None:
    [used] = costs().observe(response_done("R1", SECOND), NOW)
    assert isinstance(used, RecordUsage)
    assert (used.line.model, used.line.usage.audio_out, used.micro) == (MODEL, 100, 6720)


def test_an_event_without_usage_has_no_effect() -> None:
    assert costs().observe(response_done("R1", None), NOW) == []
    assert costs().observe(session("updated", MODEL, TRANSCRIBER), NOW) == []


def test_an_unbilled_engine_costs_nothing_and_a_model_without_a_price_is_unknown() -> None:
    free = CostTracker(UsageMeter("offline", TRANSCRIBER))
    [used] = free.observe(response_done("R1", SECOND), NOW)
    assert isinstance(used, RecordUsage)
    assert (used.micro, free.cost().known) == (0, 0)
    [used] = CostTracker(UsageMeter("unheard-of", TRANSCRIBER), Prices()).observe(
        response_done("R1", SECOND), NOW
    )
    assert isinstance(used, RecordUsage)
    assert used.micro is None


def test_with_a_budget_usage_is_charged_and_the_next_answer_reserved() -> None:
    tracker = costs(BudgetStage(first_answer=1000))
    *_, heard = tracker.observe(transcribed("U1", lasted(60)), NOW)
    *_, answered = tracker.observe(response_done("R1", SECOND), NOW)
    assert isinstance(heard, ChargeBudget)
    assert isinstance(answered, ChargeBudget)
    assert (heard.charge.actual, heard.charge.reservation) == (17_000, 2000)
    assert (answered.charge.actual, answered.charge.reservation) == (
        6720,
        2 * (17_000 + 6720) * 3 // 2,
    )


def test_an_engine_made_of_parts_is_charged_once_for_all_of_them() -> None:
    """Each part is a line; 1000 tokens at 0.40 and 200 characters at 15 dollars a million."""
    tracker = costs(BudgetStage(first_answer=1000))
    written = {"model": "gpt-4.1-mini", "input_tokens": 1000}
    spoken = {"model": "tts-1", "characters": 200}
    *used, charged = tracker.observe(response_done("R1", parts_usage(written, spoken)), NOW)

    micro = {one.line.model: one.micro for one in used if isinstance(one, RecordUsage)}
    assert micro == {"gpt-4.1-mini": 400, "tts-1": 3000}
    assert isinstance(charged, ChargeBudget)
    assert (charged.charge.actual, charged.charge.reservation) == (3400, 2 * 3400 * 3 // 2)
    assert tracker.observe(response_done("R2", parts_usage()), NOW) == []


def test_a_part_without_a_price_may_not_spend_from_a_budget() -> None:
    tracker, plenty = costs(BudgetStage()), Balance(10**9, 10**9, 1)
    tracker.observe(response_done("R1", parts_usage({"model": "ours", "characters": 1})), NOW)
    assert tracker.update_stage(plenty) == "exhausted"


def test_a_model_without_a_price_may_not_spend_from_a_budget() -> None:
    tracker = CostTracker(UsageMeter("unheard-of", TRANSCRIBER), Prices(), BudgetStage())
    plenty = Balance(10**9, 10**9, 1)
    assert tracker.update_stage(plenty) is None
    tracker.observe(response_done("R1", SECOND), NOW)
    assert tracker.update_stage(plenty) == "exhausted"
    assert tracker.is_exhausted


@pytest.mark.parametrize("done", [True, False])
def test_an_answer_cut_off_by_the_end_is_charged_as_estimated(done: bool) -> None:
    tracker = costs(BudgetStage(first_answer=1234))
    tracker.observe(wire.response_created("R1"), NOW)
    if done:
        tracker.observe(response_done("R1", None, "cancelled"), NOW)
        assert tracker.unbilled_charge() is None
    else:
        charge = tracker.unbilled_charge()
        assert charge is not None
        assert (charge.actual, charge.reservation) == (1234, 0)


def test_without_a_budget_nothing_is_charged_and_nothing_ends() -> None:
    tracker = costs()
    tracker.observe(wire.response_created("R1"), NOW)
    assert tracker.unbilled_charge() is None
    assert tracker.update_stage(Balance(0, 0, 1)) is None
    assert not tracker.is_exhausted


LIMIT = 100 * FIRST_ANSWER


def enforcer(*, is_aware: bool = True) -> BudgetEnforcer:
    costs = CostTracker(
        UsageMeter("gpt-realtime-2.1", "gpt-realtime-whisper"), Prices(), BudgetStage()
    )
    deadlines = Deadlines(SessionLimits(10.0, 1800.0, 300.0), 0.0)
    deadlines.engine_ready()
    return BudgetEnforcer(costs, deadlines, InjectedItems(RequestTracker()), is_aware)


def balance(left: int, day: int = 1) -> Balance:
    return Balance(left, LIMIT, day)


def sent_to_client(effects: list[Effect]) -> list[Any]:
    return [json.loads(bytes(e.frame)) for e in effects if isinstance(e, ToClient)]


def sent_to_engine(effects: list[Effect]) -> list[Any]:
    return [json.loads(bytes(e.frame)) for e in effects if isinstance(e, ToEngine)]


def test_with_plenty_left_nothing_is_sent() -> None:
    assert enforcer().on_balance(balance(LIMIT // 2), NOW, NOW) == []


def test_a_client_that_knows_the_event_is_warned_once_when_a_fifth_is_left() -> None:
    aware = enforcer()
    assert sent_to_client(aware.on_balance(balance(LIMIT // 5), NOW, NOW)) == [
        {"type": "relay.budget", "left": LIMIT // 5}
    ]
    assert aware.on_balance(balance(LIMIT // 6), NOW, NOW) == []
    assert enforcer(is_aware=False).on_balance(balance(LIMIT // 5), NOW, NOW) == []


def test_with_little_left_the_model_is_asked_to_say_good_bye_in_bounded_time() -> None:
    budget = enforcer(is_aware=False)
    [event] = sent_to_engine(budget.on_balance(balance(FIRST_ANSWER), NOW, NOW))
    assert event["item"]["role"] == "system"
    assert event["item"]["content"][0]["text"] == GOOD_BYE
    assert budget.deadlines.budget_ends_at == NOW + WRAP_UP_SECONDS
    assert budget.deadlines.ending(NOW + WRAP_UP_SECONDS) == BUDGET_EXHAUSTED


def test_an_exhausted_session_ends_when_its_last_answer_was_heard_in_bounded_time() -> None:
    budget = enforcer()
    budget.on_balance(balance(0), NOW + 4.0, NOW)
    assert budget.deadlines.budget_ends_at == NOW + 4.0
    budget = enforcer()
    budget.on_balance(balance(0), math.inf, NOW)
    assert budget.deadlines.budget_ends_at == NOW + WRAP_UP_SECONDS


def test_an_answer_begun_after_exhaustion_ends_the_session() -> None:
    budget = enforcer()
    assert budget.observe(wire.response_created("R1"), NOW) == []
    budget.on_balance(balance(0), NOW + 4.0, NOW)
    assert budget.observe(wire.response_created("R2"), NOW) == [End(BUDGET_EXHAUSTED)]


def test_a_new_day_cancels_the_end() -> None:
    budget = enforcer()
    budget.on_balance(balance(FIRST_ANSWER), NOW, NOW)
    assert budget.on_balance(balance(LIMIT, day=2), NOW, NOW) == []
    assert budget.deadlines.budget_ends_at == math.inf
