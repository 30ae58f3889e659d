"""The embedded store: all tables in one SQLite file, with nothing to install or run."""

import errno
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from relay.interfaces import CONSTRAINT, FOREIGN_CONVERSATION, ConversationSummary, RecordsRefused
from relay.realtime.records import (
    ActionRecord,
    AnyRecord,
    Record,
    SessionHead,
    SessionRecord,
    UsageRecord,
)
from relay.stores.database import FileIdentity, file_identity, open_database, transaction
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
from relay.stores.sqlite.schema import NOW, create_tables
from relay.stores.worker import Worker

_ADD_CONVERSATION: Final = """
INSERT INTO conversation_sessions (id, conversation_id, user_id, agent_id, title, started_at,
    last_active, session_state, status)
VALUES (:id, :conversation_id, :user_id, :agent_id, :title, :started_at,
    :last_active, :session_state, :status)
ON CONFLICT (conversation_id) DO NOTHING
"""
_PUT_MESSAGE: Final = f"""
INSERT INTO chat_messages_v2 (id, conversation_id, session_id, sender_user_id, sender_agent_id,
    role, content, metadata, created_at)
VALUES (:id, :conversation_id, :session_id, :sender_user_id, :sender_agent_id,
    :role, :content, :metadata, :created_at)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, metadata = excluded.metadata,
    created_at = excluded.created_at, updated_at = {NOW}
WHERE json_extract(excluded.metadata, '$.seq') > json_extract(chat_messages_v2.metadata, '$.seq')
"""  # noqa: S608 - made of constants
_PUT_ACTION: Final = """
INSERT INTO coach_actions (id, session_id, conversation_id, coach_id, action, details, at)
VALUES (:id, :session_id, :conversation_id, :coach_id, :action, :details, :at)
ON CONFLICT (id) DO NOTHING
"""
_TRANSCRIPT: Final = """
SELECT m.id, m.conversation_id, m.sender_agent_id, m.sender_user_id, m.role, m.content,
    m.metadata, m.created_at, c.user_id
FROM chat_messages_v2 m JOIN conversation_sessions c USING (conversation_id)
WHERE m.conversation_id = ?
ORDER BY json_extract(m.metadata, '$.session_started_at'),
    json_extract(m.metadata, '$.voice_session_id'),
    json_extract(m.metadata, '$.position'), json_extract(m.metadata, '$.content_index')
"""
_SPENT: Final = """
SELECT coalesce(sum(cost_micro), 0) FROM voice_usage
WHERE day = :day AND agent_id = :agent AND (:user IS NULL OR user_id = :user)
"""
_LEARNERS: Final = "SELECT learner_id FROM coach_assignments WHERE coach_id = ?"
_CONVERSATIONS: Final = """
SELECT conversation_id, user_id, agent_id, started_at, last_active, message_count
FROM conversation_sessions
WHERE user_id IS NOT NULL AND (? IS NULL OR user_id IN (SELECT value FROM json_each(?)))
ORDER BY last_active DESC, conversation_id LIMIT ?
"""
_ASSIGN: Final = "INSERT INTO coach_assignments VALUES (?, ?) ON CONFLICT DO NOTHING"
_UNASSIGN: Final = "DELETE FROM coach_assignments WHERE coach_id = ? AND learner_id = ?"


