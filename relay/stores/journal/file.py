"""The journal's file: a locked folder with one SQLite database, used from one thread.

Every step of a statement gives up the interpreter's lock and has to win it back from a busy event
loop, up to 5 ms each time. So a batch goes in and out as one JSON array in one statement.
"""

import fcntl
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from relay.realtime.records import AnyRecord, Record, SessionRecord
from relay.stores.database import open_database, transaction

# ---- The journal's table and what is asked of it, as SQL; each batch is one JSON array.

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which records are delivered
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    taken_at REAL NOT NULL,                    -- Unix seconds, for the age of what waits
    user_id TEXT NOT NULL,
    conversation_id TEXT,                      -- of words; NULL: another kind of record
    aside TEXT,                                -- why it was set aside; NULL: waits for delivery
    body TEXT NOT NULL                         -- the record as JSON
);
CREATE INDEX IF NOT EXISTS waiting ON records (number) WHERE aside IS NULL;
CREATE INDEX IF NOT EXISTS said ON records (conversation_id, number)
    WHERE conversation_id IS NOT NULL;
"""

PUT: Final = """
INSERT INTO records (id, seq, taken_at, user_id, conversation_id, body)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
FROM json_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, body = excluded.body, aside = NULL,
    taken_at = excluded.taken_at,
    number = (
        SELECT latest.number + 1 FROM records AS latest
        WHERE latest.number >= records.number ORDER BY latest.number DESC LIMIT 1
    )
WHERE excluded.seq > records.seq
"""
"""A correction comes in its new place: who follows by `seq` must not see it before others."""

KNOWN: Final = """
SELECT count(*), count(aside) FILTER (WHERE seq < latest) FROM (
    SELECT json_extract(value, '$[0]') AS id, max(json_extract(value, '$[1]')) AS latest
    FROM json_each(?) GROUP BY 1
) CROSS JOIN records USING (id)
"""
"""How many of a batch's ids are there, and how many of those it brings back from aside."""

DELETE: Final = """
DELETE FROM records WHERE number IN (
    SELECT number FROM json_each(?)
    JOIN records ON records.id = json_extract(value, '$[0]') AND seq <= json_extract(value, '$[1]')
    WHERE aside IS NULL
)
"""

SET_ASIDE: Final = "UPDATE records SET aside = ? WHERE id = ? AND seq = ? AND aside IS NULL"

PENDING: Final = """
SELECT json_group_array(json_array(id, seq, body)) FROM (
    SELECT id, seq, body FROM records WHERE aside IS NULL ORDER BY number LIMIT ?
)
"""

SAID: Final = """
SELECT json_group_array(body) FROM (
    SELECT body FROM records WHERE conversation_id = ?
    ORDER BY number DESC LIMIT ?
)
"""
"""The latest words of a conversation, newest first, those among them that were set aside."""

OLDEST: Final = "SELECT taken_at FROM records WHERE aside IS NULL ORDER BY number LIMIT 1"
COUNT: Final = "SELECT count(*) - count(aside), count(aside) FROM records"
COUNT_OF: Final = COUNT + " WHERE user_id = ?"
DELETE_OF: Final = "DELETE FROM records WHERE user_id = ?"
TRY_AGAIN: Final = "UPDATE records SET aside = NULL WHERE aside IS NOT NULL"
EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"

FILE_NAME = "journal.sqlite"
LOCK_NAME = "lock"
SCHEMA_VERSION = 3
UNREADABLE = "unreadable"
"""Why a record was set aside whose bytes this version of the relay cannot read."""


class JournalInUse(Exception):  # noqa: N818 - the relay's words for its operator
    """Another process has this folder."""


class JournalDamaged(Exception):  # noqa: N818 - the relay's words for its operator
    """The file is not a journal that this relay can read."""


_Row = tuple[str, int, float, str, str | None, str]


@dataclass(frozen=True, slots=True)
class Tally:
    """What is on disk: records that wait, records set aside, and since when the oldest waits."""

    waiting: int
    set_aside: int
    oldest_at: float | None


