"""Operator's view of a project: assignments, usage reports, transcripts and privacy."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from relay.interfaces import Mode, NoSuchPerson
from relay.realtime.records import Record
from relay.stores.costs import CallTime, GroupBy, SessionUsage, UsageReport, usage_report
from relay.stores.rows import day_number, iso_day, read_usage, seconds
from relay.stores.supabase.errors import DatabaseUnreadable
from relay.stores.supabase.store import SupabaseStore, is_uuid

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient, Row

MOST_ROWS: Final = 100_000
"""Calls, and models in calls, of one report; a larger one is for SQL."""
POLL_SECONDS: Final = 1.0
"""Between two looks, each of which reads the whole conversation."""
FORGOTTEN_AT_ONCE: Final = 2000
"""Utterances of one statement, which a project cancels after some seconds."""
_ASSIGNMENT_KEY: Final = "coach_id,learner_id"


class ReportTooLarge(Exception):  # noqa: N818 - an outcome, told to the operator
    """There are more rows than `MOST_ROWS`."""


class SupabaseAdmin:
    """Assignments and costs. Every method raises `DatabaseError`.

    For ids of no user it is DatabaseRejected.
    """

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when the coach already may."""
        row = {"coach_id": coach_id, "learner_id": learner_id}
        return await self._rest.add("coach_assignments", row, _ASSIGNMENT_KEY)

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Withdraw an assignment; False when there is none."""
        row = {"coach_id": coach_id, "learner_id": learner_id}
        return await self._rest.remove("coach_assignments", row)

    async def costs(self, by: GroupBy, since: int) -> UsageReport:
        """Usage and costs from a UTC day (since 1970) on. Raises `ReportTooLarge`."""
        began = f"ended_at.gte.{iso_day(since)},started_at.gte.{iso_day(since)}"
        calls = await self._all(
            lambda: self._rest.select("voice_sessions", "*").or_(began).order("started_at")
        )
        used = await self._all(
            lambda: self._rest.select("voice_usage", "*").gte("day", iso_day(since)).order("day")
        )
        try:
            return usage_report(by, since, map(_call_time, calls), map(_session_usage, used))
        except (KeyError, TypeError, ValueError):
            raise DatabaseUnreadable from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rest.aclose()

    async def _all(self, query: Callable[[], Any]) -> "list[Row]":
        rows = await self._rest.all_rows(lambda: query().order("id"), MOST_ROWS + 1)
        if len(rows) > MOST_ROWS:
            raise ReportTooLarge
        return rows


def _call_time(row: "Row") -> CallTime:
    ended = row["ended_at"]
    return CallTime(
        session=row["id"],
        user=row["user_id"],
        agent=row["agent_id"],
        started_at=seconds(row["started_at"]),
        ended_at=None if ended is None else seconds(ended),
    )


def _session_usage(row: "Row") -> SessionUsage:
    # Of an erased person only the cost is kept.
    return SessionUsage(
        session=row["voice_session_id"] or row["id"],
        user=row["user_id"] or "",
        agent=row["agent_id"],
        day=day_number(row["day"]),
        model=row["model"],
        usage=read_usage(row),
        micro=row["cost_micro"],
    )


async def _pause() -> None:
    await asyncio.sleep(POLL_SECONDS)


class SupabaseReader:
    """Reads transcripts with the service role. Every method raises `DatabaseError`."""

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest
        self._store = SupabaseStore(rest)

    async def recent(self, limit: int) -> Sequence[str]:
        """The ids of the most recently active conversations, newest first."""
        query = self._rest.select("conversation_sessions", "conversation_id")
        rows = await self._rest.rows(query.order("last_active", desc=True).limit(limit))
        return [str(row.get("conversation_id")) for row in rows]

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty where the conversation is unknown."""
        return await self._store.transcript(conversation_id)

    async def follow(
        self, conversation_id: str, pause: Callable[[], Awaitable[None]] = _pause
    ) -> AsyncGenerator[Record, None]:
        """What was said so far, then what is stored from now on, without an end.

        A correction comes as the same record with a higher `seq`. Each look yields what is new in
        conversation order, so a late record may belong before earlier ones.
        """
        shown: dict[str, int] = {}
        while True:
            for record in await self.transcript(conversation_id):
                if shown.get(record.id, 0) < record.seq:
                    shown[record.id] = record.seq
                    yield record
            await pause()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._store.aclose()


class SupabasePrivacy:
    """A `relay.interfaces.PrivacyStore`. Every method raises `DatabaseError`."""

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest

    async def count_old(self, days: int, mode: Mode) -> int:
        """Return how many utterances `forget` would forget, by this machine's clock."""
        before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        old = self._rest.select("chat_messages_v2", "id").lt("created_at", before)
        old = old.not_.is_("metadata->voice_session_id", "null")
        if mode == "redact":
            old = old.is_("metadata->redacted", "null")
        return await self._rest.count(old)

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget the utterances of calls older than `days`; returns how many there were."""
        forgotten = 0
        arguments = {"days": days, "mode": mode, "most": FORGOTTEN_AT_ONCE}
        while count := await self._rest.call("voice_forget", arguments):
            if not isinstance(count, int):
                raise DatabaseUnreadable
            forgotten += count
        return forgotten

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """Everything stored about one person, as `voice_export` returns it."""
        return await self._call(user_id, "voice_export")

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns the number of rows by kind."""
        return await self._call(user_id, "voice_erase")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rest.aclose()

    async def _call(self, user_id: str, function: str) -> Mapping[str, Any]:
        if not is_uuid(user_id):
            raise NoSuchPerson
        answer = await self._rest.call(function, {"user_id": user_id})
        if not isinstance(answer, dict):
            raise DatabaseUnreadable
        return answer
