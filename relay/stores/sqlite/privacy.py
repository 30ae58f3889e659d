"""Retention, export and erasure in the embedded store's file, until no byte of it is left."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from relay.interfaces import Mode
from relay.stores.database import open_database, transaction
from relay.stores.rows import timestamp
from relay.stores.sqlite.schema import NOW, create_tables
from relay.stores.worker import Worker

DAY_SECONDS: Final = 86_400
AT_ONCE: Final = 10_000
"""Utterances of one transaction: a relay that runs beside it waits no longer than for these."""
_JSON_COLUMNS: Final = ("session_state", "content", "metadata", "context", "details")

_OLD: Final = """
SELECT rowid, conversation_id FROM chat_messages_v2
WHERE created_at < ? AND json_extract(metadata, '$.voice_session_id') IS NOT NULL LIMIT ?
"""
_REDACT: Final = f"""
UPDATE chat_messages_v2 SET content = json_set(content, '$.text', ''), updated_at = {NOW},
    metadata = json_set(json_remove(metadata, '$.full_text'), '$.heard_text', '',
        '$.redacted', json('true'))
WHERE rowid IN (
    SELECT rowid FROM chat_messages_v2
    WHERE created_at < ? AND json_extract(metadata, '$.voice_session_id') IS NOT NULL
        AND json_extract(metadata, '$.redacted') IS NULL LIMIT ?
)
"""  # noqa: S608 - made of constants
_DELETABLE: Final = """
SELECT count(*) FROM chat_messages_v2
WHERE created_at < ? AND json_extract(metadata, '$.voice_session_id') IS NOT NULL
"""
_COUNT_OLD: Final[Mapping[Mode, str]] = {
    "delete": _DELETABLE,
    "redact": f"{_DELETABLE} AND json_extract(metadata, '$.redacted') IS NULL",
}
_RECOUNT: Final = """
UPDATE conversation_sessions SET message_count = (
    SELECT count(*) FROM chat_messages_v2 m
    WHERE m.conversation_id = conversation_sessions.conversation_id
) WHERE conversation_id = ?
"""
_DROP_EMPTY: Final = """
DELETE FROM conversation_sessions WHERE conversation_id = ? AND message_count = 0
    AND json_extract(session_state, '$.started_via') = 'realtime_voice'
