"""The stages of a session's budget, answer by answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.billing.budget import (
    FIRST_ANSWER,
    GOOD_BYE,
    NO_LIMIT,
    Balance,
    BudgetHold,
    Budgets,
    BudgetStage,
    Charge,
    Limit,
    Stage,
)

CENT = 10_000
TODAY = 20_000
USER = "user:u1"


def balance(left: int, limit: int = 100 * CENT, day: int = TODAY) -> Balance:
    return Balance(left, limit, day)


def turn(stage: BudgetStage, hold: BudgetHold, total: int, day: int = TODAY) -> Stage | None:
    return stage.update(hold.settle(stage.charge(total, answered=True), day))


def test_a_session_is_warned_asked_to_wrap_up_and_ended_once_each() -> None:
    """A dollar a day, four cents an answer: the next may cost six, and two are reserved."""
    budgets, stage = Budgets(), BudgetStage()
    hold = budgets.open("s1", [Limit(USER, 100 * CENT)], TODAY)
    assert hold.reserve(stage.reservation, TODAY)
    reached = {number: turn(stage, hold, 4 * CENT * number) for number in range(1, 26)}
    assert {number: name for number, name in reached.items() if name is not None} == {
        20: "warn",  # a fifth is left
        23: "wrap_up",  # eight cents are left, less than two answers may cost
        25: "exhausted",
    }


def test_a_session_ends_where_another_has_reserved_what_is_left() -> None:
    budgets, first, second = Budgets(), BudgetStage(), BudgetStage()
    limits = [Limit(USER, 5 * CENT)]
    one, other = (budgets.open(session, limits, TODAY) for session in ("s1", "s2"))
    assert one.reserve(first.reservation, TODAY)
    assert other.reserve(second.reservation, TODAY)
    assert not budgets.open("s3", limits, TODAY).reserve(BudgetStage().reservation, TODAY), (
        "one cent is free"
    )
    assert turn(first, one, CENT) == "wrap_up", "two of the five are the other's"
    assert turn(second, other, CENT) == "wrap_up"
    assert turn(first, one, 3 * CENT) == "exhausted"
    assert turn(second, other, 2 * CENT) == "exhausted"
    assert other.balance().left == 0, "four answers for five cents; two of them cost three"


def test_a_stage_may_be_skipped_but_the_end_is_always_reached() -> None:
    assert BudgetStage().update(balance(0)) == "exhausted"
    assert BudgetStage().update(balance(-CENT)) == "exhausted"
    assert BudgetStage().update(balance(1)) == "wrap_up"


def test_a_stage_never_goes_back_within_a_day() -> None:
    stage = BudgetStage()
    assert stage.update(balance(15 * CENT)) == "warn"
    assert stage.update(balance(90 * CENT)) is None, "another session released its reservation"
    assert stage.update(balance(15 * CENT)) is None, "and it is warned once"
    assert stage.update(balance(CENT)) == "wrap_up"
    assert stage.update(balance(90 * CENT)) is None
    assert stage.name == "wrap_up"


def test_a_new_day_starts_again_at_ok() -> None:
    stage = BudgetStage()
    assert stage.update(balance(CENT)) == "wrap_up"
    assert stage.update(balance(90 * CENT, day=TODAY + 1)) == "ok"
    assert stage.update(balance(15 * CENT, day=TODAY + 1)) == "warn", "once a day"
    assert stage.update(balance(10 * CENT, day=TODAY)) is None, "a clock that lags"
    assert stage.update(balance(90 * CENT, day=TODAY + 1)) is None, "… starts no day twice"
    assert stage.update(balance(0, day=TODAY + 1)) == "exhausted"
    assert stage.update(balance(90 * CENT, day=TODAY + 2)) is None, "what ended has ended"


def test_an_answer_is_estimated_at_one_and_a_half_times_the_dearest_of_the_last_eight() -> None:
    stage = BudgetStage()
    assert (stage.expected, stage.reservation) == (FIRST_ANSWER, 2 * FIRST_ANSWER)
    total = 0
    for amount, expected in [(100, 150), (900, 1350), *[(200, 1350)] * 7, (200, 300)]:
        total += amount
        assert stage.charge(total, answered=True) == Charge(amount, 2 * expected)
        assert stage.expected == expected


def test_transcription_is_part_of_the_cost_of_the_answer_after_it() -> None:
    stage = BudgetStage()
    assert stage.charge(50, answered=False) == Charge(50, 2 * FIRST_ANSWER)
    assert stage.charge(150, answered=True) == Charge(100, 2 * 225)


def test_a_correction_is_charged_and_never_makes_an_estimate_negative() -> None:
    stage = BudgetStage()
    assert stage.charge(100, answered=True) == Charge(100, 300)
    assert stage.charge(60, answered=False) == Charge(-40, 300)
    assert stage.charge(60, answered=True) == Charge(0, 300)
    assert BudgetStage().charge(0, answered=True) == Charge(0, 2), "never 0"


def test_without_a_budget_the_stage_never_changes() -> None:
    hold, stage = Budgets().open("s1", [], TODAY), BudgetStage()
    assert [turn(stage, hold, 10**9 * number) for number in range(1, 20)] == [None] * 19
    assert hold.balance().left == NO_LIMIT


def test_the_good_bye_is_asked_for_in_the_language_of_the_conversation() -> None:
    assert "good-bye" in GOOD_BYE
    assert "language of the conversation" in GOOD_BYE


AMOUNTS = st.lists(st.integers(0, 200_000), min_size=1, max_size=40)


@given(AMOUNTS, st.integers(1, 1_000_000))
def test_stages_only_advance_and_each_is_reached_once(amounts: list[int], limit: int) -> None:
    budgets, stage = Budgets(), BudgetStage()
    hold = budgets.open("s1", [Limit(USER, limit)], TODAY)
    hold.reserve(stage.reservation, TODAY)
    total, reached = 0, list[Stage]()
    for amount in amounts:
        total += amount
        name = turn(stage, hold, total)
        reached += [name] if name is not None else []
        assert (stage.name == "exhausted") == (total >= limit)
    order = ["ok", "warn", "wrap_up", "exhausted"]
    assert reached == sorted(set(reached), key=order.index)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, CENT)), max_size=80), st.integers(0, 20))
def test_two_sessions_overdraw_by_less_than_their_last_answers(
    turns: list[tuple[bool, int]], cents: int
) -> None:
    """Each stops when it is exhausted, so at most one answer of each is overdrawn."""
    budgets, stages = Budgets(), (BudgetStage(), BudgetStage())
    holds = [budgets.open(s, [Limit(USER, cents * CENT)], TODAY) for s in ("s1", "s2")]
    admitted = [hold.reserve(stages[0].reservation, TODAY) for hold in holds]
    assert admitted == [cents >= 2, cents >= 4]
    totals = [0, 0]
    for second, amount in turns:
        if admitted[second] and stages[second].name != "exhausted":
            totals[second] += amount
            turn(stages[second], holds[second], totals[second])
    assert sum(totals) <= cents * CENT + 2 * CENT


@pytest.mark.parametrize("amount", [CENT, CENT // 10])
def test_the_reservation_pays_for_one_answer_after_the_wrap_up(amount: int) -> None:
    """With answers of equal cost, the good-bye is never overdrawn."""
    budgets, stage, total, answers = Budgets(), BudgetStage(), 0, 0
    hold = budgets.open("s1", [Limit(USER, 20 * CENT)], TODAY)
    assert hold.reserve(stage.reservation, TODAY)
    while stage.name != "wrap_up":
        total, answers = total + amount, answers + 1
        turn(stage, hold, total)
    assert answers > 10
    assert hold.balance().left >= amount