class SqliteStore:
    """A `relay.interfaces.Store` in the file `path`, created at the first use (mode 0600).

    Every method raises sqlite3.Error or OSError when the file cannot be used, and works again when
    it can. Once the file was deleted or replaced nothing more is put into it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: FileIdentity | None = None
        self._worker = Worker("sqlite-store", self._open)

    async def put(self, records: Sequence[AnyRecord]) -> None:
        """Write records; writing one twice changes nothing, a lower `seq` never overwrites.

        Raises RecordsRefused for those that can never be stored, once the others are stored; after
        any other error none is, and the call may be repeated.
        """
        refused = await self._worker.run(lambda file: self._put(file, records))
        if refused:
            raise RecordsRefused(refused)

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is; None where it is unknown."""
        return await self._worker.run(lambda file: owner(file, conversation_id))

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty where the conversation is unknown."""
        return await self._worker.run(lambda file: transcript(file, conversation_id))

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """Micro-dollars an agent's calls cost on a UTC day (since 1970), of one user if given."""
        return await self._worker.run(lambda file: spent(file, day, agent_id, user_id))

    async def learners(self, coach_id: str) -> frozenset[str]:
        """The users whose conversations this coach may follow."""
        rows = await self._worker.run(lambda f: f.execute(_LEARNERS, (coach_id,)).fetchall())
        return frozenset(row["learner_id"] for row in rows)

    async def conversations(
        self, users: Collection[str] | None, limit: int
    ) -> Sequence[ConversationSummary]:
        """The conversations of these users (None: of all), the most recently active first."""
        return await self._worker.run(lambda file: conversations(file, users, limit))

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when the coach already may."""
        return await self._worker.run(lambda file: _changed(file, _ASSIGN, coach_id, learner_id))

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Withdraw an assignment; False when there is none."""
        return await self._worker.run(lambda file: _changed(file, _UNASSIGN, coach_id, learner_id))

    async def aclose(self) -> None:
        """Finish the queued queries and close the file."""
        await self._worker.aclose()

    def _open(self) -> sqlite3.Connection:
        connection = _open(self._path)
        self._identity = file_identity(self._path)
        return connection

    def _put(self, file: sqlite3.Connection, records: Sequence[AnyRecord]) -> dict[str, str]:
        if file_identity(self._path) != self._identity:
            raise FileNotFoundError(errno.ENOENT, "deleted while it was open", str(self._path))
        return put(file, records)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = open_database(path)
    try:
        connection.row_factory = sqlite3.Row
        create_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def put(connection: sqlite3.Connection, records: Sequence[AnyRecord]) -> dict[str, str]:
    """Write records in one transaction; returns the reasons of those refused, by record id."""
    with transaction(connection):
        batch = _Batch(connection)
        for record in records:
            batch.put(record)
        batch.drop_empty_conversations()
    return batch.refused


def owner(connection: sqlite3.Connection, conversation_id: str) -> str | None:
    """The user whose conversation this is."""
    row = _conversation(connection, conversation_id)
    return row["user_id"] if row else None


def transcript(connection: sqlite3.Connection, conversation_id: str) -> list[Record]:
    """A conversation's records: sessions by their start, utterances by their position."""
    rows = connection.execute(_TRANSCRIPT, (conversation_id,)).fetchall()
    return [record_from_row(_parsed(row), row["user_id"]) for row in rows]


def spent(connection: sqlite3.Connection, day: int, agent_id: str, user_id: str | None) -> int:
    """Micro-dollars on a UTC day; models without a price count as 0."""
    values = {"day": iso_day(day), "agent": agent_id, "user": user_id}
    return int(connection.execute(_SPENT, values).fetchone()[0])


def conversations(
    connection: sqlite3.Connection, users: Collection[str] | None, limit: int
) -> list[ConversationSummary]:
    """The conversations of these users (None: of all), the most recently active first."""
    listed = None if users is None else json.dumps(sorted(users))
    rows = connection.execute(_CONVERSATIONS, (listed, listed, limit)).fetchall()
    return [
        ConversationSummary(
            conversation_id=row["conversation_id"],
            user_id=row["user_id"],
            agent_id=row["agent_id"] or "",
            started_at=seconds(row["started_at"]),
            last_active=seconds(row["last_active"]),
            message_count=row["message_count"],
        )
        for row in rows
    ]


def _changed(connection: sqlite3.Connection, statement: str, *values: str) -> bool:
    """Run a statement; returns whether it changed one row."""
    with transaction(connection):
        return connection.execute(statement, values).rowcount == 1


