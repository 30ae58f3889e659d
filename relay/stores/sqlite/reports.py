"""Reads the embedded store from another process while a relay writes it: transcripts and usage."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from relay.realtime.records import Record
from relay.stores.costs import CallTime, GroupBy, SessionUsage, UsageReport, usage_report
from relay.stores.rows import day_number, iso_day, read_usage, seconds
from relay.stores.sqlite import store
from relay.stores.worker import Worker

POLL_SECONDS: Final = 0.2
"""Between two looks at the file's change counter, which cost microseconds."""

_HAS_TABLES: Final = "SELECT 1 FROM sqlite_master WHERE name = 'chat_messages_v2'"
_HAS_USAGE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'voice_usage'"
_RECENT: Final = """
SELECT conversation_id FROM conversation_sessions ORDER BY last_active DESC, conversation_id LIMIT ?
"""
_CALLS: Final = """
SELECT id AS session, user_id AS user, agent_id AS agent, started_at, ended_at
FROM voice_sessions WHERE coalesce(ended_at, started_at) >= :since ORDER BY started_at, id
"""
_USAGE: Final = "SELECT * FROM voice_usage WHERE day >= :since ORDER BY day, id"


async def _pause() -> None:
    await asyncio.sleep(POLL_SECONDS)


class SqliteReader:
    """Reads the file of a `SqliteStore` and never changes it.

    Every method raises FileNotFoundError while there is no such file, sqlite3.Error when it cannot
    be read.
    """

    def __init__(self, path: Path) -> None:
        self._worker = Worker("sqlite-reader", partial(_open, path))

    async def recent(self, limit: int) -> Sequence[str]:
        """The ids of the most recently active conversations, newest first."""
        rows = await self._worker.run(lambda file: file.execute(_RECENT, (limit,)).fetchall())
        return [row["conversation_id"] for row in rows]

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty where the conversation is unknown."""
        return await self._worker.run(lambda file: store.transcript(file, conversation_id))

    async def costs(self, by: GroupBy, since: int) -> UsageReport:
        """Usage and costs from a UTC day (since 1970) on."""
        return await self._worker.run(lambda file: _costs(file, by, since))

    async def follow(
        self, conversation_id: str, pause: Callable[[], Awaitable[None]] = _pause
    ) -> AsyncIterator[Record]:
        """What was said so far, then what is stored from now on, without an end.

        A correction comes as the same record with a higher `seq`. Each look yields what is new in
        conversation order, so a late record may belong before earlier ones.
        """
        shown: dict[str, int] = {}
        version = None
        while True:
            latest = await self._worker.run(_data_version)
            if latest != version:
                version = latest
                for record in await self.transcript(conversation_id):
                    if shown.get(record.id, 0) < record.seq:
                        shown[record.id] = record.seq
                        yield record
            await pause()

    async def aclose(self) -> None:
        """Close the file."""
        await self._worker.aclose()


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    if connection.execute(_HAS_TABLES).fetchone() is None:  # the store is creating its tables
        connection.close()
        raise FileNotFoundError(path)
    return connection


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection commits."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _costs(connection: sqlite3.Connection, by: GroupBy, since: int) -> UsageReport:
    """Sums from a UTC day on, with both tables read at one moment."""
    if connection.execute(_HAS_USAGE).fetchone() is None:  # the file of an earlier relay
        return usage_report(by, since, (), ())
    connection.execute("BEGIN")
    try:
        return usage_report(by, since, _calls(connection, since), _usage(connection, since))
    finally:
        connection.execute("ROLLBACK")


def _calls(connection: sqlite3.Connection, since: int) -> Iterator[CallTime]:
    for row in connection.execute(_CALLS, {"since": iso_day(since)}):
        times = {name: row[name] and seconds(row[name]) for name in ("started_at", "ended_at")}
        yield CallTime(**(dict(row) | times))


def _usage(connection: sqlite3.Connection, since: int) -> Iterator[SessionUsage]:
    for row in connection.execute(_USAGE, {"since": iso_day(since)}):
        yield SessionUsage(
            session=row["voice_session_id"],
            user=row["user_id"],
            agent=row["agent_id"],
            day=day_number(row["day"]),
            model=row["model"],
            usage=read_usage(dict(row)),
            micro=row["cost_micro"],
        )