"""
_ERASE: Final = {
    "coach_actions_of_others": """
        UPDATE coach_actions SET details = '{}', conversation_id = NULL
        WHERE conversation_id IN
                (SELECT conversation_id FROM conversation_sessions WHERE user_id = ?1)
            OR session_id IN (SELECT id FROM voice_sessions WHERE user_id = ?1)
    """,
    "coach_actions": "UPDATE coach_actions SET coach_id = NULL WHERE coach_id = ?1",
    "messages": """
        DELETE FROM chat_messages_v2 WHERE json_extract(metadata, '$.voice_session_id') IS NOT NULL
            AND conversation_id IN
                (SELECT conversation_id FROM conversation_sessions WHERE user_id = ?1)
    """,
    "messages_to_others": """
        UPDATE chat_messages_v2 SET sender_user_id = NULL,
            sender_agent_id = (SELECT agent_id FROM conversation_sessions c
                WHERE c.conversation_id = chat_messages_v2.conversation_id),
            metadata = json_set(metadata, '$.sender_erased', json('true'))
        WHERE sender_user_id = ?1 AND json_extract(metadata, '$.voice_session_id') IS NOT NULL
    """,
    "calls": "DELETE FROM voice_sessions WHERE user_id = ?1",
    "usage": """
        UPDATE voice_usage SET user_id = '', conversation_id = '', voice_session_id = ''
        WHERE user_id = ?1
    """,
    "assignments": "DELETE FROM coach_assignments WHERE ?1 IN (coach_id, learner_id)",
}
_UNREPORTED: Final = ("coach_actions_of_others", "messages_to_others")
_CONVERSATIONS_OF: Final = "SELECT conversation_id FROM conversation_sessions WHERE user_id = ?"
_EXPORTED: Final = {
    "calls": "SELECT * FROM voice_sessions WHERE user_id = ? ORDER BY started_at, id",
    "usage": "SELECT * FROM voice_usage WHERE user_id = ? ORDER BY day, id",
    "assignments": "SELECT * FROM coach_assignments WHERE ? IN (coach_id, learner_id)",
    "said_elsewhere": """
        SELECT m.* FROM chat_messages_v2 m JOIN conversation_sessions c USING (conversation_id)
        WHERE m.sender_user_id = ?1 AND c.user_id IS NOT ?1 ORDER BY m.created_at, m.id
    """,
    "coach_actions": """
        SELECT * FROM coach_actions WHERE coach_id = ?1
            OR session_id IN (SELECT id FROM voice_sessions WHERE user_id = ?1) ORDER BY at, id
    """,
}
_CONVERSATIONS: Final = "SELECT * FROM conversation_sessions WHERE user_id = ? ORDER BY started_at"
_MESSAGES: Final = (
    "SELECT * FROM chat_messages_v2 WHERE conversation_id = ? ORDER BY created_at, id"
)


def _now() -> float:
    return datetime.now(UTC).timestamp()


class SqlitePrivacy:
    """A `relay.interfaces.PrivacyStore` in the file of a `SqliteStore`; `now` gives Unix seconds.

    Every method raises FileNotFoundError where there is no such file, sqlite3.Error where it
    cannot be used: also when another process reads it, since the write-ahead log would keep the
    text.
    """

    def __init__(self, path: Path, now: Callable[[], float] = _now) -> None:
        self._worker = Worker("sqlite-privacy", partial(_open, path))
        self._now = now

    async def count_old(self, days: int, mode: Mode) -> int:
        """Return how many utterances `forget` would forget."""
        before = timestamp(self._now() - days * DAY_SECONDS)
        return await self._worker.run(lambda file: _count(file, _COUNT_OLD[mode], before))

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget the utterances of calls older than `days`; returns how many there were."""
        before = timestamp(self._now() - days * DAY_SECONDS)
        return await self._worker.run(lambda file: forget(file, before, mode))

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """Everything stored about one person, in the shape of the project's `voice_export`."""
        at = timestamp(self._now())
        return await self._worker.run(lambda file: _export(file, user_id, at))

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns the number of rows by kind."""
        return await self._worker.run(lambda file: _erase(file, user_id))

    async def aclose(self) -> None:
        """Close the file."""
        await self._worker.aclose()


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(path)
    connection = open_database(path)
    try:
        connection.row_factory = sqlite3.Row
        create_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _count(connection: sqlite3.Connection, query: str, before: str) -> int:
    return int(connection.execute(query, (before,)).fetchone()[0])


def _erase(connection: sqlite3.Connection, user_id: str) -> dict[str, int]:
    counts = erase(connection, user_id)
    connection.execute("VACUUM")  # rewrites the file without the unused parts of its pages
    empty_log(connection)
    return counts


def _export(connection: sqlite3.Connection, user_id: str, at: str) -> dict[str, Any]:
    """All tables, read at one moment."""
    with transaction(connection):
        conversations = [
            row | {"messages": _plain(connection.execute(_MESSAGES, (row["conversation_id"],)))}
            for row in _plain(connection.execute(_CONVERSATIONS, (user_id,)))
        ]
        parts = {n: _plain(connection.execute(q, (user_id,))) for n, q in _EXPORTED.items()}
    return {"user_id": user_id, "exported_at": at, "conversations": conversations, **parts}


def _plain(rows: Iterable[sqlite3.Row]) -> list[dict[str, Any]]:
    """Rows as JSON, with their JSON columns parsed."""
    return [
        {name: json.loads(row[name]) if name in _JSON_COLUMNS else row[name] for name in row.keys()}  # noqa: SIM118
        for row in rows
    ]


def forget(connection: sqlite3.Connection, before: str, mode: Mode) -> int:
    """Forget utterances before a time, also in the file's bytes; returns how many there were."""
    forgotten = 0
    while count := _forget_some(connection, before, mode):
        forgotten += count
    with transaction(connection):
        query = "UPDATE coach_actions SET details = '{}' WHERE at < ? AND details <> '{}'"
        connection.execute(query, (before,))
    empty_log(connection)
    return forgotten


def _forget_some(connection: sqlite3.Connection, before: str, mode: Mode) -> int:
    with transaction(connection):
        if mode == "redact":
            return connection.execute(_REDACT, (before, AT_ONCE)).rowcount
        old = connection.execute(_OLD, (before, AT_ONCE)).fetchall()
        delete = "DELETE FROM chat_messages_v2 WHERE rowid = ?"
        connection.executemany(delete, [(number,) for number, _ in old])
        _recount(connection, {conversation for _, conversation in old})
        return len(old)


def erase(connection: sqlite3.Connection, user_id: str) -> dict[str, int]:
    """Erase one person from every table; returns the number of rows by kind.

    Their usage stays without their id, for accounting, and so do their words as a coach in other
    users' conversations.
    """
    with transaction(connection):
        own = [row[0] for row in connection.execute(_CONVERSATIONS_OF, (user_id,)).fetchall()]
        counts = {n: connection.execute(q, (user_id,)).rowcount for n, q in _ERASE.items()}
        counts["conversations"] = _recount(connection, own)
    return {name: count for name, count in counts.items() if name not in _UNREPORTED}


def _recount(connection: sqlite3.Connection, conversations: Iterable[str]) -> int:
    """Count messages again, and delete empty conversations of calls; returns how many of those."""
    deleted = 0
    for conversation in conversations:
        connection.execute(_RECOUNT, (conversation,))
        deleted += connection.execute(_DROP_EMPTY, (conversation,)).rowcount
    return deleted


def empty_log(connection: sqlite3.Connection) -> None:
    """Truncate the write-ahead log, which holds older versions of pages; raises sqlite3.Error."""
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError(
            "another process is reading it; old text is still in its write-ahead log"
        )
