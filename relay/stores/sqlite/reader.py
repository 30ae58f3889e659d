"""Reading the embedded store from another process while the relay writes it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from relay.realtime.records import Record
from relay.stores.costs import By, UsageReport
from relay.stores.sqlite import reports as sqlite_usage
from relay.stores.sqlite import store as sqlite_tables
from relay.stores.sqlite.store import SessionRow
from relay.stores.worker import Worker

_TABLES = "SELECT 1 FROM sqlite_master WHERE name = 'chat_messages_v2'"
LOOK_AGAIN_AFTER = 0.2
"""Seconds between two looks at the file's change counter, which costs microseconds."""


async def _pause() -> None:
    await asyncio.sleep(LOOK_AGAIN_AFTER)


class SqliteReader:
    """Looks into the file of a `SqliteStore`, never changes it.

    Every method raises FileNotFoundError when there is no such file yet, sqlite3.Error when it
    cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._worker = Worker("sqlite-reader", partial(_open, path))

    async def recent(self, limit: int) -> Sequence[SessionRow]:
        """The conversations that were active last, newest first."""
        return await self._worker.run(lambda file: sqlite_tables.recent(file, limit))

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty when nobody has the conversation."""
        return await self._worker.run(lambda file: sqlite_tables.transcript(file, conversation_id))

    async def costs(self, by: By, since: int) -> UsageReport:
        """What calls used and cost from a UTC day (counted since 1970) on."""
        return await self._worker.run(lambda file: sqlite_usage.costs(file, by, since))

    async def follow(
        self, conversation_id: str, pause: Callable[[], Awaitable[None]] = _pause
    ) -> AsyncIterator[Record]:
        """What was said so far, then what is stored from now on, without an end.

        A correction comes as the same record with a higher `seq`. Each look gives what is new in
        conversation order, so something late may belong before what was given already.
        """
        shown: dict[str, int] = {}
        version = None
        while True:
            latest = await self._worker.run(_data_version)
            if latest != version:
                version = latest
                for record in await self.transcript(conversation_id):
                    if shown.get(record.id, 0) < record.utterance.seq:
                        shown[record.id] = record.utterance.seq
                        yield record
            await pause()

    async def aclose(self) -> None:
        """Let go of the file."""
        await self._worker.aclose()


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    if connection.execute(_TABLES).fetchone() is None:  # the store is just making its tables
        connection.close()
        raise FileNotFoundError(path)
    return connection


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection commits."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
