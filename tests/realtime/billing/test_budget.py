"""Nobody spends what another one holds; nothing is lost or made on the way."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.realtime.billing.budget import NO_LIMIT, Balance, Budget, BudgetHold, Budgets, Limit

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


def test_what_was_held_and_not_spent_is_there_for_others() -> None:
    budget = Budget(10 * CENT)
    assert budget.reserve("s1", 10 * CENT)
    budget.settle("s1", 4 * CENT)
    assert budget.held("s1") == 6 * CENT
    assert not budget.reserve("s2", CENT)
    assert budget.release("s1") == 6 * CENT
    assert budget.release("s1") == 0, "once"
    assert budget.reserve("s2", 6 * CENT)
    assert budget.free == 0


def test_a_reservation_that_is_refused_holds_nothing() -> None:
    budget = Budget(CENT)
    assert not budget.reserve("s1", CENT + 1)
    assert budget.held("s1") == 0
    assert budget.reserve("s2", CENT)


def test_a_bill_higher_than_what_was_held_is_spent_all_the_same() -> None:
    budget = Budget(10 * CENT)
    budget.reserve("s1", CENT)
    budget.reserve("s2", 8 * CENT)
    budget.settle("s1", 3 * CENT)
    assert (budget.spent, budget.free) == (3 * CENT, -CENT)
    assert budget.left("s1") == -CENT
    assert budget.left("s2") == 7 * CENT, "what s1 overdrew comes off what the others may spend"
    assert not budget.reserve("s1", 0)


def test_a_correction_gives_back_and_makes_no_reservation() -> None:
    budget = Budget(10 * CENT)
    budget.reserve("s1", 4 * CENT)
    budget.settle("s1", 3 * CENT)
    budget.settle("s1", -CENT)
    assert (budget.spent, budget.held("s1")) == (2 * CENT, CENT)
    budget.settle("s1", -9 * CENT)
    assert budget.spent == 0, "never below nothing"


def test_less_than_nothing_is_not_held() -> None:
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
def test_never_over_committed_and_nothing_lost(
    limit: int, steps: list[tuple[str, str, int]]
) -> None:
    budget = Budget(limit)
    granted, used, overdrawn = Counter[str](), 0, 0
    for step, session, amount in steps:
        held = budget.held(session)
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
        assert [budget.held(s) for s in ("s1", "s2", "s3")] == [
            granted[s] for s in ("s1", "s2", "s3")
        ]
        assert budget.free == limit - used - sum(granted.values())
        assert budget.free >= min(0, limit - used) - overdrawn
        assert overdrawn or budget.free >= 0, "only a bill above what was held can overdraw it"


@given(
    st.lists(st.tuples(st.sampled_from(["s1", "s2", "s3"]), st.integers(0, 60)), max_size=12),
    st.data(),
)
def test_bills_may_come_in_any_order(bills: list[tuple[str, int]], data: st.DataObject) -> None:
    ends = []
    for order in (bills, data.draw(st.permutations(bills))):
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
    assert not rich.reserve(4 * CENT, TODAY), "the agent has not got it"
    other = opened(budgets, "s2", Limit("user:u2", 100 * CENT), Limit(AGENT, 3 * CENT))
    assert other.reserve(3 * CENT, TODAY)
    assert not rich.reserve(1, TODAY)
    assert rich.standing() == Balance(0, 3 * CENT, TODAY)
    other.release()
    assert rich.standing() == Balance(3 * CENT, 3 * CENT, TODAY)


def test_the_tightest_budget_says_what_is_left() -> None:
    purse = opened(Budgets(), "s1", Limit(USER, 9 * CENT), Limit(AGENT, 1000 * CENT, 990 * CENT))
    assert purse.standing() == Balance(9 * CENT, 9 * CENT, TODAY)
    assert purse.settle(0, 0, TODAY).left == 9 * CENT
    both = opened(Budgets(), "s1", Limit(USER, 9 * CENT), Limit(AGENT, 1000 * CENT, 992 * CENT))
    assert both.standing() == Balance(8 * CENT, 1000 * CENT, TODAY)


def test_after_a_bill_the_next_answer_is_held_as_far_as_the_money_goes() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(4 * CENT, TODAY)
    assert first.settle(3 * CENT, 4 * CENT, TODAY) == Balance(7 * CENT, 10 * CENT, TODAY)
    assert second.standing().left == 3 * CENT, "first holds four of the seven that are left"
    assert second.reserve(2 * CENT, TODAY)
    assert first.settle(4 * CENT, 4 * CENT, TODAY).left == CENT
    assert second.standing().left == 2 * CENT, "first holds the last cent, and no more"
    assert first.settle(CENT, 4 * CENT, TODAY).left == 0


def test_a_smaller_wish_gives_back_what_was_held_too_much() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(10 * CENT, TODAY)
    first.settle(CENT, 2 * CENT, TODAY)
    assert second.standing().left == 7 * CENT


def test_a_session_that_is_over_gives_back_once_and_holds_no_more() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(10 * CENT, TODAY)
    first.release()
    first.release()
    assert not first.reserve(CENT, TODAY)
    assert second.reserve(10 * CENT, TODAY)
    assert first.settle(CENT, 5 * CENT, TODAY).left == -CENT, "a late bill is still a bill"
    assert second.standing().left == 9 * CENT


def test_without_a_budget_there_is_always_enough() -> None:
    purse = opened(Budgets(), "s1")
    assert purse.reserve(10**12, TODAY)
    assert purse.settle(10**12, 10**12, TODAY) == Balance(NO_LIMIT, NO_LIMIT, TODAY)


def test_the_newest_limit_counts_and_what_the_store_knows_to_be_spent() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT, 3 * CENT))
    first.settle(CENT, 0, TODAY)
    second = opened(budgets, "s2", Limit(USER, 20 * CENT, 2 * CENT))
    assert second.standing() == Balance(16 * CENT, 20 * CENT, TODAY), "the store is behind"
    third = opened(budgets, "s3", Limit(USER, 5 * CENT, 6 * CENT))
    assert third.standing().left == -CENT, "another process spent, and the limit was lowered"
    assert not third.reserve(1, TODAY)


# ------------------------------------------------------------------------------------------ days


def test_a_new_day_fills_every_purse_and_keeps_what_is_held() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    second = opened(budgets, "s2", Limit(USER, 10 * CENT))
    assert first.reserve(10 * CENT, TODAY)
    first.settle(6 * CENT, 4 * CENT, TODAY)
    assert not second.reserve(CENT, TODAY)
    assert second.reserve(CENT, TODAY + 1)
    assert second.standing() == Balance(6 * CENT, 10 * CENT, TODAY + 1)
    assert not second.reserve(6 * CENT, TODAY + 1), "four are held across midnight"
    assert first.settle(4 * CENT, 0, TODAY + 1).left == 5 * CENT


def test_a_clock_that_lags_begins_no_day_twice() -> None:
    budgets = Budgets()
    purse = opened(budgets, "s1", Limit(USER, 10 * CENT))
    purse.settle(4 * CENT, 0, TODAY)
    assert purse.settle(CENT, 0, TODAY - 1).left == 5 * CENT
    assert purse.settle(0, 0, TODAY) == Balance(5 * CENT, 10 * CENT, TODAY)


# ---------------------------------------------------------------------------------------- bounds


def test_what_was_spent_today_is_remembered_without_a_session() -> None:
    budgets = Budgets()
    first = opened(budgets, "s1", Limit(USER, 10 * CENT))
    first.settle(9 * CENT, 0, TODAY)
    first.release()
    assert opened(budgets, "s2", Limit(USER, 10 * CENT)).standing().left == CENT


def test_only_so_many_idle_budgets_are_kept_and_none_that_is_used() -> None:
    budgets = Budgets(max_idle=2)
    live = opened(budgets, "live", Limit("user:live", CENT))
    live.settle(CENT, 0, TODAY)
    for name in ("a", "b", "c"):
        purse = opened(budgets, name, Limit(f"user:{name}", CENT))
        purse.settle(CENT, 0, TODAY)
        purse.release()
    assert len(budgets) == 3
    assert opened(budgets, "x", Limit("user:live", CENT)).standing().left == 0
    assert opened(budgets, "y", Limit("user:c", CENT)).standing().left == 0
    assert opened(budgets, "z", Limit("user:a", CENT)).standing().left == CENT, "forgotten"
    again = opened(budgets, "z", Limit("user:a", CENT, CENT))
    assert again.standing().left == 0, "but the store knows"


def test_idle_budgets_of_yesterday_are_forgotten() -> None:
    budgets = Budgets()
    for name in ("a", "b", "c"):
        opened(budgets, name, Limit(f"user:{name}", CENT)).release()
    kept = opened(budgets, "s1", Limit(USER, CENT))
    assert len(budgets) == 4
    budgets.roll(TODAY + 1)
    assert len(budgets) == 1
    assert kept.reserve(CENT, TODAY + 1)


# ----------------------------------------------------------------------- any conversation of them


class ManySessions(RuleBasedStateMachine):
    """Sessions of two users and one agent come, hold, spend and go, over some days."""

    def __init__(self) -> None:
        super().__init__()
        self.budgets = Budgets(max_idle=1)
        self.day = TODAY
        self.live: dict[str, tuple[BudgetHold, list[str]]] = {}
        self.spent: Counter[str] = Counter()
        self.overdrawn: Counter[str] = Counter()
        self.count = 0

    @rule(user=st.sampled_from(["user:u1", "user:u2"]), shared=st.booleans())
    def come(self, user: str, shared: bool) -> None:
        self.count += 1
        session, keys = f"s{self.count}", [user, AGENT] if shared else [user]
        limits = [Limit(key, 100, self.spent[key]) for key in keys]
        self.live[session] = self.budgets.open(session, limits, self.day), keys

    def held(self, key: str) -> dict[str, int]:
        budget = self.budgets._budgets[key]
        return {session: budget.held(session) for session in self.live}

    @precondition(lambda self: self.live)
    @rule(data=st.data(), amount=st.integers(0, 120))
    def reserve(self, data: st.DataObject, amount: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.live)))
        purse, keys = self.live[session]
        before = {key: self.held(key) for key in keys}
        fits = all(100 - self.spent[k] - sum(before[k].values()) >= amount for k in keys)
        assert purse.reserve(amount, self.day) == fits
        for key in keys:
            grown = amount if fits else 0
            assert self.held(key) == {**before[key], session: before[key][session] + grown}

    @precondition(lambda self: self.live)
    @rule(data=st.data(), actual=st.integers(0, 40), want=st.integers(0, 60))
    def settle(self, data: st.DataObject, actual: int, want: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.live)))
        purse, keys = self.live[session]
        left = {}
        for key in keys:
            held = self.held(key)
            self.spent[key] += actual
            self.overdrawn[key] += max(0, actual - held[session])
            left[key] = 100 - self.spent[key] - sum(held.values()) + held[session]
        standing = purse.settle(actual, want, self.day)
        assert standing == Balance(min(left.values()), 100, self.day)
        for key in keys:
            assert self.held(key)[session] == max(0, min(want, standing.left))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        purse, _ = self.live.pop(data.draw(st.sampled_from(sorted(self.live))))
        purse.release()

    @rule()
    def midnight(self) -> None:
        self.day += 1
        self.budgets.roll(self.day)
        self.spent.clear()
        self.overdrawn.clear()

    @invariant()
    def what_is_spent_and_held_is_never_more_than_there_is(self) -> None:
        for key, budget in self.budgets._budgets.items():
            assert budget.spent == self.spent[key]
            committed = budget.limit - budget.free
            assert committed == budget.spent + sum(self.held(key).values())
            assert committed <= 100 + self.overdrawn[key]

    @invariant()
    def no_more_budgets_than_in_use_and_one(self) -> None:
        in_use = {key for _, keys in self.live.values() for key in keys}
        assert in_use <= self.budgets._budgets.keys()
        assert len(self.budgets) <= len(in_use) + 1


TestManySessions = ManySessions.TestCase
