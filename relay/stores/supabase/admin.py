"""What an operator asks of a project's tables: whom coaches follow, and what calls cost."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from relay.interfaces import Mode, NoSuchPerson
from relay.realtime.billing.usage import Usage
from relay.realtime.records import Record
from relay.stores.costs import By, ToolCalls, UsageReport, UsedTokens, report
from relay.stores.rows import iso_day, seconds
from relay.stores.supabase.errors import DatabaseUnreadable
from relay.stores.supabase.store import SupabaseStore, is_uuid

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient, Row

MOST_ROWS: Final = 100_000
"""Calls, and models in calls, that one report is made of; more are for SQL."""
_KEY: Final = "coach_id,learner_id"
_EPOCH: Final = date(1970, 1, 1)


class TooMuch(Exception):  # noqa: N818 - it is an outcome, told to who asked
    """There are more rows than one report is made of."""


class SupabaseAdmin:
    """Every method raises `DatabaseTrouble`, DatabaseRejected for ids that are nobody's."""

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when it was so before."""
        row = {"coach_id": coach_id, "learner_id": learner_id}
        return await self._rest.add("coach_assignments", row, _KEY)

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Let it be over; False when it was not so."""
        row = {"coach_id": coach_id, "learner_id": learner_id}
        return await self._rest.remove("coach_assignments", row)

    async def costs(self, by: By, since: int) -> UsageReport:
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


def _called(row: "Row") -> ToolCalls:
    ended = row["ended_at"]
    return ToolCalls(
        session=row["id"],
        user=row["user_id"],
        agent=row["agent_id"],
        started_at=seconds(row["started_at"]),
        ended_at=None if ended is None else seconds(ended),
    )


def _used(row: "Row") -> UsedTokens:
    # Of somebody who was erased, what it cost is kept, and nothing else.
    return UsedTokens(
        session=row["voice_session_id"] or row["id"],
        user=row["user_id"] or "",
        agent=row["agent_id"],
        day=(date.fromisoformat(row["day"]) - _EPOCH).days,
        model=row["model"],
        usage=Usage(**{name: row[name] for name in Usage.__struct_fields__}),
        micro=row["cost_micro"],
    )


# ---- Forgetting, telling and erasing in a project, by the functions of `supabase/migrations`.

AT_ONCE: Final = 2000
"""Utterances of one statement, which a project ends after some seconds."""


class SupabasePeople:
    """A `relay.stores.people.People`. Every method raises `DatabaseTrouble`."""

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget words of calls that are older; returns how many utterances it was."""
        forgotten = 0
        asked = {"days": days, "mode": mode, "most": AT_ONCE}
        while many := await self._rest.call("voice_forget", asked):
            if not isinstance(many, int):
                raise DatabaseUnreadable
            forgotten += many
        return forgotten

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """All that is kept about one person, as `voice_export` tells it."""
        return await self._of(user_id, "voice_export")

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns how many rows of each kind it was."""
        return await self._of(user_id, "voice_erase")

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._rest.aclose()

    async def _of(self, user_id: str, function: str) -> Mapping[str, Any]:
        if not is_uuid(user_id):
            raise NoSuchPerson
        answer = await self._rest.call(function, {"user_id": user_id})
        if not isinstance(answer, dict):
            raise DatabaseUnreadable
        return answer


# ---- Reading a project's conversations from another process than the relay's.

LOOK_AGAIN_AFTER: Final = 1.0
"""Seconds between two looks, each of which reads the whole conversation."""


async def _pause() -> None:
    await asyncio.sleep(LOOK_AGAIN_AFTER)


@dataclass(frozen=True, slots=True)
class ConversationRows:
    """One conversation in a list of them."""

    conversation_id: str


class SupabaseReader:
    """Looks into a project's tables, as service role. Every method raises `DatabaseTrouble`."""

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest
        self._store = SupabaseStore(rest)

    async def recent(self, limit: int) -> Sequence[ConversationRows]:
        """The conversations that were active last, newest first."""
        question = self._rest.select("conversation_sessions", "conversation_id")
        rows = await self._rest.rows(question.order("last_active", desc=True).limit(limit))
        return [ConversationRows(str(row.get("conversation_id"))) for row in rows]

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty when nobody has the conversation."""
        return await self._store.transcript(conversation_id)

    async def follow(
        self, conversation_id: str, pause: Callable[[], Awaitable[None]] = _pause
    ) -> AsyncGenerator[Record, None]:
        """What was said so far, then what is stored from now on, without an end.

        A correction comes as the same record with a higher `seq`. Each look gives what is new in
        conversation order, so something late may belong before what was given already.
        """
        shown: dict[str, int] = {}
        while True:
            for record in await self.transcript(conversation_id):
                if shown.get(record.id, 0) < record.seq:
                    shown[record.id] = record.seq
                    yield record
            await pause()

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._store.aclose()
