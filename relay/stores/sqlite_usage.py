"""What calls used and cost, and the calls themselves, in the embedded store's tables."""

import sqlite3
from typing import Any, Final

from relay.realtime.records import SessionRecord, UsageRecord
from relay.stores.rows import iso_day, session_row, usage_row


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
