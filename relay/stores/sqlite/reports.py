"""What calls used and cost, and the calls themselves, in the embedded store's tables."""

import json
import sqlite3
from collections.abc import Collection, Iterator
from datetime import date
from typing import Any, Final

from relay.interfaces import ConversationSummary
from relay.realtime.billing.usage import Usage
from relay.realtime.records import ActionRecord, SessionRecord, UsageRecord
from relay.stores.costs import By, ToolCalls, UsageReport, UsedTokens, report
from relay.stores.database import transaction
from relay.stores.rows import action_row, iso_day, seconds, session_row, usage_row


def _upsert(table: str, row: dict[str, Any]) -> str:
    """A row that is new, or a newer version of one that is there."""
    values = ", ".join(f":{name}" for name in row)
    changes = ", ".join(f"{name} = excluded.{name}" for name in row if name != "id")
    return (
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"  # noqa: S608 - our own names
        f" ON CONFLICT (id) DO UPDATE SET {changes} WHERE excluded.seq > {table}.seq"
    )


_SPENT: Final = """
SELECT coalesce(sum(cost_micro), 0) FROM voice_usage
WHERE day = :day AND agent_id = :agent AND (:user IS NULL OR user_id = :user)
"""
_CALLS: Final = """
SELECT id AS session, user_id AS user, agent_id AS agent, started_at, ended_at
FROM voice_sessions WHERE coalesce(ended_at, started_at) >= :since ORDER BY started_at, id
"""
_USED: Final = "SELECT * FROM voice_usage WHERE day >= :since ORDER BY day, id"
_THERE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'voice_usage'"
_EPOCH: Final = date(1970, 1, 1)


def put_usage(connection: sqlite3.Connection, record: UsageRecord) -> None:
    """Write what one model used; raises sqlite3.IntegrityError for what no row can be."""
    row = usage_row(record)
    connection.execute(_upsert("voice_usage", row), row)


def put_session(connection: sqlite3.Connection, record: SessionRecord) -> None:
    """Write a call that began or has ended; raises sqlite3.IntegrityError as `put_usage`."""
    row = session_row(record)
    connection.execute(_upsert("voice_sessions", row), row)


def spent(connection: sqlite3.Connection, day: int, agent_id: str, user_id: str | None) -> int:
    """Micro-dollars on a UTC day; models without a price count nothing."""
    asked = {"day": iso_day(day), "agent": agent_id, "user": user_id}
    return int(connection.execute(_SPENT, asked).fetchone()[0])


def costs(connection: sqlite3.Connection, by: By, since: int) -> UsageReport:
    """Sums from a UTC day on, as `stores.costs.report` says them; both tables at one moment."""
    if connection.execute(_THERE).fetchone() is None:  # the file of an earlier relay
        return report(by, since, (), ())
    connection.execute("BEGIN")
    try:
        return report(by, since, _calls(connection, since), _used(connection, since))
    finally:
        connection.execute("ROLLBACK")


def _calls(connection: sqlite3.Connection, since: int) -> Iterator[ToolCalls]:
    for row in connection.execute(_CALLS, {"since": iso_day(since)}):
        times = {name: row[name] and seconds(row[name]) for name in ("started_at", "ended_at")}
        yield ToolCalls(**(dict(row) | times))


def _used(connection: sqlite3.Connection, since: int) -> Iterator[UsedTokens]:
    for row in connection.execute(_USED, {"since": iso_day(since)}):
        yield UsedTokens(
            session=row["voice_session_id"],
            user=row["user_id"],
            agent=row["agent_id"],
            day=(date.fromisoformat(row["day"]) - _EPOCH).days,
            model=row["model"],
            usage=Usage(**{name: row[name] for name in Usage.__struct_fields__}),
            micro=row["cost_micro"],
        )


# ---- Whom coaches may follow, what there is to read, and what they did; in the embedded tables.

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
) -> list[ConversationSummary]:
    """The conversations of these users (None: of all) that were active last, newest first."""
    named = None if users is None else json.dumps(sorted(users))
    rows = connection.execute(_CONVERSATIONS, (named, named, limit)).fetchall()
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
