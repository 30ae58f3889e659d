"""A warning, a good-bye, the end: what follows when a session's money runs out."""

import json
import math
from typing import Any

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
from relay.realtime.effects import Effect, End, ToClient, ToEngine
from relay.realtime.endings import BUDGET_EXHAUSTED
from relay.realtime.items import InjectedItems
from relay.realtime.requests import RequestTracker
from tests.realtime import wire_events as wire

LIMIT = 100 * FIRST_ANSWER
NOW = 100.0


def purser(*, is_aware: bool = True) -> BudgetEnforcer:
    spending = CostTracker(
        UsageMeter("gpt-realtime-2.1", "gpt-realtime-whisper"), Prices(), BudgetStage()
    )
    deadlines = Deadlines(SessionLimits(10.0, 1800.0, 300.0), 0.0)
    deadlines.greeted()
    return BudgetEnforcer(spending, deadlines, InjectedItems(RequestTracker()), is_aware)


def stands(left: int, day: int = 1) -> Balance:
    return Balance(left, LIMIT, day)


def told(actions: list[Effect]) -> list[Any]:
    return [json.loads(bytes(a.frame)) for a in actions if isinstance(a, ToClient)]


def asked(actions: list[Effect]) -> list[Any]:
    return [json.loads(bytes(a.frame)) for a in actions if isinstance(a, ToEngine)]


def test_with_plenty_left_nothing_is_said() -> None:
    assert purser().afforded(stands(LIMIT // 2), NOW, NOW) == []


def test_a_fifth_left_is_told_once_and_only_to_who_knows_the_event() -> None:
    aware = purser()
    assert told(aware.afforded(stands(LIMIT // 5), NOW, NOW)) == [
        {"type": "relay.budget", "left": LIMIT // 5}
    ]
    assert aware.afforded(stands(LIMIT // 6), NOW, NOW) == []
    assert purser(is_aware=False).afforded(stands(LIMIT // 5), NOW, NOW) == []


def test_with_little_left_the_model_is_asked_to_say_good_bye_within_bounds() -> None:
    money = purser(is_aware=False)
    [event] = asked(money.afforded(stands(FIRST_ANSWER), NOW, NOW))
    assert event["item"]["role"] == "system"
    assert event["item"]["content"][0]["text"] == GOOD_BYE
    assert money.deadlines.broke_at == NOW + WRAP_UP_SECONDS
    assert money.deadlines.ending(NOW + WRAP_UP_SECONDS) == BUDGET_EXHAUSTED


def test_at_the_end_the_last_answer_is_heard_out_in_bounded_time() -> None:
    money = purser()
    money.afforded(stands(0), NOW + 4.0, NOW)
    assert money.deadlines.broke_at == NOW + 4.0
    money = purser()
    money.afforded(stands(0), math.inf, NOW)
    assert money.deadlines.broke_at == NOW + WRAP_UP_SECONDS


def test_an_answer_that_nobody_can_pay_for_ends_the_session() -> None:
    money = purser()
    assert money.observe(wire.response_created("R1"), NOW) == []
    money.afforded(stands(0), NOW + 4.0, NOW)
    assert money.observe(wire.response_created("R2"), NOW) == [End(BUDGET_EXHAUSTED)]


def test_a_new_days_money_takes_the_end_back() -> None:
    money = purser()
    money.afforded(stands(FIRST_ANSWER), NOW, NOW)
    assert money.afforded(stands(LIMIT, day=2), NOW, NOW) == []
    assert money.deadlines.broke_at == math.inf
