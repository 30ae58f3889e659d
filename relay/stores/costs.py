"""Usage reports: what calls used and cost, summed by session, user, agent, day or model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from relay.realtime.billing.usage import Usage

GroupBy = Literal["session", "user", "agent", "day", "model"]
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTime:
    """The time of one call, in Unix seconds; `ended_at` is None while its end is unknown."""

    session: str
    user: str
    agent: str
    started_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUsage:
    """One model's usage in one session on one UTC day (since 1970).

    `micro` is its cost in micro-dollars, None where the model has no price.
    """

    session: str
    user: str
    agent: str
    day: int
    model: str
    usage: Usage
    micro: int | None


@dataclass(slots=True)
class CostRow:
    """One sum: `micro` is the known part of it in micro-dollars, `unpriced` models add nothing.

    `seconds` is of calls that have ended; `unended` ones add none, so `timed_micro` leaves out
    their cost.
    """

    sessions: set[str] = field(default_factory=set)
    unended: set[str] = field(default_factory=set)
    unpriced: set[str] = field(default_factory=set)
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    micro: int = 0
    timed_micro: int = 0

    def add_time(self, session: str, seconds: float, has_ended: bool) -> None:
        """Add the time of a call."""
        self.sessions.add(session)
        self.seconds += seconds
        if not has_ended:
            self.unended.add(session)

    def add_usage(self, used: SessionUsage, has_ended: bool) -> None:
        """Add the usage of a call."""
        self.add_time(used.session, 0.0, has_ended)
        self.usage += used.usage
        self.micro += used.micro or 0
        if used.micro is None:
            self.unpriced.add(used.model)
        if has_ended:
            self.timed_micro += used.micro or 0

    @property
    def micro_per_minute(self) -> float | None:
        """Micro-dollars a minute of conversation; None where a price or the time is missing."""
        if self.unpriced or not self.seconds:
            return None
        return self.timed_micro / (self.seconds / 60)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Costs by name (of a day: its number since 1970), and the total."""

    by: GroupBy
    costs: dict[str | int, CostRow]
    total: CostRow


def usage_report(
    by: GroupBy, since: int, calls: Iterable[CallTime], usage: Iterable[SessionUsage]
) -> UsageReport:
    """Sum up what was used from the UTC day `since` on.

    A call across midnight counts for both days. By model, the time is that of the calls that used
    it on a day, so those times overlap.
    """
    report = UsageReport(by, {}, CostRow())
    times: dict[tuple[str, int], float] = {}
    ended: set[str] = set()
    for call in calls:
        if call.ended_at is not None:
            ended.add(call.session)
        for day, seconds in _days(call, since):
            times[call.session, day] = seconds
            for row in _rows_of_call(report, call, day):
                row.add_time(call.session, seconds, call.session in ended)
    for used in usage:
        if used.day >= since:
            has_ended = used.session in ended
            row = _row(report, used, used.day)
            row.add_usage(used, has_ended)
            report.total.add_usage(used, has_ended)
            if by == "model":
                row.add_time(used.session, times.get((used.session, used.day), 0), has_ended)
    return report


def _rows_of_call(report: UsageReport, call: CallTime, day: int) -> tuple[CostRow, ...]:
    """The sums that a call's time belongs to; its models are known by their usage alone."""
    if report.by == "model":
        return (report.total,)
    return report.total, _row(report, call, day)


def _days(call: CallTime, since: int) -> Iterator[tuple[int, float]]:
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


def _row(report: UsageReport, one: CallTime | SessionUsage, day: int) -> CostRow:
    name: str | int = day if report.by == "day" else str(getattr(one, report.by))
    return report.costs.setdefault(name, CostRow())
