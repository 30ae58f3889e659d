"""Budgets: no session spends what another has reserved, and no money is lost or created."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.realtime.billing.budget import (
    NO_LIMIT,
    Balance,
    Budget,
    BudgetHold,
    Budgets,
    Charge,
    Limit,
)

CENT = 10_000
TODAY = 20_000
USER, AGENT = "user:u1", "agent:a1"


# ------------------------------------------------------------------------------------- one budget


def test_two_sessions_of_one_user_cannot_both_spend_the_last_cent() -> None:
    budget = Budget(100 * CENT, spent=99 * CENT)
    assert budget.reserve("s1", CENT)
    assert not budget.reserve("s2", CENT)
    assert not budget.reserve("s2", 1)
    assert (budget.left("s1"), budget.left("s2")) == (CENT, 0)
    budget.settle("s1", CENT)
    assert not budget.reserve("s2", 1), "it is spent now"
    assert budget.spent == budget.limit


def test_a_released_reservation_is_free_for_others() -> None:
    budget = Budget(10 * CENT)
    assert budget.reserve("s1", 10 * CENT)
    budget.settle("s1", 4 * CENT)
    assert budget.reserved("s1") == 6 * CENT
    assert not budget.reserve("s2", CENT)
    assert budget.release("s1") == 6 * CENT
    assert budget.release("s1") == 0, "once"
    assert budget.reserve("s2", 6 * CENT)
    assert budget.free == 0


def test_a_refused_reservation_holds_nothing() -> None:
    budget = Budget(CENT)
    assert not budget.reserve("s1", CENT + 1)
    assert budget.reserved("s1") == 0
    assert budget.reserve("s2", CENT)


def test_a_charge_above_the_reservation_is_spent_all_the_same() -> None:
    budget = Budget(10 * CENT)
    budget.reserve("s1", CENT)
    budget.reserve("s2", 8 * CENT)
    budget.settle("s1", 3 * CENT)
    assert (budget.spent, budget.free) == (3 * CENT, -CENT)
    assert budget.left("s1") == -CENT
    assert budget.left("s2") == 7 * CENT, "what s1 overdrew comes off what the others may spend"
    assert not budget.reserve("s1", 0)


def test_a_correction_refunds_and_reserves_nothing() -> None:
    budget = Budget(10 * CENT)
    budget.reserve("s1", 4 * CENT)
    budget.settle("s1", 3 * CENT)
    budget.settle("s1", -CENT)
    assert (budget.spent, budget.reserved("s1")) == (2 * CENT, CENT)
    budget.settle("s1", -9 * CENT)
    assert budget.spent == 0, "never below 0"


def test_a_negative_amount_cannot_be_reserved() -> None:
    budget = Budget(CENT)
    assert not budget.reserve("s1", -1)
    assert budget.free == CENT


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release"]),
        st.sampled_from(["s1", "s2", "s3"]),
        st.integers(0, 60),
    ),
    max_size=40,
)


@given(st.integers(0, 100), STEPS)
def test_a_budget_is_never_over_committed_and_loses_nothing(
    limit: int, steps: list[tuple[str, str, int]]
) -> None:
    budget = Budget(limit)
    granted, used, overdrawn = Counter[str](), 0, 0
    for step, session, amount in steps:
        held = budget.reserved(session)
        if step == "reserve":
            fits = amount <= limit - used - sum(granted.values())
            assert budget.reserve(session, amount) == fits
            granted[session] += amount if fits else 0
        elif step == "settle":
            budget.settle(session, amount)
            used += amount
            overdrawn += max(0, amount - held)
            granted[session] -= min(held, amount)
        else:
            assert budget.release(session) == granted.pop(session, 0)
        assert budget.spent == used
        assert [budget.reserved(s) for s in ("s1", "s2", "s3")] == [
            granted[s] for s in ("s1", "s2", "s3")
        ]
        assert budget.free == limit - used - sum(granted.values())
        assert budget.free >= min(0, limit - used) - overdrawn
        assert overdrawn or budget.free >= 0, "only a charge above its reservation can overdraw it"


@given(
    st.lists(st.tuples(st.sampled_from(["s1", "s2", "s3"]), st.integers(0, 60)), max_size=12),
    st.data(),
)
def test_charges_may_come_in_any_order(charges: list[tuple[str, int]], data: st.DataObject) -> None:
    ends = []
    for order in (charges, data.draw(st.permutations(charges))):
        budget = Budget(1000)
        for session in ("s1", "s2", "s3"):
            assert budget.reserve(session, 100)
        for session, actual in order:
            budget.settle(session, actual)
        ends.append((budget.spent, *(budget.left(s) for s in ("s1", "s2", "s3"))))
    assert ends[0] == ends[1]


# ---------------------------------------------------------------------------------- many budgets


def opened(budgets: Budgets, session: str, *limits: Limit, day: int = TODAY) -> BudgetHold:
    return budgets.open(session, limits, day)


def test_an_amount_is_held_in_every_budget_or_in_none() -> None:
    budgets = Budgets()
    rich = opened(budgets, "s1", Limit(USER, 100 * CENT), Limit(AGENT, 3 * CENT))
    assert not rich.reserve(4 * CENT, TODAY), "the agent's budget lacks it"
    other = opened(budgets, "s2", Limit("user:u2", 100 * CENT), Limit(AGENT, 3 * CENT))
    assert other.reserve(3 * CENT, TODAY)
    assert not rich.reserve(1, TODAY)
    assert rich.balance() == Balance(0, 3 * CENT, TODAY)
    other.release()
    assert rich.balance() == Balance(3 * CENT, 3 * CENT, TODAY)


def test_the_balance_is_that_of_the_tightest_budget() -> None:
    hold = opened(Budgets(), "s1", Limit(USER, 9 * CENT), Limit(AGENT, 1000 * CENT, 990 * CENT))
    assert hold.balance() == Balance(9 * CENT, 9 * CENT, TODAY)
    assert hold.settle(Charge(0, 0), TODAY).left == 9 * CENT
    both = opened(Budgets(), "s1", Limit(USER, 9 * CENT), Limit(AGENT, 1000 * CENT, 992 * CENT))
    assert both.balance() == Balance(8 * CENT, 1000 * CENT, TODAY)


def test_after_a_charge_the_next_answer_is_reserved_as_far_as_the_budget_goes() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(4 * CENT, TODAY)
    assert first.settle(Charge(3 * CENT, 4 * CENT), TODAY) == Balance(7 * CENT, 10 * CENT, TODAY)
    assert second.balance().left == 3 * CENT, "first holds four of the seven that are left"
    assert second.reserve(2 * CENT, TODAY)
    assert first.settle(Charge(4 * CENT, 4 * CENT), TODAY).left == CENT
    assert second.balance().left == 2 * CENT, "first holds the last cent, and no more"
    assert first.settle(Charge(CENT, 4 * CENT), TODAY).left == 0


def test_a_smaller_reservation_releases_the_difference() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(10 * CENT, TODAY)
    first.settle(Charge(CENT, 2 * CENT), TODAY)
    assert second.balance().left == 7 * CENT


def test_a_session_that_ended_releases_once_and_reserves_no_more() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(10 * CENT, TODAY)
    first.release()
    first.release()
    assert not first.reserve(CENT, TODAY)
    assert second.reserve(10 * CENT, TODAY)
    assert first.settle(Charge(CENT, 5 * CENT), TODAY).left == -CENT, (
        "a late charge is still charged"
    )
    assert second.balance().left == 9 * CENT


def test_a_session_without_a_budget_has_no_limit() -> None:
    hold = opened(Budgets(), "s1")
    assert hold.reserve(10**12, TODAY)
    assert hold.settle(Charge(10**12, 10**12), TODAY) == Balance(NO_LIMIT, NO_LIMIT, TODAY)


def test_the_newest_limit_and_the_higher_amount_spent_count() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT, 3 * CENT))
    first.settle(Charge(CENT, 0), TODAY)
    second = opened(budgets, "s2", Limit(USER, 20 * CENT, 2 * CENT))
    assert second.balance() == Balance(16 * CENT, 20 * CENT, TODAY), "the store is behind"
    third = opened(budgets, "s3", Limit(USER, 5 * CENT, 6 * CENT))
    assert third.balance().left == -CENT, "another process spent, and the limit was lowered"
    assert not third.reserve(1, TODAY)


# ------------------------------------------------------------------------------------------ days


def test_a_new_day_refills_every_budget_and_keeps_reservations() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(10 * CENT, TODAY)
    first.settle(Charge(6 * CENT, 4 * CENT), TODAY)
    assert not second.reserve(CENT, TODAY)
    assert second.reserve(CENT, TODAY + 1)
    assert second.balance() == Balance(6 * CENT, 10 * CENT, TODAY + 1)
    assert not second.reserve(6 * CENT, TODAY + 1), "four are reserved across midnight"
    assert first.settle(Charge(4 * CENT, 0), TODAY + 1).left == 5 * CENT


def test_a_clock_that_lags_begins_no_day_twice() -> None:
    budgets = Budgets()
    hold = opened(budgets, "s1", Limit(USER, 10 * CENT))
    hold.settle(Charge(4 * CENT, 0), TODAY)
    assert hold.settle(Charge(CENT, 0), TODAY - 1).left == 5 * CENT
    assert hold.settle(Charge(0, 0), TODAY) == Balance(5 * CENT, 10 * CENT, TODAY)


def test_a_clock_that_was_far_ahead_does_not_hold_the_day() -> None:
    budgets = Budgets()
    hold = budgets.open("s1", [Limit("user:u1", 10 * CENT)], TODAY + 400)
    hold.settle(Charge(9 * CENT, 0), TODAY + 400)
    assert hold.settle(Charge(CENT, 0), TODAY) == Balance(9 * CENT, 10 * CENT, TODAY)


# ---------------------------------------------------------------------------------------- bounds


def test_what_was_spent_today_is_remembered_without_a_session() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    first.settle(Charge(9 * CENT, 0), TODAY)
    first.release()
    assert opened(budgets, "s2", Limit(USER, 10 * CENT)).balance().left == CENT


def test_idle_budgets_are_bounded_and_budgets_in_use_are_kept() -> None:
    budgets = Budgets(max_idle=2)
    live = opened(budgets, "live", Limit("user:live", CENT))
    live.settle(Charge(CENT, 0), TODAY)
    for name in ("a", "b", "c"):
        hold = opened(budgets, name, Limit(f"user:{name}", CENT))
        hold.settle(Charge(CENT, 0), TODAY)
        hold.release()
    assert len(budgets) == 3
    assert opened(budgets, "x", Limit("user:live", CENT)).balance().left == 0
    assert opened(budgets, "y", Limit("user:c", CENT)).balance().left == 0
    assert opened(budgets, "z", Limit("user:a", CENT)).balance().left == CENT, "forgotten"
    again = opened(budgets, "z", Limit("user:a", CENT, CENT))
    assert again.balance().left == 0, "but the store knows"


def test_idle_budgets_of_yesterday_are_forgotten() -> None:
    budgets = Budgets()
    for name in ("a", "b", "c"):
        opened(budgets, name, Limit(f"user:{name}", CENT)).release()
    kept = opened(budgets, "s1", Limit(USER, CENT))
    assert len(budgets) == 4
    budgets.start_day(TODAY + 1)
    assert len(budgets) == 1
    assert kept.reserve(CENT, TODAY + 1)


# ----------------------------------------------------------------------- any sequence of them


class ManySessions(RuleBasedStateMachine):
    """Sessions of two users and one agent open, reserve, spend and close over some days."""

    def __init__(self) -> None:
        super().__init__()
        self.budgets = Budgets(max_idle=1)
        self.day = TODAY
        self.live: dict[str, tuple[BudgetHold, list[str]]] = {}
        self.spent: Counter[str] = Counter()
        self.overdrawn: Counter[str] = Counter()
        self.count = 0

    @rule(user=st.sampled_from(["user:u1", "user:u2"]), shared=st.booleans())
    def open(self, user: str, shared: bool) -> None:
        self.count += 1
        session, keys = f"s{self.count}", [user, AGENT] if shared else [user]
        limits = [Limit(key, 100, self.spent[key]) for key in keys]
        self.live[session] = self.budgets.open(session, limits, self.day), keys

    def held(self, key: str) -> dict[str, int]:
        budget = self.budgets._budgets[key]
        return {session: budget.reserved(session) for session in self.live}

    @precondition(lambda self: self.live)
    @rule(data=st.data(), amount=st.integers(0, 120))
    def reserve(self, data: st.DataObject, amount: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.live)))
        hold, keys = self.live[session]
        before = {key: self.held(key) for key in keys}
        fits = all(100 - self.spent[k] - sum(before[k].values()) >= amount for k in keys)
        assert hold.reserve(amount, self.day) == fits
        for key in keys:
            grown = amount if fits else 0
            assert self.held(key) == {**before[key], session: before[key][session] + grown}

    @precondition(lambda self: self.live)
    @rule(data=st.data(), actual=st.integers(0, 40), reservation=st.integers(0, 60))
    def settle(self, data: st.DataObject, actual: int, reservation: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.live)))
        hold, keys = self.live[session]
        left = {}
        for key in keys:
            held = self.held(key)
            self.spent[key] += actual
            self.overdrawn[key] += max(0, actual - held[session])
            left[key] = 100 - self.spent[key] - sum(held.values()) + held[session]
        balance = hold.settle(Charge(actual, reservation), self.day)
        assert balance == Balance(min(left.values()), 100, self.day)
        for key in keys:
            assert self.held(key)[session] == max(0, min(reservation, balance.left))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        hold, _ = self.live.pop(data.draw(st.sampled_from(sorted(self.live))))
        hold.release()

    @rule()
    def midnight(self) -> None:
        self.day += 1
        self.budgets.start_day(self.day)
        self.spent.clear()
        self.overdrawn.clear()

    @invariant()
    def spent_and_reserved_never_exceed_the_limit(self) -> None:
        for key, budget in self.budgets._budgets.items():
            assert budget.spent == self.spent[key]
            committed = budget.limit - budget.free
            assert committed == budget.spent + sum(self.held(key).values())
            assert committed <= 100 + self.overdrawn[key]

    @invariant()
    def at_most_one_idle_budget_is_kept(self) -> None:
        in_use = {key for _, keys in self.live.values() for key in keys}
        assert in_use <= self.budgets._budgets.keys()
        assert len(self.budgets) <= len(in_use) + 1


TestManySessions = ManySessions.TestCase
