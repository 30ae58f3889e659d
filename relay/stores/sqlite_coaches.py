"""Whom coaches may follow, what there is to read, and what they did; in the embedded tables."""

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from relay.interfaces import Talk
from relay.realtime.records import ActionRecord
from relay.stores.database import transaction
from relay.stores.rows import action_row, seconds

_ASSIGN: Final = "INSERT INTO coach_assignments VALUES (?, ?) ON CONFLICT DO NOTHING"
_PUT_ACTION: Final = """
INSERT INTO coach_actions (id, session_id, conversation_id, coach_id, action, details, at)
VALUES (:id, :session_id, :conversation_id, :coach_id, :action, :details, :at)
ON CONFLICT (id) DO NOTHING
"""
_CONVERSATIONS: Final = """
SELECT conversation_id, user_id, agent_id, started_at, last_active, message_count
FROM conversation_sessions
WHERE user_id IS NOT NULL AND (? IS NULL OR user_id IN (SELECT value FROM json_each(?)))
ORDER BY last_active DESC, conversation_id LIMIT ?
"""
_UNASSIGN: Final = "DELETE FROM coach_assignments WHERE coach_id = ? AND learner_id = ?"


def learners(connection: sqlite3.Connection, coach_id: str) -> frozenset[str]:
    """The users whose conversations this coach may follow."""
    query = "SELECT learner_id FROM coach_assignments WHERE coach_id = ?"
    return frozenset(row[0] for row in connection.execute(query, (coach_id,)).fetchall())


def conversations(
    connection: sqlite3.Connection, users: Collection[str] | None, limit: int
) -> list[Talk]:
    """The conversations of these users (None: of all) that were active last, newest first."""
    named = None if users is None else json.dumps(sorted(users))
    rows = connection.execute(_CONVERSATIONS, (named, named, limit)).fetchall()
    return [
        Talk(
            conversation_id=row["conversation_id"],
            user_id=row["user_id"],
            agent_id=row["agent_id"] or "",
            started_at=seconds(row["started_at"]),
            last_active=seconds(row["last_active"]),
            message_count=row["message_count"],
        )
        for row in rows
    ]


def assign(connection: sqlite3.Connection, coach_id: str, learner_id: str) -> bool:
    """Let this coach follow that learner; False when it was so before."""
    with transaction(connection):
        return connection.execute(_ASSIGN, (coach_id, learner_id)).rowcount == 1


def unassign(connection: sqlite3.Connection, coach_id: str, learner_id: str) -> bool:
    """Let it be over; False when it was not so."""
    with transaction(connection):
        return connection.execute(_UNASSIGN, (coach_id, learner_id)).rowcount == 1


def put_action(connection: sqlite3.Connection, record: ActionRecord) -> None:
    """Write what a coach did; raises sqlite3.IntegrityError for what no row can be."""
    row = action_row(record)
    details = json.dumps(row["details"], ensure_ascii=False)
    connection.execute(_PUT_ACTION, row | {"details": details})