class JournalFile:
    """Opens and locks `folder`; every method commits before it returns and blocks on the disk.

    The file never grows beyond `max_bytes` (its write-ahead log comes on top, some MiB): at the
    bound `commit` fails with sqlite3's SQLITE_FULL exactly as it would on a full disk, and works
    again when delivery has freed pages. What was set aside is tried again at the next opening.
    Raises JournalInUse, JournalDamaged, OSError, sqlite3.Error.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._lock = _lock(folder)
        self._decode = msgspec.json.Decoder(AnyRecord).decode
        self._decode_words = msgspec.json.Decoder(Record).decode
        self._waiting = self._aside = 0
        self._oldest_at: float | None = None
        try:
            self._connection = _open(folder / FILE_NAME, max_bytes)
            self._count()
        except BaseException:
            os.close(self._lock)
            raise

    def commit(self, batch: Sequence[tuple[AnyRecord, float]]) -> list[AnyRecord]:
        """Write records with the Unix time they were taken; returns those that cannot be written.

        A higher `seq` replaces a record that still waits, a repeat or a lower one changes nothing.
        """
        rows: list[_Row] = []
        unwritable: list[AnyRecord] = []
        for record, taken_at in batch:
            try:
                rows.append(_row(record, taken_at))
            except UnicodeEncodeError:  # half a surrogate pair is not text
                unwritable.append(record)
        if rows:
            self._put(rows)
        return unwritable

    def pending(self, limit: int) -> list[AnyRecord]:
        """The records that wait, oldest first; one that cannot be read is set aside."""
        records: list[AnyRecord] = []
        unreadable: list[tuple[str, str, int]] = []
        (waiting,) = self._connection.execute(PENDING, (limit,)).fetchone()
        for identity, seq, body in msgspec.json.decode(waiting, type=list[tuple[str, int, str]]):
            try:
                records.append(_renamed(self._decode(body)))
            except msgspec.MsgspecError:
                unreadable.append((UNREADABLE, identity, seq))
        self._move_aside(unreadable)
        return records

    def of_conversation(self, conversation_id: str, limit: int) -> list[Record]:
        """The words of a conversation that wait, in the order they came; the latest `limit`."""
        (found,) = self._connection.execute(SAID, (conversation_id, limit)).fetchone()
        said: list[Record] = []
        for body in reversed(msgspec.json.decode(found, type=list[str])):
            with suppress(msgspec.MsgspecError):  # `pending` sets it aside and says so
                said.append(self._decode_words(body))
        return said

    def delete(self, records: Sequence[AnyRecord]) -> None:
        """Forget records that are stored; a correction that came meanwhile stays."""
        rows = [(record.id, record.seq) for record in records]
        self._waiting -= self._connection.execute(DELETE, (_json(rows),)).rowcount
        self._look_for_the_oldest()

    def set_aside(self, records: Sequence[AnyRecord], reasons: Mapping[str, str]) -> None:
        """Keep these out of delivery; `reasons` by record id."""
        self._move_aside([(reasons[r.id], r.id, r.seq) for r in records])

    def erase(self, user_id: str) -> int:
        """Forget one person, in the file's bytes too; returns how many records they had.

        It reads the whole file: 0.2 s for 200,000 records.
        """
        waiting, aside = self._connection.execute(COUNT_OF, (user_id,)).fetchone()
        self._connection.execute(DELETE_OF, (user_id,))
        self._waiting -= waiting
        self._aside -= aside
        self._look_for_the_oldest()
        (busy, *_) = self._connection.execute(EMPTY_LOG).fetchone()
        if busy:
            raise sqlite3.OperationalError("another program reads the journal: words are left")
        return int(waiting + aside)

    def tally(self) -> Tally:
        """What is on disk now."""
        return Tally(self._waiting, self._aside, self._oldest_at)

    def close(self) -> None:
        """Close the file, then free the folder for another process."""
        try:
            self._connection.close()
        finally:
            os.close(self._lock)

    def _put(self, rows: Sequence[_Row]) -> None:
        """One transaction; the tally follows without counting what is there."""
        known = brought_back = 0
        if self._waiting or self._aside:
            asked = _json([row[:2] for row in rows])
            known, brought_back = self._connection.execute(KNOWN, (asked,)).fetchone()
        self._connection.execute(PUT, (_json(rows),))
        new = len({row[0] for row in rows}) - known
        self._waiting += new + brought_back
        self._aside -= brought_back
        if known:  # a correction may have been the oldest until now
            self._look_for_the_oldest()
        elif self._oldest_at is None:
            self._oldest_at = rows[0][2]

    def _move_aside(self, rows: list[tuple[str, str, int]]) -> None:
        if not rows:
            return
        with transaction(self._connection):
            moved = self._connection.executemany(SET_ASIDE, rows).rowcount
        self._waiting -= moved
        self._aside += moved
        self._look_for_the_oldest()

    def _look_for_the_oldest(self) -> None:
        row = self._connection.execute(OLDEST).fetchone()
        self._oldest_at = row[0] if row else None

    def _count(self) -> None:
        self._waiting, self._aside = self._connection.execute(COUNT).fetchone()
        self._look_for_the_oldest()


def _row(record: AnyRecord, taken_at: float) -> _Row:
    """A record as it goes into the table; UnicodeEncodeError when it holds what is not text."""
    body = msgspec.json.encode(record).decode()
    conversation = record.head.conversation_id if isinstance(record, Record) else None
    return record.id, record.seq, taken_at, record.head.user_id, conversation, body


def _json(rows: Sequence[tuple[object, ...]]) -> str:
    return msgspec.json.encode(rows).decode()


def _renamed(record: AnyRecord) -> AnyRecord:
    """Return the record with its door's present name: the browser door was `s3` before 0.2."""
    if isinstance(record, SessionRecord) and record.door == "s3":
        return msgspec.structs.replace(record, door="browser")
    return record


def _lock(folder: Path) -> int:
    """Hold the folder until the descriptor is closed; the kernel frees it when a process dies."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise JournalInUse(
            f"the journal in {folder} is in use by process {holder}: stop that relay, "
            "or give this one its own RELAY_DATA_DIR"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _open(path: Path, max_bytes: int) -> sqlite3.Connection:
    """Open the file, refuse one that is damaged or of another version, and bound its size."""
    try:
        connection = open_database(path)
    except sqlite3.OperationalError:
        raise  # the disk or the rights, not the content
    except sqlite3.DatabaseError as error:
        raise _damaged(path) from error
    try:
        _check(connection, path)
        connection.executescript(SCHEMA + f"PRAGMA user_version={SCHEMA_VERSION};")
        connection.execute(TRY_AGAIN)
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={max(max_bytes // page, 1)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    try:
        sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        sound = False
    if version not in (0, SCHEMA_VERSION) or not sound:
        raise _damaged(path)


def _damaged(path: Path) -> JournalDamaged:
    return JournalDamaged(
        f"{path} cannot be read by this relay: move the folder away (it may still hold words "
        "that were never stored) and start again"
    )
