"""A session's way from plenty to its end, told as the conversation in which it goes."""

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


def standing(left: int, limit: int = 100 * CENT, day: int = TODAY) -> Balance:
    return Balance(left, limit, day)


def turn(brake: BudgetStage, purse: BudgetHold, total: int, day: int = TODAY) -> Stage | None:
    bill = brake.bill(total, answered=True)
    return brake.stands(purse.settle(bill.actual, bill.want, day))


def test_a_session_is_warned_asked_to_wrap_up_and_ended_each_once() -> None:
    """A dollar a day, four cents an answer; so the next one may cost six, and two are held."""
    budgets, brake = Budgets(), BudgetStage()
    purse = budgets.open("s1", [Limit(USER, 100 * CENT)], TODAY)
    assert purse.reserve(brake.want, TODAY)
    told = {number: turn(brake, purse, 4 * CENT * number) for number in range(1, 26)}
    assert {number: stage for number, stage in told.items() if stage is not None} == {
        20: "warn",  # a fifth is left
        23: "wrap_up",  # eight cents are left, less than two answers may cost
        25: "exhausted",
    }


def test_a_second_session_ends_where_the_first_holds_what_is_left() -> None:
    budgets, first, second = Budgets(), BudgetStage(), BudgetStage()
    limits = [Limit(USER, 5 * CENT)]
    one, other = (budgets.open(session, limits, TODAY) for session in ("s1", "s2"))
    assert one.reserve(first.want, TODAY)
    assert other.reserve(second.want, TODAY)
    assert not budgets.open("s3", limits, TODAY).reserve(BudgetStage().want, TODAY), (
        "one cent is free"
    )
    assert turn(first, one, CENT) == "wrap_up", "two of the five are the other's"
    assert turn(second, other, CENT) == "wrap_up"
    assert turn(first, one, 3 * CENT) == "exhausted"
    assert turn(second, other, 2 * CENT) == "exhausted"
    assert other.standing().left == 0, "four answers for five cents; two of them cost three"


def test_a_stage_may_be_passed_over_but_the_end_is_always_told() -> None:
    assert BudgetStage().stands(standing(0)) == "exhausted"
    assert BudgetStage().stands(standing(-CENT)) == "exhausted"
    assert BudgetStage().stands(standing(1)) == "wrap_up"


def test_there_is_no_way_back_within_a_day() -> None:
    brake = BudgetStage()
    assert brake.stands(standing(15 * CENT)) == "warn"
    assert brake.stands(standing(90 * CENT)) is None, "another session gave back what it held"
    assert brake.stands(standing(15 * CENT)) is None, "and it is warned once"
    assert brake.stands(standing(CENT)) == "wrap_up"
    assert brake.stands(standing(90 * CENT)) is None
    assert brake.stage == "wrap_up"


def test_a_new_day_begins_with_plenty() -> None:
    brake = BudgetStage()
    assert brake.stands(standing(CENT)) == "wrap_up"
    assert brake.stands(standing(90 * CENT, day=TODAY + 1)) == "ok"
    assert brake.stands(standing(15 * CENT, day=TODAY + 1)) == "warn", "once a day"
    assert brake.stands(standing(10 * CENT, day=TODAY)) is None, "a clock that lags"
    assert brake.stands(standing(90 * CENT, day=TODAY + 1)) is None, "… begins no day twice"
    assert brake.stands(standing(0, day=TODAY + 1)) == "exhausted"
    assert brake.stands(standing(90 * CENT, day=TODAY + 2)) is None, "what ended has ended"


def test_an_answer_may_cost_half_as_much_again_as_the_dearest_of_the_last_eight() -> None:
    brake = BudgetStage()
    assert (brake.expected, brake.want) == (FIRST_ANSWER, 2 * FIRST_ANSWER)
    total = 0
    for amount, expected in [(100, 150), (900, 1350), *[(200, 1350)] * 7, (200, 300)]:
        total += amount
        assert brake.bill(total, answered=True) == Charge(amount, 2 * expected)
        assert brake.expected == expected


def test_what_listening_cost_belongs_to_the_answer_after_it() -> None:
    brake = BudgetStage()
    assert brake.bill(50, answered=False) == Charge(50, 2 * FIRST_ANSWER)
    assert brake.bill(150, answered=True) == Charge(100, 2 * 225)


def test_a_correction_is_settled_and_makes_no_answer_cost_less_than_nothing() -> None:
    brake = BudgetStage()
    assert brake.bill(100, answered=True) == Charge(100, 300)
    assert brake.bill(60, answered=False) == Charge(-40, 300)
    assert brake.bill(60, answered=True) == Charge(0, 300)
    assert BudgetStage().bill(0, answered=True) == Charge(0, 2), "never nothing at all"


def test_without_a_budget_nothing_is_ever_said() -> None:
    purse, brake = Budgets().open("s1", [], TODAY), BudgetStage()
    assert [turn(brake, purse, 10**9 * number) for number in range(1, 20)] == [None] * 19
    assert purse.standing().left == NO_LIMIT


def test_the_good_bye_asks_for_an_end_in_the_language_that_is_spoken() -> None:
    assert "good-bye" in GOOD_BYE
    assert "language of the conversation" in GOOD_BYE


AMOUNTS = st.lists(st.integers(0, 200_000), min_size=1, max_size=40)


@given(AMOUNTS, st.integers(1, 1_000_000))
def test_it_only_goes_further_and_tells_each_stage_once(amounts: list[int], limit: int) -> None:
    budgets, brake = Budgets(), BudgetStage()
    purse = budgets.open("s1", [Limit(USER, limit)], TODAY)
    purse.reserve(brake.want, TODAY)
    total, told = 0, list[Stage]()
    for amount in amounts:
        total += amount
        stage = turn(brake, purse, total)
        told += [stage] if stage is not None else []
        assert (brake.stage == "exhausted") == (total >= limit)
    order = ["ok", "warn", "wrap_up", "exhausted"]
    assert told == sorted(set(told), key=order.index)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, CENT)), max_size=80), st.integers(0, 20))
def test_two_sessions_overdraw_by_less_than_their_last_answers(
    turns: list[tuple[bool, int]], cents: int
) -> None:
    """Each stops when it is exhausted: then what is overdrawn is at most one answer of each."""
    budgets, brakes = Budgets(), (BudgetStage(), BudgetStage())
    purses = [budgets.open(s, [Limit(USER, cents * CENT)], TODAY) for s in ("s1", "s2")]
    admitted = [purse.reserve(brakes[0].want, TODAY) for purse in purses]
    assert admitted == [cents >= 2, cents >= 4]
    totals = [0, 0]
    for second, amount in turns:
        if admitted[second] and brakes[second].stage != "exhausted":
            totals[second] += amount
            turn(brakes[second], purses[second], totals[second])
    assert sum(totals) <= cents * CENT + 2 * CENT


@pytest.mark.parametrize("amount", [CENT, CENT // 10])
def test_what_is_held_is_enough_for_one_more_answer_than_was_asked_for(amount: int) -> None:
    """Of answers that cost alike, the one with which it says good-bye is never overdrawn."""
    budgets, brake, total, answers = Budgets(), BudgetStage(), 0, 0
    purse = budgets.open("s1", [Limit(USER, 20 * CENT)], TODAY)
    assert purse.reserve(brake.want, TODAY)
    while brake.stage != "wrap_up":
        total, answers = total + amount, answers + 1
        turn(brake, purse, total)
    assert answers > 10
    assert purse.standing().left >= amount
