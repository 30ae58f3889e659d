"""The embedded store: S3's tables in one SQLite file, with nothing to install or to run."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from relay.realtime.utterance import Record
from relay.stores import sqlite_tables
from relay.stores.database import open_database
from relay.stores.refused import RecordsRefused
from relay.stores.sqlite_tables import Conversation
from relay.stores.worker import Worker


class SqliteStore:
    """A `relay.interfaces.Store` in the file `path`, made at the first use (mode 0600).

    Every method raises sqlite3.Error or OSError when the file cannot be used, and works again when
    it can.
    """

    def __init__(self, path: Path) -> None:
        self._worker = Worker("sqlite-store", partial(_open, path))

    async def put(self, records: Sequence[Record]) -> None:
        """Write records; writing one twice changes nothing, a lower `seq` never overwrites.

        Raises RecordsRefused for those that can never be stored, when the others are; after any
        other error none is, and trying again is right.
        """
        refused = await self._worker.run(lambda file: sqlite_tables.put(file, records))
        if refused:
            raise RecordsRefused(refused)

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is, None when nobody has it."""
        return await self._worker.run(lambda file: sqlite_tables.owner(file, conversation_id))

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty when nobody has the conversation."""
        return await self._worker.run(lambda file: sqlite_tables.transcript(file, conversation_id))

    async def recent(self, limit: int) -> Sequence[Conversation]:
        """The conversations that were active last, newest first."""
        return await self._worker.run(lambda file: sqlite_tables.recent(file, limit))

    async def aclose(self) -> None:
        """Finish what was asked and let go of the file."""
        await self._worker.aclose()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = open_database(path)
    try:
        connection.row_factory = sqlite3.Row
        connection.executescript(sqlite_tables.SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
