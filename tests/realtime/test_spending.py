"""What a session used and costs, as its events come by."""

import pytest

from relay.realtime.billing.budget import Balance, BudgetStage
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import UsageMeter
from relay.realtime.charging import CostTracker
from relay.realtime.effects import ChargeBudget, RecordUsage
from tests.realtime import wire_events as wire
from tests.realtime.wire_usage import lasted, response_done, response_usage, session, transcribed

NOW = 1_795_219_200.0
MODEL, EAR = "gpt-realtime-2.1", "gpt-realtime-whisper"
SECOND = response_usage(audio=(10, 0), out=(0, 100))  # 320 + 6,400 micro-dollars


def spending(brake: BudgetStage | None = None, prices: Prices | None = None) -> CostTracker:
    return CostTracker(UsageMeter(MODEL, EAR), prices or Prices(), brake)


def test_what_a_model_used_is_told_with_its_cost() -> None:
    [used] = spending().observe(response_done("R1", SECOND), NOW)
    assert isinstance(used, RecordUsage)
    assert (used.line.model, used.line.usage.audio_out, used.micro) == (MODEL, 100, 6720)


def test_an_event_that_costs_nothing_says_nothing() -> None:
    assert spending().observe(response_done("R1", None), NOW) == []
    assert spending().observe(session("updated", MODEL, EAR), NOW) == []


def test_a_voice_that_nobody_bills_costs_nothing_and_one_without_a_price_is_unknown() -> None:
    free = CostTracker(UsageMeter("offline", EAR))
    [used] = free.observe(response_done("R1", SECOND), NOW)
    assert isinstance(used, RecordUsage)
    assert (used.micro, free.cost().known) == (0, 0)
    [used] = CostTracker(UsageMeter("unheard-of", EAR), Prices()).observe(
        response_done("R1", SECOND), NOW
    )
    assert isinstance(used, RecordUsage)
    assert used.micro is None


def test_under_a_budget_every_bill_is_settled_and_the_next_answer_reserved() -> None:
    money = spending(BudgetStage(first_answer=1000))
    *_, heard = money.observe(transcribed("U1", lasted(60)), NOW)
    *_, answered = money.observe(response_done("R1", SECOND), NOW)
    assert isinstance(heard, ChargeBudget)
    assert isinstance(answered, ChargeBudget)
    assert (heard.bill.actual, heard.bill.want) == (17_000, 2000)
    assert (answered.bill.actual, answered.bill.want) == (6720, 2 * (17_000 + 6720) * 3 // 2)


def test_what_has_no_price_may_not_be_spent_from_a_budget() -> None:
    money = CostTracker(UsageMeter("unheard-of", EAR), Prices(), BudgetStage())
    plenty = Balance(10**9, 10**9, 1)
    assert money.stands(plenty) is None
    money.observe(response_done("R1", SECOND), NOW)
    assert money.stands(plenty) == "exhausted"
    assert money.is_exhausted


@pytest.mark.parametrize("done", [True, False])
def test_an_answer_that_the_end_cuts_off_is_paid_for_as_expected(done: bool) -> None:
    money = spending(BudgetStage(first_answer=1234))
    money.observe(wire.response_created("R1"), NOW)
    if done:
        money.observe(response_done("R1", None, "cancelled"), NOW)
        assert money.last_bill() is None
    else:
        bill = money.last_bill()
        assert bill is not None
        assert (bill.actual, bill.want) == (1234, 0)


def test_without_a_budget_there_is_nothing_to_settle_and_no_end() -> None:
    money = spending()
    money.observe(wire.response_created("R1"), NOW)
    assert money.last_bill() is None
    assert money.stands(Balance(0, 0, 1)) is None
    assert not money.is_exhausted
