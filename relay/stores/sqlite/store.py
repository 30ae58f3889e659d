"""The embedded store: all tables in one SQLite file, with nothing to install or to run."""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from relay.interfaces import CONSTRAINT, FOREIGN_CONVERSATION, ConversationSummary, RecordsRefused
from relay.realtime.records import (
    ActionRecord,
    AnyRecord,
    Record,
    SessionHead,
    SessionRecord,
    UsageRecord,
)
from relay.stores.database import open_database, transaction
from relay.stores.rows import conversation_row, message_row, record_of, seconds
from relay.stores.sqlite import reports as sqlite_coaches
from relay.stores.sqlite import reports as sqlite_usage
from relay.stores.sqlite.reports import put_action, put_session, put_usage
from relay.stores.sqlite.schema import NOW, SCHEMA
from relay.stores.worker import Worker

# ---- Records into the embedded store's tables, and words out; on the thread that owns the file.

Other = TypeVar("Other", UsageRecord, SessionRecord)

_ADD_CONVERSATION = """
INSERT INTO conversation_sessions (id, conversation_id, user_id, agent_id, title, started_at,
    last_active, session_state, status)
VALUES (:id, :conversation_id, :user_id, :agent_id, :title, :started_at,
    :last_active, :session_state, :status)
ON CONFLICT (conversation_id) DO NOTHING
"""
_PUT_MESSAGE = f"""
INSERT INTO chat_messages_v2 (id, conversation_id, session_id, sender_user_id, sender_agent_id,
    role, content, metadata, created_at)
VALUES (:id, :conversation_id, :session_id, :sender_user_id, :sender_agent_id,
    :role, :content, :metadata, :created_at)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, metadata = excluded.metadata,
    created_at = excluded.created_at, updated_at = {NOW}
WHERE json_extract(excluded.metadata, '$.seq') > json_extract(chat_messages_v2.metadata, '$.seq')
"""  # noqa: S608 - made of constants
_TRANSCRIPT = """
SELECT m.id, m.conversation_id, m.sender_agent_id, m.sender_user_id, m.role, m.content,
    m.metadata, m.created_at, c.user_id
FROM chat_messages_v2 m JOIN conversation_sessions c USING (conversation_id)
WHERE m.conversation_id = ?
ORDER BY json_extract(m.metadata, '$.session_started_at'),
    json_extract(m.metadata, '$.voice_session_id'),
    json_extract(m.metadata, '$.position'), json_extract(m.metadata, '$.content_index')
"""
_RECENT = """
SELECT conversation_id, user_id, agent_id, title, started_at, last_active, message_count
FROM conversation_sessions ORDER BY last_active DESC, conversation_id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One conversation as a list of them shows it; times are Unix seconds."""

    conversation_id: str
    user_id: str
    agent_id: str
    title: str
    started_at: float
    last_active: float
    message_count: int


def put(connection: sqlite3.Connection, records: Sequence[AnyRecord]) -> dict[str, str]:
    """Write records in one transaction; returns why some cannot be stored, by record id."""
    with transaction(connection):
        batch = _Batch(connection)
        for record in records:
            batch.put(record)
        batch.leave_no_empty_conversation()
    return batch.refused


def owner(connection: sqlite3.Connection, conversation_id: str) -> str | None:
    """The user whose conversation this is."""
    row = _conversation(connection, conversation_id)
    return row["user_id"] if row else None


def transcript(connection: sqlite3.Connection, conversation_id: str) -> list[Record]:
    """A conversation's records: sessions by their start, words by their position."""
    rows = connection.execute(_TRANSCRIPT, (conversation_id,)).fetchall()
    return [record_of(_parsed(row), row["user_id"]) for row in rows]


def recent(connection: sqlite3.Connection, limit: int) -> list[SessionRow]:
    """The conversations that were active last, newest first."""
    found = []
    for row in connection.execute(_RECENT, (limit,)).fetchall():
        times = {name: seconds(row[name]) for name in ("started_at", "last_active")}
        found.append(SessionRow(**(dict(row) | times)))
    return found


