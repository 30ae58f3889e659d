"""Who may still spend how much today: reserved before it is spent, settled after; pure."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

MAX_IDLE_BUDGETS: Final = 100_000
"""Budgets kept for today that no session uses; beyond it the one used longest ago is forgotten."""

NO_LIMIT: Final = 2**63 - 1
"""What is left to a session without a budget, in micro-dollars."""


class Budget:
    """One purse for one day. Amounts are micro-dollars, sessions are known by their ids.

    Kept of it is only what was spent and what each session holds; both together never pass the
    limit, but for bills that turn out higher than what was held for them.
    """

    __slots__ = ("_held", "_total", "limit", "spent")

    def __init__(self, limit: int, spent: int = 0) -> None:
        self.limit = limit
        self.spent = spent
        self._held: dict[str, int] = {}
        self._total = 0

    @property
    def free(self) -> int:
        """What is neither spent nor held by anybody; below 0 when overdrawn."""
        return self.limit - self.spent - self._total

    def held(self, session: str) -> int:
        """What this session has reserved and not spent."""
        return self._held.get(session, 0)

    def left(self, session: str) -> int:
        """What this session may spend, its own reservation with it; below 0 when overdrawn."""
        return self.free + self.held(session)

    def reserve(self, session: str, amount: int) -> bool:
        """Hold this much more for a session; False, and nothing changes, where it is not there."""
        if not 0 <= amount <= self.free:
            return False
        self._held[session] = self.held(session) + amount
        self._total += amount
        return True

    def settle(self, session: str, actual: int) -> None:
        """Spend: out of what the session holds first. A negative amount corrects an earlier one."""
        self.spent = max(0, self.spent + actual)
        if session in self._held:
            used = min(self._held[session], max(0, actual))
            self._held[session] -= used
            self._total -= used

    def release(self, session: str) -> int:
        """Give back what the session holds; returns how much that was."""
        returned = self._held.pop(session, 0)
        self._total -= returned
        return returned

    def new_day(self) -> None:
        """Nothing was spent yet; what sessions hold across midnight they still hold."""
        self.spent = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """Whose money it is, as `user:u1` or `agent:a1`, and how many micro-dollars a UTC day.

    `spent` is what the store knows to be spent today, so that a restart gives nothing back.
    """

    key: str
    micro: int
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """What a session may still spend by the tightest of its budgets, and that budget's limit."""

    left: int
    limit: int
    day: int


class Budgets:
    """Everybody's budgets of one day; the day is the UTC day as `meter.day_of` counts it."""

    def __init__(self, max_idle: int = MAX_IDLE_BUDGETS) -> None:
        self._budgets: dict[str, Budget] = {}
        self._users: Counter[str] = Counter()
        self._idle: dict[str, None] = {}
        self._max_idle = max_idle
        self._day = 0

    @property
    def day(self) -> int:
        """The day whose money it is."""
        return self._day

    def __len__(self) -> int:
        return len(self._budgets)

    def open(self, session: str, limits: Iterable[Limit], day: int) -> "BudgetHold":
        """Let a session spend from all of these at once; without any it may spend what it likes.

        The newest limit counts, and of what is known here and in the store to be spent the more.
        """
        self.roll(day)
        return BudgetHold(self, session, {limit.key: self._use(limit) for limit in limits})

    def roll(self, day: int) -> None:
        """Begin a new day, when it is one: purses in use are full again, all others forgotten."""
        if day <= self._day:
            return
        self._day = day
        for key in self._idle:
            del self._budgets[key]
        self._idle.clear()
        for budget in self._budgets.values():
            budget.new_day()

    def leave(self, keys: Iterable[str]) -> None:
        """A session is done with these; budgets without one are kept for today, within bounds."""
        for key in keys:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._idle[key] = None
        while len(self._idle) > self._max_idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest], self._budgets[oldest]

    def _use(self, limit: Limit) -> Budget:
        self._users[limit.key] += 1
        self._idle.pop(limit.key, None)
        budget = self._budgets.setdefault(limit.key, Budget(limit.micro))
        budget.limit = limit.micro
        budget.spent = max(budget.spent, limit.spent)
        return budget


