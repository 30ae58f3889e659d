"""The store in a Supabase project: one SQL function takes a batch, PostgREST answers the rest."""

import asyncio
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from relay.interfaces import CONSTRAINT, RecordsRefused, Talk
from relay.realtime.records import AnyRecord, Record
from relay.stores.rows import iso_day, seconds
from relay.stores.supabase_rows import Item, batch_of, records_of
from relay.stores.supabase_troubles import DatabaseRejected, DatabaseUnreadable

if TYPE_CHECKING:
    from relay.stores.supabase_rest import Rest, Row

AT_ONCE: Final = 64
"""Records in one request. No sound is relayed while its JSON is made, 0.6 ms; one request with 256
would be done in 54 ms instead of 75."""
BETWEEN_SOUNDS: Final = 16
"""Records made ready at once, a third of a millisecond."""
MOST_RECORDS: Final = 10_000
"""Of one transcript, the latest; a day of talking has some 5000."""
MOST_LEARNERS: Final = 10_000
"""Of one coach."""
_LISTED: Final = (
    *("conversation_id", "user_id", "agent_id", "started_at", "last_active", "message_count"),
)
_COLUMNS: Final = (
    *(
        "id",
        "conversation_id",
        "sender_agent_id",
        "sender_user_id",
        "role",
        "content",
        "metadata",
        "created_at",
    ),
)


class SupabaseStore:
    """A `relay.interfaces.Store` in a project with the tables of `supabase/migrations`.

    Every method raises `DatabaseTrouble`, and works again when the database does. Ids that are no
    UUIDs are nobody's here.
    """

    def __init__(self, rest: "Rest") -> None:
        self._rest = rest

    async def put(self, records: Sequence[AnyRecord]) -> None:
        """Write records; writing one twice changes nothing, a lower `seq` never overwrites.

        Raises RecordsRefused for those that can never be stored, when the others are; after any
        other error trying again is right. NUL and lone surrogates are stored as U+FFFD: no text
        column takes them.
        """
        refused: dict[str, str] = {}
        for some in _pieces(records, AT_ONCE):
            items: list[Item] = []
            for few in _pieces(some, BETWEEN_SOUNDS):
                batch = batch_of(few)
                items += batch.items
                refused |= batch.refused
                await asyncio.sleep(0)
            refused |= await self._put(items)
        if refused:
            raise RecordsRefused(refused)

    async def _put(self, items: Sequence[Item]) -> dict[str, str]:
        """Why some cannot be stored, by record id.

        The function itself sets aside what one row cannot be. Where the whole request is refused
        for what is in it (too large, not readable), its halves are asked: 2n - 1 requests at most.
        """
        if not items:
            return {}
        try:
            answer = await self._rest.write("voice_put", {"records": items})
        except DatabaseRejected:
            if len(items) == 1:
                return {items[0]["row"]["id"]: CONSTRAINT}
            half = len(items) // 2
            return {**await self._put(items[:half]), **await self._put(items[half:])}
        return _refused(answer, {item["row"]["id"] for item in items})

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is, None when nobody has it."""
        if not is_uuid(conversation_id):
            return None
        question = self._rest.select("conversation_sessions", "user_id")
        rows = await self._rest.rows(question.eq("conversation_id", conversation_id).limit(1))
        return _text(rows[0].get("user_id")) if rows else None

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order, the latest `MOST_RECORDS` of it."""
        owner = await self.owner(conversation_id)
        if owner is None:
            return []
        rows = await self._rest.all_rows(
            lambda: (
                self._rest.select("chat_messages_v2", *_COLUMNS)
                .eq("conversation_id", conversation_id)
                .order("created_at", desc=True)
                .order("id")
            ),
            MOST_RECORDS,
        )
        return records_of(rows, owner)

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """Micro-dollars that an agent's calls cost on a UTC day, one user's alone where named."""
        if not is_uuid(agent_id) or not (user_id is None or is_uuid(user_id)):
            return 0
        asked = {"day": iso_day(day), "agent": agent_id, "user_id": user_id}
        answer = await self._rest.call("voice_spent", asked)
        if not isinstance(answer, int) or isinstance(answer, bool):
            raise DatabaseUnreadable
        return answer

    async def learners(self, coach_id: str) -> frozenset[str]:
        """The users whose conversations this coach may follow."""
        if not is_uuid(coach_id):
            return frozenset()
        rows = await self._rest.all_rows(
            lambda: (
                self._rest.select("coach_assignments", "learner_id")
                .eq("coach_id", coach_id)
                .order("learner_id")
            ),
            MOST_LEARNERS,
        )
        return frozenset(_text(row.get("learner_id")) or "" for row in rows) - {""}

    async def conversations(self, users: Collection[str] | None, limit: int) -> Sequence[Talk]:
        """The conversations of these users (None: of all) that were active last, newest first."""
        known = None if users is None else sorted(filter(is_uuid, users))
        if known == []:
            return []
        question = self._rest.select("conversation_sessions", *_LISTED)
        if known is not None:
            question = question.in_("user_id", known)
        newest = question.order("last_active", desc=True).order("conversation_id").limit(limit)
        rows = await self._rest.rows(newest)
        try:
            return [_talk(row) for row in rows if row["user_id"] is not None]
        except (KeyError, TypeError, ValueError):
            raise DatabaseUnreadable from None

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._rest.aclose()


def _pieces(records: Sequence[AnyRecord], size: int) -> Iterator[Sequence[AnyRecord]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def is_uuid(text: str) -> bool:
    """Whether it is one as PostgreSQL writes it; other spellings would be other ids elsewhere."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _refused(answer: Any, asked: set[str]) -> dict[str, str]:
    """What `voice_put` answered; a 2xx with anything else in it stored nothing that we know of."""
    refused = answer.get("refused") if isinstance(answer, dict) else None
    if not isinstance(refused, dict) or not refused.keys() <= asked:
        raise DatabaseUnreadable
    if not all(isinstance(reason, str) for reason in refused.values()):
        raise DatabaseUnreadable
    return refused


def _talk(row: "Row") -> Talk:
    return Talk(
        conversation_id=str(row["conversation_id"]),
        user_id=str(row["user_id"]),
        agent_id=_text(row["agent_id"]) or "",
        started_at=seconds(row["started_at"]),
        last_active=seconds(row["last_active"] or row["started_at"]),
        message_count=int(row["message_count"] or 0),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