class _Batch:
    """Records on their way into the tables, in a transaction that is open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._conversations: dict[str, sqlite3.Row] = {}
        self._made: list[str] = []
        self.refused: dict[str, str] = {}

    def put(self, record: AnyRecord) -> None:
        """Write one record, or say why it cannot be."""
        try:
            if isinstance(record, UsageRecord):
                self._beside(record, put_usage)
            elif isinstance(record, SessionRecord):
                self._beside(record, put_session)
            elif isinstance(record, ActionRecord):
                put_action(self._connection, record)
            else:
                self._words(record)
        except sqlite3.IntegrityError:
            self.refused[record.id] = CONSTRAINT

    def _words(self, record: Record) -> None:
        """Words make their conversation where nobody has it."""
        if not record.utterance.text and not _exists(self._connection, record.id):
            return  # S3-38: no words make no row and no conversation
        conversation = self._conversation(record.head)
        if conversation["user_id"] != record.head.user_id:
            self.refused[record.id] = FOREIGN_CONVERSATION
        else:
            row = _for_sqlite(message_row(record, conversation["id"]))
            self._connection.execute(_PUT_MESSAGE, row)

    def _beside(self, record: Other, write: Callable[[sqlite3.Connection, Other], None]) -> None:
        """All but words make no conversation, and need none."""
        conversation = _conversation(self._connection, record.head.conversation_id)
        if conversation is not None and conversation["user_id"] != record.head.user_id:
            self.refused[record.id] = FOREIGN_CONVERSATION
        else:
            write(self._connection, record)

    def leave_no_empty_conversation(self) -> None:
        """Forget the conversations that were made for records which were then refused."""
        if self.refused:
            query = "DELETE FROM conversation_sessions WHERE id = ? AND message_count = 0"
            self._connection.executemany(query, [(key,) for key in self._made])

    def _conversation(self, head: SessionHead) -> sqlite3.Row:
        known = self._conversations.get(head.conversation_id)
        if known is None:
            row = conversation_row(head)
            if self._connection.execute(_ADD_CONVERSATION, _for_sqlite(row)).rowcount:
                self._made.append(row["id"])
            known = _conversation(self._connection, head.conversation_id)
            assert known is not None  # noqa: S101 - it was added just now
            self._conversations[head.conversation_id] = known
        return known


def _exists(connection: sqlite3.Connection, identity: str) -> bool:
    query = "SELECT 1 FROM chat_messages_v2 WHERE id = ?"
    return connection.execute(query, (identity,)).fetchone() is not None


def _conversation(connection: sqlite3.Connection, conversation_id: str) -> sqlite3.Row | None:
    query = "SELECT id, user_id FROM conversation_sessions WHERE conversation_id = ?"
    row: sqlite3.Row | None = connection.execute(query, (conversation_id,)).fetchone()
    return row


def _for_sqlite(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON columns are text here."""
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        for name, value in row.items()
    }


def _parsed(row: sqlite3.Row) -> dict[str, Any]:
    message = dict(row)
    return message | {name: json.loads(message[name]) for name in ("content", "metadata")}


class SqliteStore:
    """A `relay.interfaces.Store` in the file `path`, made at the first use (mode 0600).

    Every method raises sqlite3.Error or OSError when the file cannot be used, and works again when
    it can.
    """

    def __init__(self, path: Path) -> None:
        self._worker = Worker("sqlite-store", partial(_open, path))

    async def put(self, records: Sequence[AnyRecord]) -> None:
        """Write records; writing one twice changes nothing, a lower `seq` never overwrites.

        Raises RecordsRefused for those that can never be stored, when the others are; after any
        other error none is, and trying again is right.
        """
        refused = await self._worker.run(lambda file: put(file, records))
        if refused:
            raise RecordsRefused(refused)

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is, None when nobody has it."""
        return await self._worker.run(lambda file: owner(file, conversation_id))

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty when nobody has the conversation."""
        return await self._worker.run(lambda file: transcript(file, conversation_id))

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """Micro-dollars that an agent's calls cost on a UTC day, one user's alone where named."""
        return await self._worker.run(lambda f: sqlite_usage.spent(f, day, agent_id, user_id))

    async def learners(self, coach_id: str) -> frozenset[str]:
        """The users whose conversations this coach may follow."""
        return await self._worker.run(lambda file: sqlite_coaches.learners(file, coach_id))

    async def conversations(
        self, users: Collection[str] | None, limit: int
    ) -> Sequence[ConversationSummary]:
        """The conversations of these users (None: of all) that were active last, newest first."""
        return await self._worker.run(lambda f: sqlite_coaches.conversations(f, users, limit))

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when it was so before."""
        return await self._worker.run(lambda f: sqlite_coaches.assign(f, coach_id, learner_id))

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Let it be over; False when it was not so."""
        return await self._worker.run(lambda f: sqlite_coaches.unassign(f, coach_id, learner_id))

    async def recent(self, limit: int) -> Sequence[SessionRow]:
        """The conversations that were active last, newest first."""
        return await self._worker.run(lambda file: recent(file, limit))

    async def aclose(self) -> None:
        """Finish what was asked and let go of the file."""
        await self._worker.aclose()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = open_database(path)
    try:
        connection.row_factory = sqlite3.Row
        connection.executescript(SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
