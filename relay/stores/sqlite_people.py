"""Forgetting, telling and erasing in the embedded store's file, until no byte of it is left."""

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
from relay.stores.sqlite_forgetting import empty_log, erase, forget
from relay.stores.sqlite_schema import SCHEMA
from relay.stores.worker import Worker

DAY_SECONDS: Final = 86_400
_JSON: Final = ("session_state", "content", "metadata", "context", "details")
_PARTS: Final = {
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
_WORDS: Final = "SELECT * FROM chat_messages_v2 WHERE conversation_id = ? ORDER BY created_at, id"


def _now() -> float:
    return datetime.now(UTC).timestamp()


class SqlitePeople:
    """A `relay.stores.people.People` in the file of a `SqliteStore`; `now` is in Unix seconds.

    Every method raises FileNotFoundError where there is no such file, sqlite3.Error where it
    cannot be used: also when another program reads it, since its log would keep the words.
    """

    def __init__(self, path: Path, now: Callable[[], float] = _now) -> None:
        self._worker = Worker("sqlite-people", partial(_open, path))
        self._now = now

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget words of calls that are older; returns how many utterances it was."""
        before = timestamp(self._now() - days * DAY_SECONDS)
        return await self._worker.run(lambda file: forget(file, before, mode))

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """All that is kept about one person, as `voice_export` of `supabase/migrations` has it."""
        at = timestamp(self._now())
        return await self._worker.run(lambda file: _export(file, user_id, at))

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns how many rows of each kind it was."""
        return await self._worker.run(lambda file: _erase(file, user_id))

    async def aclose(self) -> None:
        """Let go of the file."""
        await self._worker.aclose()


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(path)
    connection = open_database(path)
    try:
        connection.row_factory = sqlite3.Row
        connection.executescript(SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _erase(connection: sqlite3.Connection, user_id: str) -> dict[str, int]:
    counts = erase(connection, user_id)
    connection.execute("VACUUM")  # the file is written anew, without what pages had kept
    empty_log(connection)
    return counts


def _export(connection: sqlite3.Connection, user_id: str, at: str) -> dict[str, Any]:
    """Everything at one moment."""
    with transaction(connection):
        conversations = [
            talk | {"messages": _plain(connection.execute(_WORDS, (talk["conversation_id"],)))}
            for talk in _plain(connection.execute(_CONVERSATIONS, (user_id,)))
        ]
        parts = {n: _plain(connection.execute(q, (user_id,))) for n, q in _PARTS.items()}
    return {"user_id": user_id, "exported_at": at, "conversations": conversations, **parts}


def _plain(rows: Iterable[sqlite3.Row]) -> list[dict[str, Any]]:
    """Rows as JSON: what is JSON in a column is so here, too."""
    return [
        {name: json.loads(row[name]) if name in _JSON else row[name] for name in row.keys()}  # noqa: SIM118
        for row in rows
    ]
