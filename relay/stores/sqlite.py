"""The embedded store: all tables in one SQLite file, with nothing to install or to run."""

import sqlite3
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from relay.interfaces import RecordsRefused, Talk
from relay.realtime.records import AnyRecord, Record
from relay.stores import sqlite_coaches, sqlite_tables, sqlite_usage
from relay.stores.database import open_database
from relay.stores.sqlite_schema import SCHEMA
from relay.stores.sqlite_tables import Conversation
from relay.stores.worker import Worker


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
        refused = await self._worker.run(lambda file: sqlite_tables.put(file, records))
        if refused:
            raise RecordsRefused(refused)

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is, None when nobody has it."""
        return await self._worker.run(lambda file: sqlite_tables.owner(file, conversation_id))

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty when nobody has the conversation."""
        return await self._worker.run(lambda file: sqlite_tables.transcript(file, conversation_id))

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """Micro-dollars that an agent's calls cost on a UTC day, one user's alone where named."""
        return await self._worker.run(lambda f: sqlite_usage.spent(f, day, agent_id, user_id))

    async def learners(self, coach_id: str) -> frozenset[str]:
        """The users whose conversations this coach may follow."""
        return await self._worker.run(lambda file: sqlite_coaches.learners(file, coach_id))

    async def conversations(self, users: Collection[str] | None, limit: int) -> Sequence[Talk]:
        """The conversations of these users (None: of all) that were active last, newest first."""
        return await self._worker.run(lambda f: sqlite_coaches.conversations(f, users, limit))

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when it was so before."""
        return await self._worker.run(lambda f: sqlite_coaches.assign(f, coach_id, learner_id))

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Let it be over; False when it was not so."""
        return await self._worker.run(lambda f: sqlite_coaches.unassign(f, coach_id, learner_id))

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
        connection.executescript(SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
