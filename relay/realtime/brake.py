"""When a session is warned that its money runs out, asked to wrap up, and ended; pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from relay.realtime.budget import Standing

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
class Bill:
    """What to take from the purse now, and what to hold for what comes next; micro-dollars."""

    actual: int
    want: int


class Brake:
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

    def bill(self, total: int, *, answered: bool) -> Bill:
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
        return Bill(actual, self.want)

    def stands(self, standing: Standing) -> Stage | None:
        """How the session stands after a bill was settled; the new stage where it changed.

        A stage may be passed over. On a new day it all begins again, but for what has ended.
        """
        before = self.stage
        if standing.day > self._day and before != "exhausted":
            self.stage = "ok"
        self._day = max(self._day, standing.day)
        self.stage = max(self.stage, self._stage_of(standing), key=_ORDER.index)
        return self.stage if self.stage != before else None

    def _stage_of(self, standing: Standing) -> Stage:
        if standing.left <= 0:
            return "exhausted"
        if standing.left < self.want:
            return "wrap_up"
        return "warn" if standing.left * _WARN_PART <= standing.limit else "ok"
