"""The store in a Supabase project: one SQL function writes a batch, PostgREST answers queries."""

import asyncio
import math
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from relay.interfaces import CONSTRAINT, ConversationSummary, RecordsRefused
from relay.realtime.records import (
    ActionRecord,
    AnyRecord,
    Record,
    SessionHead,
    SessionRecord,
    Speaker,
    UsageRecord,
    Utterance,
    by_position,
)
from relay.stores.rows import (
    action_row,
    conversation_row,
    iso_day,
    message_row,
    record_from_row,
    seconds,
    session_row,
    usage_row,
)
from relay.stores.supabase.errors import DatabaseRejected, DatabaseUnreadable

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient, Row

RECORDS_PER_REQUEST: Final = 64
"""Encoding one request's JSON blocks the event loop for 0.6 ms; one request with 256 records would
take 54 ms instead of 75."""
RECORDS_PER_STEP: Final = 16
"""Records converted before the event loop runs again, a third of a millisecond."""
MOST_RECORDS: Final = 10_000
"""Of one transcript, the latest; a day of conversation has some 5000."""
MOST_LEARNERS: Final = 10_000
"""Of one coach."""
_SUMMARY_COLUMNS: Final = (
    *("conversation_id", "user_id", "agent_id", "started_at", "last_active", "message_count"),
)
_MESSAGE_COLUMNS: Final = (
    *("id", "conversation_id", "sender_agent_id", "sender_user_id"),
    *("role", "content", "metadata", "created_at"),
)

PutItem = dict[str, Any]
"""One record for `voice_put`: its `kind`, its `row`, and an utterance's `conversation`."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""Allowed in JSON, not in jsonb: NUL is not text to PostgreSQL, a lone surrogate not UTF-8."""
_REPLACEMENT: Final = "\ufffd"


def is_uuid(text: str) -> bool:
    """Whether it is a UUID as PostgreSQL writes it; another spelling is another id elsewhere."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


class SupabaseStore:
    """A `relay.interfaces.Store` in a project with the tables of `supabase/migrations`.

    Every method raises `DatabaseError`, and works again when the database does. An id that is not a
    UUID is unknown here.
    """

    def __init__(self, rest: "RestClient") -> None:
        self._rest = rest

    async def put(self, records: Sequence[AnyRecord]) -> None:
        """Write records; writing one twice changes nothing, a lower `seq` never overwrites.

        Raises RecordsRefused for those that can never be stored, once the others are stored; after
        any other error the call may be repeated. NUL and lone surrogates are stored as U+FFFD: no
        text column takes them.
        """
        refused: dict[str, str] = {}
        for request in _chunks(records, RECORDS_PER_REQUEST):
            items: list[PutItem] = []
            for step in _chunks(request, RECORDS_PER_STEP):
                encoded, unencodable = encode_batch(step)
                items += encoded
                refused |= unencodable
                await asyncio.sleep(0)
            refused |= await self._put(items)
        if refused:
            raise RecordsRefused(refused)

    async def _put(self, items: Sequence[PutItem]) -> dict[str, str]:
        """The reasons of the records refused, by id.

        The function itself reports rows that break a constraint. Where the whole request is
        rejected for its content (too large, unreadable), its halves are sent: at most 2n - 1
        requests.
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
        """The user whose conversation this is; None where it is unknown."""
        if not is_uuid(conversation_id):
            return None
        query = self._rest.select("conversation_sessions", "user_id")
        rows = await self._rest.rows(query.eq("conversation_id", conversation_id).limit(1))
        return _text(rows[0].get("user_id")) if rows else None

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order, the latest `MOST_RECORDS` of it."""
        owner = await self.owner(conversation_id)
        if owner is None:
            return []
        rows = await self._rest.all_rows(
            lambda: (
                self._rest.select("chat_messages_v2", *_MESSAGE_COLUMNS)
                .eq("conversation_id", conversation_id)
                .order("created_at", desc=True)
                .order("id")
            ),
            MOST_RECORDS,
        )
        return records_from_rows(rows, owner)

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """Micro-dollars an agent's calls cost on a UTC day (since 1970), of one user if given."""
        if not is_uuid(agent_id) or not (user_id is None or is_uuid(user_id)):
            return 0
        arguments = {"day": iso_day(day), "agent": agent_id, "user_id": user_id}
        answer = await self._rest.call("voice_spent", arguments)
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

    async def conversations(
        self, users: Collection[str] | None, limit: int
    ) -> Sequence[ConversationSummary]:
        """The conversations of these users (None: of all), the most recently active first."""
        known = None if users is None else sorted(filter(is_uuid, users))
        if known == []:
            return []
        query = self._rest.select("conversation_sessions", *_SUMMARY_COLUMNS)
        if known is not None:
            query = query.in_("user_id", known)
        newest = query.order("last_active", desc=True).order("conversation_id").limit(limit)
        rows = await self._rest.rows(newest)
        try:
            return [_summary(row) for row in rows if row["user_id"] is not None]
        except (KeyError, TypeError, ValueError):
            raise DatabaseUnreadable from None

    async def check_schema(self) -> None:
        """Raise `DatabaseNotMigrated` where the tables of calls are missing."""
        await self._rest.rows(self._rest.select("voice_sessions", "id").limit(1))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rest.aclose()