class BudgetHold:
    """One session's hand in its budgets: every amount is held or spent in all of them, or none."""

    def __init__(self, budgets: Budgets, session: str, of: dict[str, Budget]) -> None:
        self._budgets = budgets
        self._session = session
        self._of = of
        self._open = True

    def reserve(self, amount: int, day: int) -> bool:
        """Hold this much more; False, and nothing changes, where one of the budgets lacks it."""
        self._budgets.roll(day)
        if not self._open:
            return False
        if any(budget.free < amount for budget in self._of.values()):
            return False
        return all(budget.reserve(self._session, amount) for budget in self._of.values())

    def settle(self, actual: int, want: int, day: int) -> Balance:
        """Spend, then hold `want` for what comes next, or as much of it as there is."""
        self._budgets.roll(day)
        for budget in self._of.values():
            budget.settle(self._session, actual)
        standing = self.standing()
        if self._open:
            for budget in self._of.values():
                budget.release(self._session)
                budget.reserve(self._session, max(0, min(want, standing.left)))
        return standing

    def standing(self) -> Balance:
        """How this session stands, what it holds included."""
        each = ((b.left(self._session), b.limit) for b in self._of.values())
        left, limit = min(each, default=(NO_LIMIT, NO_LIMIT))
        return Balance(left, limit, self._budgets.day)

    def release(self) -> None:
        """The session is over: others may have what it held. Repeats change nothing."""
        if self._open:
            self._open = False
            for budget in self._of.values():
                budget.release(self._session)
            self._budgets.leave(self._of)


# ---- When a session is warned that its money runs out, asked to wrap up, and ended; pure.

Stage = Literal["ok", "warn", "wrap_up", "exhausted"]

FIRST_ANSWER: Final = 10_000
"""Micro-dollars that an answer is taken to cost before one was billed: seven spoken seconds of the
dearest model."""

GOOD_BYE: Final = (
    "The time for this conversation is nearly up. In your next answer, finish in one or two short "
    "sentences and say good-bye, in the language of the conversation."
)
"""What the model is told when it has to wrap up."""

WRAP_UP_SECONDS: Final = 30.0
"""How long a session that was asked to wrap up may take to do so."""

_ORDER: Final[tuple[Stage, ...]] = ("ok", "warn", "wrap_up", "exhausted")
_WARN_PART: Final = 5  # the first warning comes when a fifth of the limit is left
_RECENT: Final = 8  # answers that say what the next one may cost


@dataclass(frozen=True, slots=True)
class Charge:
    """What to take from the purse now, and what to hold for what comes next; micro-dollars."""

    actual: int
    want: int


class BudgetStage:
    """One session's way from plenty to its end. Within a day it only ever goes further.

    The next answer is taken to cost half as much again as the dearest of the recent ones, for
    the whole conversation is paid again with every answer (PROTOCOL §8). What is held is that
    twice: for an answer and for the good-bye after it.
    """

    def __init__(self, first_answer: int = FIRST_ANSWER) -> None:
        self.stage: Stage = "ok"
        self._first_answer = first_answer
        self._answers: deque[int] = deque(maxlen=_RECENT)
        self._pending = 0
        self._billed = 0
        self._day = 0

    @property
    def expected(self) -> int:
        """What the next answer may cost, and one that a session's end cut off, unbilled."""
        return max(1, max(self._answers) * 3 // 2 if self._answers else self._first_answer)

    @property
    def want(self) -> int:
        """What the session should hold before the model speaks; reserve it at the door."""
        return 2 * self.expected

    def bill(self, total: int, *, answered: bool) -> Charge:
        """The session cost `total` micro-dollars so far; the difference is to be settled.

        `answered` says that an answer was billed: with the transcription before it, that is what
        a turn costs.
        """
        actual = total - self._billed
        self._billed = total
        self._pending += actual
        if answered:
            self._answers.append(self._pending)
            self._pending = 0
        return Charge(actual, self.want)

    def stands(self, standing: Balance) -> Stage | None:
        """How the session stands after a bill was settled; the new stage where it changed.

        A stage may be passed over. On a new day it all begins again, but for what has ended.
        """
        before = self.stage
        if standing.day > self._day and before != "exhausted":
            self.stage = "ok"
        self._day = max(self._day, standing.day)
        self.stage = max(self.stage, self._stage_of(standing), key=_ORDER.index)
        return self.stage if self.stage != before else None

    def _stage_of(self, standing: Balance) -> Stage:
        if standing.left <= 0:
            return "exhausted"
        if standing.left < self.want:
            return "wrap_up"
        return "warn" if standing.left * _WARN_PART <= standing.limit else "ok"
