"""What one session pays with, and what is told of it at the end."""

import structlog
from structlog.testing import capture_logs

from relay.metrics import Metrics
from relay.realtime.billing.budget import Budgets, BudgetStage, Charge, Limit
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import UsageMeter
from relay.realtime.charging import CostTracker
from relay.session.billing import SessionBilling
from tests.realtime import wire_events as wire
from tests.realtime.wire_usage import response_done, response_usage

NOW = 20_778 * 86_400.0
LIMIT = Limit("user:u1", 1_000_000)


def spending() -> CostTracker:
    return CostTracker(
        UsageMeter("gpt-realtime-2.1", "w"), Prices(), BudgetStage(first_answer=5000)
    )


def test_without_a_purse_there_is_nothing_to_settle() -> None:
    account = SessionBilling(spending(), None)
    assert account.settle(Charge(1, 2), NOW) is None
    account.close(NOW)


def test_an_answer_that_was_cut_off_is_paid_for_and_the_rest_given_back() -> None:
    budgets, used = Budgets(), spending()
    purse = budgets.open("s1", [LIMIT], 20_778)
    assert purse.reserve(10_000, 20_778)
    account = SessionBilling(used, purse)
    used.observe(wire.response_created("R1"), NOW)
    account.close(NOW)
    assert budgets.open("s2", [LIMIT], 20_778).balance().left == 995_000
    account.close(NOW)
    assert budgets.open("s3", [LIMIT], 20_778).balance().left <= 995_000


def test_the_end_tells_what_was_used_in_tokens_and_dollars() -> None:
    used, metrics = spending(), Metrics()
    used.observe(response_done("R1", response_usage(audio=(10, 0), out=(0, 100))), NOW)
    with capture_logs() as logs:
        SessionBilling(used, None).report(metrics, structlog.get_logger())
    assert logs[0]["event"] == "session used"
    assert (logs[0]["audio_out"], logs[0]["dollars"]) == (100, 0.00672)
    assert b"relay_cost_dollars_total 0.00672" in metrics.render()


def test_a_session_that_used_nothing_says_nothing() -> None:
    with capture_logs() as logs:
        SessionBilling(spending(), None).report(Metrics(), structlog.get_logger())
    assert logs == []