_WithoutWords = TypeVar("_WithoutWords", UsageRecord, SessionRecord)


class _Batch:
    """Writes records into the tables within an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._conversations: dict[str, sqlite3.Row] = {}
        self._created: list[str] = []
        self.refused: dict[str, str] = {}

    def put(self, record: AnyRecord) -> None:
        """Write one record, or add the reason why not to `refused`."""
        try:
            if isinstance(record, UsageRecord):
                self._put_row("voice_usage", record, usage_row)
            elif isinstance(record, SessionRecord):
                self._put_row("voice_sessions", record, session_row)
            elif isinstance(record, ActionRecord):
                self._connection.execute(_PUT_ACTION, _for_sqlite(action_row(record)))
            else:
                self._put_utterance(record)
        except sqlite3.IntegrityError:
            self.refused[record.id] = CONSTRAINT

    def drop_empty_conversations(self) -> None:
        """Delete the conversations created for records that were then refused."""
        if self.refused:
            query = "DELETE FROM conversation_sessions WHERE id = ? AND message_count = 0"
            self._connection.executemany(query, [(key,) for key in self._created])

    def _put_utterance(self, record: Record) -> None:
        """Write an utterance, and its conversation if there is none."""
        said = record.utterance
        has_failed = said.state == "failed"  # something was said, and nobody knows what
        if not said.text and not has_failed and not _exists(self._connection, record.id):
            return  # S3-38: an empty utterance creates no row
        conversation = self._conversation_of(record.head)
        if conversation["user_id"] != record.head.user_id:
            self.refused[record.id] = FOREIGN_CONVERSATION
        else:
            row = _for_sqlite(message_row(record, conversation["id"]))
            self._connection.execute(_PUT_MESSAGE, row)

    def _put_row(
        self, table: str, record: _WithoutWords, row_of: Callable[[_WithoutWords], dict[str, Any]]
    ) -> None:
        """Usage and sessions create no conversation, and need none."""
        conversation = _conversation(self._connection, record.head.conversation_id)
        if conversation is not None and conversation["user_id"] != record.head.user_id:
            self.refused[record.id] = FOREIGN_CONVERSATION
        else:
            row = row_of(record)
            self._connection.execute(_upsert(table, row), row)

    def _conversation_of(self, head: SessionHead) -> sqlite3.Row:
        known = self._conversations.get(head.conversation_id)
        if known is None:
            row = conversation_row(head)
            if self._connection.execute(_ADD_CONVERSATION, _for_sqlite(row)).rowcount:
                self._created.append(row["id"])
            known = _conversation(self._connection, head.conversation_id)
            assert known is not None  # noqa: S101 - it was added just now
            self._conversations[head.conversation_id] = known
        return known


def _upsert(table: str, row: Mapping[str, Any]) -> str:
    """Insert a row, or replace an older version of it."""
    values = ", ".join(f":{name}" for name in row)
    changes = ", ".join(f"{name} = excluded.{name}" for name in row if name != "id")
    return (
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"  # noqa: S608 - our own names
        f" ON CONFLICT (id) DO UPDATE SET {changes} WHERE excluded.seq > {table}.seq"
    )


def _exists(connection: sqlite3.Connection, message_id: str) -> bool:
    query = "SELECT 1 FROM chat_messages_v2 WHERE id = ?"
    return connection.execute(query, (message_id,)).fetchone() is not None


def _conversation(connection: sqlite3.Connection, conversation_id: str) -> sqlite3.Row | None:
    query = "SELECT id, user_id FROM conversation_sessions WHERE conversation_id = ?"
    row: sqlite3.Row | None = connection.execute(query, (conversation_id,)).fetchone()
    return row


def _for_sqlite(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its JSON columns as text."""
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        for name, value in row.items()
    }


def _parsed(row: sqlite3.Row) -> dict[str, Any]:
    message = dict(row)
    return message | {name: json.loads(message[name]) for name in ("content", "metadata")}
