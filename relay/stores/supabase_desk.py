"""What an operator asks of a project's tables: whom coaches follow, and what calls cost."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from relay.realtime.billing.usage import Usage
from relay.stores.costs import By, Called, Report, Used, report
from relay.stores.rows import iso_day, seconds
from relay.stores.supabase_troubles import DatabaseUnreadable

if TYPE_CHECKING:
    from relay.stores.supabase_rest import Rest, Row

MOST_ROWS: Final = 100_000
"""Calls, and models in calls, that one report is made of; more are for SQL."""
_KEY: Final = "coach_id,learner_id"
_EPOCH: Final = date(1970, 1, 1)


class TooMuch(Exception):  # noqa: N818 - it is an outcome, told to who asked
    """There are more rows than one report is made of."""


class SupabaseDesk:
    """Every method raises `DatabaseTrouble`, DatabaseRejected for ids that are nobody's."""

    def __init__(self, rest: "Rest") -> None:
        self._rest = rest

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when it was so before."""
        row = {"coach_id": coach_id, "learner_id": learner_id}
        return await self._rest.add("coach_assignments", row, _KEY)

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Let it be over; False when it was not so."""
        row = {"coach_id": coach_id, "learner_id": learner_id}
        return await self._rest.remove("coach_assignments", row)

    async def costs(self, by: By, since: int) -> Report:
        """Sums from a UTC day on, as `stores.costs.report` says them; raises `TooMuch`."""
        began = f"ended_at.gte.{iso_day(since)},started_at.gte.{iso_day(since)}"
        calls = await self._all(
            lambda: self._rest.select("voice_sessions", "*").or_(began).order("started_at")
        )
        used = await self._all(
            lambda: self._rest.select("voice_usage", "*").gte("day", iso_day(since)).order("day")
        )
        try:
            return report(by, since, map(_called, calls), map(_used, used))
        except (KeyError, TypeError, ValueError):
            raise DatabaseUnreadable from None

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._rest.aclose()

    async def _all(self, question: Callable[[], Any]) -> "list[Row]":
        rows = await self._rest.all_rows(lambda: question().order("id"), MOST_ROWS + 1)
        if len(rows) > MOST_ROWS:
            raise TooMuch
        return rows


def _called(row: "Row") -> Called:
    ended = row["ended_at"]
    return Called(
        session=row["id"],
        user=row["user_id"],
        agent=row["agent_id"],
        started_at=seconds(row["started_at"]),
        ended_at=None if ended is None else seconds(ended),
    )


def _used(row: "Row") -> Used:
    # Of somebody who was erased, what it cost is kept, and nothing else.
    return Used(
        session=row["voice_session_id"] or row["id"],
        user=row["user_id"] or "",
        agent=row["agent_id"],
        day=(date.fromisoformat(row["day"]) - _EPOCH).days,
        model=row["model"],
        usage=Usage(**{name: row[name] for name in Usage.__struct_fields__}),
        micro=row["cost_micro"],
    )
