"""What calls used, how long they lasted and what they cost, by who, when or what; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from relay.realtime.billing.usage import Usage

By = Literal["session", "user", "agent", "day", "model"]
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalls:
    """A call of a session; times in Unix seconds, `ended_at` None while its end is not known."""

    session: str
    user: str
    agent: str
    started_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTokens:
    """What one model used in one session on one UTC day; `micro` None where it has no price."""

    session: str
    user: str
    agent: str
    day: int
    model: str
    usage: Usage
    micro: int | None


@dataclass(slots=True)
class CostRow:
    """One sum: `micro` is what is known of it in micro-dollars, `unpriced` models add nothing.

    `seconds` is of calls that have ended; `unended` ones add none, so `timed_micro` leaves out what
    they cost.
    """

    sessions: set[str] = field(default_factory=set)
    unended: set[str] = field(default_factory=set)
    unpriced: set[str] = field(default_factory=set)
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    micro: int = 0
    timed_micro: int = 0

    def last(self, session: str, seconds: float, is_over: bool) -> None:
        """Add the time of a call."""
        self.sessions.add(session)
        self.seconds += seconds
        if not is_over:
            self.unended.add(session)

    def use(self, used: UsedTokens, is_over: bool) -> None:
        """Add what a call used."""
        self.last(used.session, 0.0, is_over)
        self.usage += used.usage
        self.micro += used.micro or 0
        if used.micro is None:
            self.unpriced.add(used.model)
        if is_over:
            self.timed_micro += used.micro or 0

    @property
    def micro_per_minute(self) -> float | None:
        """Micro-dollars a conversation minute; None where a price or the time is missing."""
        if self.unpriced or not self.seconds:
            return None
        return self.timed_micro / (self.seconds / 60)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Costs by name (a day's is its number since 1970), and of everything together."""

    by: By
    costs: dict[str | int, CostRow]
    total: CostRow


def report(
    by: By, since: int, calls: Iterable[ToolCalls], used: Iterable[UsedTokens]
) -> UsageReport:
    """Sum up what was from the UTC day `since` on; a call over midnight belongs to both days.

    By model, the time is that of the calls that used it on a day, so those times overlap.
    """
    made = UsageReport(by, {}, CostRow())
    times: dict[tuple[str, int], float] = {}
    ended: set[str] = set()
    for call in calls:
        if call.ended_at is not None:
            ended.add(call.session)
        for day, seconds in _days(call, since):
            times[call.session, day] = seconds
            for cost in _of_call(made, call, day):
                cost.last(call.session, seconds, call.session in ended)
    for one in used:
        if one.day >= since:
            line = _line(made, one, one.day)
            line.use(one, one.session in ended)
            made.total.use(one, one.session in ended)
            if by == "model":
                line.last(one.session, times.get((one.session, one.day), 0), one.session in ended)
    return made


def _of_call(made: UsageReport, call: ToolCalls, day: int) -> tuple[CostRow, ...]:
    """The sums that a call's time belongs to; its models are known by what they used."""
    return (made.total,) if made.by == "model" else (made.total, _line(made, call, day))


def _days(call: ToolCalls, since: int) -> Iterator[tuple[int, float]]:
    """The UTC days of a call from `since` on, with its seconds on each."""
    end = call.started_at if call.ended_at is None else max(call.ended_at, call.started_at)
    day = int(call.started_at // DAY_SECONDS)
    begin = call.started_at
    while True:
        midnight = float((day + 1) * DAY_SECONDS)
        if day >= since:
            yield day, min(end, midnight) - begin
        if end <= midnight:
            return
        day, begin = day + 1, midnight


def _line(made: UsageReport, one: ToolCalls | UsedTokens, day: int) -> CostRow:
    name: str | int = day if made.by == "day" else str(getattr(one, made.by))
    return made.costs.setdefault(name, CostRow())
