"""The store in a Supabase project: one SQL function takes a batch, PostgREST answers the rest."""

import asyncio
import math
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    place,
)
from relay.stores.rows import (
    action_row,
    conversation_row,
    iso_day,
    message_row,
    record_of,
    seconds,
    session_row,
    usage_row,
)
from relay.stores.supabase.errors import DatabaseRejected, DatabaseUnreadable

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient, Row

# ---- Records as a project's database takes them, and its rows as records again; pure.

Item = dict[str, Any]
"""One record as `voice_put` takes it: its `kind`, its `row`, and words' `conversation`."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""JSON may have them, jsonb may not: NUL is not text to PostgreSQL, a lone surrogate not UTF-8."""
_INSTEAD: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records as items, and why some of them can be none, by record id."""

    items: Sequence[Item]
    refused: Mapping[str, str]


def batch_of(records: Iterable[AnyRecord]) -> Batch:
    """All of them as items, but for those with a number that is none or a time out of reach."""
    items: list[Item] = []
    refused: dict[str, str] = {}
    for record in records:
        try:
            items.append(_storable(_item(record)))
        except (ValueError, OverflowError, OSError):
            refused[record.id] = CONSTRAINT
    return Batch(items, refused)


def _item(record: AnyRecord) -> Item:
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
    """The same value with U+FFFD for what no text column holds; ValueError where that is no way."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(_INSTEAD, value)
    if isinstance(value, dict):
        return {name: _storable(inner) for name, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    return value


def records_of(messages: Iterable[Mapping[str, Any]], user_id: str) -> list[Record]:
    """A conversation's records in its order: sessions by their start, words by their position.

    What the text chat said in the same conversation stands between the calls, at its time. Rows
    that are no words (of tools, pictures, or by somebody else's hand) are passed over.
    """
    found = {message.get("id"): _record(message, user_id) for message in messages}
    return sorted((record for record in found.values() if record is not None), key=place)


def _record(message: Mapping[str, Any], user_id: str) -> Record | None:
    try:
        if "voice_session_id" in message["metadata"]:
            return record_of(message, user_id)
        return _written(message, user_id)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _written(message: Mapping[str, Any], user_id: str) -> Record | None:
    """A row of the text chat, which knows no sessions: as if it were one of its own."""
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

    def __init__(self, rest: "RestClient") -> None:
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

    async def conversations(
        self, users: Collection[str] | None, limit: int
    ) -> Sequence[ConversationSummary]:
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


def _talk(row: "Row") -> ConversationSummary:
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
