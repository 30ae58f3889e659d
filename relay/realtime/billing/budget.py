"""Shared daily budgets: spending is reserved before it happens and settled after.

Amounts are micro-dollars, days are UTC days as `usage.day_of` counts them.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

MAX_IDLE_BUDGETS: Final = 100_000
"""Budgets kept for the day without a session; beyond it the one used longest ago is dropped."""

NO_LIMIT: Final = 2**63 - 1
"""Micro-dollars left of a session without a budget."""

FIRST_ANSWER: Final = 10_000
"""Estimated cost of an answer before one was billed: seven spoken seconds of the dearest model."""

GOOD_BYE: Final = (
    "The time for this conversation is nearly up. In your next answer, finish in one or two short "
    "sentences and say good-bye, in the language of the conversation."
)
"""Instruction to the model to wrap up."""

WRAP_UP_SECONDS: Final = 30.0
"""Seconds a session that was asked to wrap up may continue."""

Stage = Literal["ok", "warn", "wrap_up", "exhausted"]

_STAGES: Final[tuple[Stage, ...]] = ("ok", "warn", "wrap_up", "exhausted")
_WARN_FRACTION: Final = 5  # the warning comes when a fifth of the limit is left
_RECENT_ANSWERS: Final = 8  # answers from which the cost of the next one is estimated


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget's key, such as `user:u1` or `agent:a1`, and its micro-dollars a UTC day.

    `spent` is what the store has recorded as spent today, so that a restart refunds nothing.
    """

    key: str
    micro: int
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """The rest of the tightest budget of a session, and that budget's limit."""

    left: int
    limit: int
    day: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What to spend from a session's budgets now, and what to reserve for its next answers."""

    actual: int
    reservation: int


class Budgets:
    """All budgets of one day."""

    def __init__(self, max_idle: int = MAX_IDLE_BUDGETS) -> None:
        self._budgets: dict[str, Budget] = {}
        self._users: Counter[str] = Counter()  # sessions that use a budget
        self._idle: dict[str, None] = {}
        self._max_idle = max_idle
        self._day = 0

    @property
    def day(self) -> int:
        """The current day."""
        return self._day

    def __len__(self) -> int:
        return len(self._budgets)

    def open(self, session: str, limits: Iterable[Limit], day: int) -> "BudgetHold":
        """Let a session spend from all of these budgets at once; without any it has no limit.

        The newest limit counts, and of the amounts spent according to the store and to this
        process the higher one.
        """
        self.start_day(day)
        return BudgetHold(self, session, {limit.key: self._use(limit) for limit in limits})

    def start_day(self, day: int) -> None:
        """Refill the budgets in use and drop the idle ones, unless `day` has begun before.

        A day that is long past begins anew: the machine's clock was wrong until now.
        """
        if self._day - 1 <= day <= self._day:  # at midnight some sessions are a little late
            return
        self._day = day
        for key in self._idle:
            del self._budgets[key]
        self._idle.clear()
        for budget in self._budgets.values():
            budget.start_day()

    def leave(self, keys: Iterable[str]) -> None:
        """Note that a session no longer uses these; idle budgets are kept for the day."""
        for key in keys:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._idle[key] = None
        while len(self._idle) > self._max_idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest], self._budgets[oldest]

    def _use(self, limit: Limit) -> "Budget":
        self._users[limit.key] += 1
        self._idle.pop(limit.key, None)
        budget = self._budgets.setdefault(limit.key, Budget(limit.micro))
        budget.limit = limit.micro
        budget.spent = max(budget.spent, limit.spent)
        return budget


class BudgetHold:
    """A session's holds on its budgets. Each hold or charge applies to all of them or to none."""

    def __init__(self, budgets: Budgets, session: str, held: "dict[str, Budget]") -> None:
        self._budgets = budgets
        self._session = session
        self._held = held
        self._is_open = True

    def reserve(self, amount: int, day: int) -> bool:
        """Hold this much more; False, and nothing changes, if one of the budgets lacks it."""
        self._budgets.start_day(day)
        if not self._is_open:
            return False
        if any(budget.free < amount for budget in self._held.values()):
            return False
        return all(budget.reserve(self._session, amount) for budget in self._held.values())

    def settle(self, charge: Charge, day: int) -> Balance:
        """Spend, then reserve for what comes next as much as is left of it; returns the balance."""
        self._budgets.start_day(day)
        for budget in self._held.values():
            budget.settle(self._session, charge.actual)
        balance = self.balance()
        if self._is_open:
            for budget in self._held.values():
                budget.release(self._session)
                budget.reserve(self._session, max(0, min(charge.reservation, balance.left)))
        return balance

    def balance(self) -> Balance:
        """What this session may spend, its own reservation included."""
        balances = ((b.left(self._session), b.limit) for b in self._held.values())
        left, limit = min(balances, default=(NO_LIMIT, NO_LIMIT))
        return Balance(left, limit, self._budgets.day)

    def release(self) -> None:
        """Give back what the session holds, when it has ended. Repeats change nothing."""
        if self._is_open:
            self._is_open = False
            for budget in self._held.values():
                budget.release(self._session)
            self._budgets.leave(self._held)