def _chunks(records: Sequence[AnyRecord], size: int) -> Iterator[Sequence[AnyRecord]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def _refused(answer: Any, sent: set[str]) -> dict[str, str]:
    """The answer of `voice_put`; a 2xx with any other content proves nothing stored."""
    refused = answer.get("refused") if isinstance(answer, dict) else None
    if not isinstance(refused, dict) or not refused.keys() <= sent:
        raise DatabaseUnreadable
    if not all(isinstance(reason, str) for reason in refused.values()):
        raise DatabaseUnreadable
    return refused


def _summary(row: "Row") -> ConversationSummary:
    return ConversationSummary(
        conversation_id=str(row["conversation_id"]),
        user_id=str(row["user_id"]),
        agent_id=_text(row["agent_id"]) or "",
        started_at=seconds(row["started_at"]),
        last_active=seconds(row["last_active"] or row["started_at"]),
        message_count=int(row["message_count"] or 0),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def encode_batch(records: Iterable[AnyRecord]) -> tuple[list[PutItem], dict[str, str]]:
    """Encode records; those with NaN, infinity or a time out of range are refused, by id."""
    items: list[PutItem] = []
    refused: dict[str, str] = {}
    for record in records:
        try:
            items.append(_storable(_item(record)))
        except (ValueError, OverflowError, OSError):
            refused[record.id] = CONSTRAINT
    return items, refused


def _item(record: AnyRecord) -> PutItem:
    if isinstance(record, UsageRecord):
        return {"kind": "usage", "row": usage_row(record)}
    if isinstance(record, SessionRecord):
        return {"kind": "session", "row": session_row(record)}
    if isinstance(record, ActionRecord):
        return {"kind": "action", "row": action_row(record)}
    conversation = conversation_row(record.head)
    row = message_row(record, conversation["id"])
    return {"kind": "utterance", "conversation": conversation, "row": row}


def _storable(value: Any) -> Any:
    """The value with U+FFFD for what no text column holds; ValueError for NaN and infinity."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, dict):
        return {name: _storable(inner) for name, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    return value


def records_from_rows(messages: Iterable[Mapping[str, Any]], user_id: str) -> list[Record]:
    """A conversation's records in its order: sessions by their start, utterances by their position.

    Messages of the text chat in the same conversation stand between the calls, at their time. Rows
    that are not utterances (of tools, pictures, or written by other programs) are skipped.
    """
    found = {message.get("id"): _record(message, user_id) for message in messages}
    return sorted((record for record in found.values() if record is not None), key=by_position)


def _record(message: Mapping[str, Any], user_id: str) -> Record | None:
    try:
        if "voice_session_id" in message["metadata"]:
            return record_from_row(message, user_id)
        return _chat_record(message, user_id)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _chat_record(message: Mapping[str, Any], user_id: str) -> Record | None:
    """A row of the text chat, which has no sessions, as a session of its own."""
    role, text = message["role"], message["content"]["text"]
    if role not in ("user", "assistant") or not isinstance(text, str) or not text:
        return None
    at, metadata = seconds(message["created_at"]), message["metadata"]
    head = SessionHead(
        session_id=message["id"],
        conversation_id=message["conversation_id"],
        user_id=user_id,
        agent_id=message["sender_agent_id"] or metadata.get("target_agent_id") or "",
        model=str(metadata.get("model") or ""),
        voice="",
        started_at=at,
    )
    utterance = Utterance(
        item_id=message["id"],
        role=cast("Speaker", role),
        text=text,
        heard_text=text,
        state="final",
        origin="text",
        seq=1,
        position=1.0,
        created_at=at,
    )
    return Record(id=message["id"], head=head, utterance=utterance)