class Budget:
    """One budget for one day: what was spent, and what each session, by its id, has reserved.

    Both together stay within the limit, except where a charge exceeds what was reserved for it.
    """

    __slots__ = ("_reserved", "_total_reserved", "limit", "spent")

    def __init__(self, limit: int, spent: int = 0) -> None:
        self.limit = limit
        self.spent = spent
        self._reserved: dict[str, int] = {}
        self._total_reserved = 0

    @property
    def free(self) -> int:
        """What is neither spent nor reserved; below 0 when overdrawn."""
        return self.limit - self.spent - self._total_reserved

    def reserved(self, session: str) -> int:
        """What this session has reserved and not spent."""
        return self._reserved.get(session, 0)

    def left(self, session: str) -> int:
        """What this session may spend, its own reservation included; below 0 when overdrawn."""
        return self.free + self.reserved(session)

    def reserve(self, session: str, amount: int) -> bool:
        """Reserve this much more for a session; False, and nothing changes, if it is not free."""
        if not 0 <= amount <= self.free:
            return False
        self._reserved[session] = self.reserved(session) + amount
        self._total_reserved += amount
        return True

    def settle(self, session: str, actual: int) -> None:
        """Spend, from the session's reservation first; a negative amount is a correction."""
        self.spent = max(0, self.spent + actual)
        if session in self._reserved:
            used = min(self._reserved[session], max(0, actual))
            self._reserved[session] -= used
            self._total_reserved -= used

    def release(self, session: str) -> int:
        """Give back a session's reservation; returns its amount."""
        returned = self._reserved.pop(session, 0)
        self._total_reserved -= returned
        return returned

    def start_day(self) -> None:
        """Reset what was spent; reservations last across midnight."""
        self.spent = 0


class BudgetStage:
    """A session's stage from `ok` to `exhausted`, and its estimate of what the next answer costs.

    Within a day the stage only advances. The next answer is estimated at one and a half times the
    dearest of the recent ones, since the whole conversation is paid again with every answer
    (PROTOCOL §8). Twice that is reserved: for an answer and for the good-bye after it.
    """

    def __init__(self, first_answer: int = FIRST_ANSWER) -> None:
        self.name: Stage = "ok"
        self._first_answer = first_answer
        self._answers: deque[int] = deque(maxlen=_RECENT_ANSWERS)
        self._since_answer = 0
        self._charged = 0
        self._day = 0

    @property
    def expected(self) -> int:
        """The estimated cost of one answer, also of one that was cut off before it was billed."""
        return max(1, max(self._answers) * 3 // 2 if self._answers else self._first_answer)

    @property
    def reservation(self) -> int:
        """What the session should have reserved before the model speaks."""
        return 2 * self.expected

    def charge(self, total: int, *, answered: bool) -> Charge:
        """Charge the difference between what the session has cost so far and what was charged.

        `answered` says that an answer was billed: it and the transcription before it are what one
        turn costs.
        """
        actual = total - self._charged
        self._charged = total
        self._since_answer += actual
        if answered:
            self._answers.append(self._since_answer)
            self._since_answer = 0
        return Charge(actual, self.reservation)

    def update(self, balance: Balance) -> Stage | None:
        """Advance after a charge was settled; returns the new stage, None if it is the same.

        A stage may be skipped. A new day starts again at `ok`, except after `exhausted`.
        """
        before = self.name
        if balance.day > self._day and before != "exhausted":
            self.name = "ok"
        self._day = max(self._day, balance.day)
        self.name = max(self.name, self._stage_of(balance), key=_STAGES.index)
        return self.name if self.name != before else None

    def _stage_of(self, balance: Balance) -> Stage:
        if balance.left <= 0:
            return "exhausted"
        if balance.left < self.reservation:
            return "wrap_up"
        return "warn" if balance.left * _WARN_FRACTION <= balance.limit else "ok"
