"""The journal's file: a locked folder with one SQLite database, used by one thread.

Every step of a statement releases the interpreter's lock and has to win it back from a busy event
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
from relay.stores.database import file_identity, open_database, transaction

FILE_NAME: Final = "journal.sqlite"
LOCK_NAME: Final = "lock"
SCHEMA_VERSION: Final = 3
UNREADABLE: Final = "unreadable"
"""Reason for setting aside a record that this version of the relay cannot decode."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of delivery
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    taken_at REAL NOT NULL,                    -- Unix seconds, for the age of what waits
    user_id TEXT NOT NULL,
    conversation_id TEXT,                      -- of utterances; NULL for other records
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
"""A correction moves to the end: a reader that follows `seq` must not see it before others."""

COUNT_KNOWN: Final = """
SELECT count(*), count(aside) FILTER (WHERE seq < latest) FROM (
    SELECT json_extract(value, '$[0]') AS id, max(json_extract(value, '$[1]')) AS latest
    FROM json_each(?) GROUP BY 1
) CROSS JOIN records USING (id)
"""
"""Counts the ids of a batch that are in the table, and the set-aside ones that it replaces."""

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

OF_CONVERSATION: Final = """
SELECT json_group_array(body) FROM (
    SELECT body FROM records WHERE conversation_id = ?
    ORDER BY number DESC LIMIT ?
)
"""
"""A conversation's latest utterances, newest first, including those set aside."""

OLDEST: Final = "SELECT taken_at FROM records WHERE aside IS NULL ORDER BY number LIMIT 1"
COUNT: Final = "SELECT count(*) - count(aside), count(aside) FROM records"
COUNT_OF_USER: Final = COUNT + " WHERE user_id = ?"
DELETE_OF_USER: Final = "DELETE FROM records WHERE user_id = ?"
RETRY_SET_ASIDE: Final = "UPDATE records SET aside = NULL WHERE aside IS NOT NULL"
EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"

_Row = tuple[str, int, float, str, str | None, str]


class JournalInUse(Exception):  # noqa: N818 - told to an operator
    """Another process uses this folder."""


class JournalDamaged(Exception):  # noqa: N818 - told to an operator
    """The file is not a journal that this relay can read."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of the records on disk, and since when the oldest waits (Unix seconds)."""

    waiting: int
    set_aside: int
    oldest_at: float | None


class JournalFile:
    """Opens and locks `folder`. Every method commits before it returns and blocks on the disk.

    The file never grows beyond `max_bytes` (its write-ahead log adds some MiB): at the bound
    `commit` fails with SQLITE_FULL exactly as on a full disk, and works again when delivery has
    freed pages. Records set aside wait for delivery again at the next opening.
    Raises JournalInUse, JournalDamaged, OSError, sqlite3.Error.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._lock = _lock(folder)
        self._decode = msgspec.json.Decoder(AnyRecord).decode
        self._decode_utterance = msgspec.json.Decoder(Record).decode
        self._waiting = self._aside = 0
        self._oldest_at: float | None = None
        try:
            self._path = folder / FILE_NAME
            self._connection = _open(self._path, max_bytes)
            self._identity = file_identity(self._path)
            self._count()
        except BaseException:
            os.close(self._lock)
            raise

    def commit(self, batch: Sequence[tuple[AnyRecord, float]]) -> list[AnyRecord]:
        """Write records, each with the Unix time it was taken; returns those that cannot be.

        A higher `seq` replaces a record that still waits; a repeat or a lower one changes nothing.
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
        """The first `limit` waiting records, oldest first; an unreadable one is set aside."""
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
        """The latest `limit` utterances of a conversation, in the order they were taken."""
        cursor = self._connection.execute(OF_CONVERSATION, (conversation_id, limit))
        (found,) = cursor.fetchone()
        utterances: list[Record] = []
        for body in reversed(msgspec.json.decode(found, type=list[str])):
            with suppress(msgspec.MsgspecError):  # `pending` sets it aside
                utterances.append(self._decode_utterance(body))
        return utterances

    def delete(self, records: Sequence[AnyRecord]) -> None:
        """Delete records that are stored; a correction taken meanwhile stays."""
        rows = [(record.id, record.seq) for record in records]
        self._waiting -= self._connection.execute(DELETE, (_json(rows),)).rowcount
        self._refresh_oldest()

    def set_aside(self, records: Sequence[AnyRecord], reasons: Mapping[str, str]) -> None:
        """Keep these records out of delivery; `reasons` by record id."""
        self._move_aside([(reasons[r.id], r.id, r.seq) for r in records])

    def erase(self, user_id: str) -> int:
        """Erase one person, from the file's bytes too; returns the number of their records.

        Reads the whole file: 0.2 s for 200,000 records.
        """
        waiting, aside = self._connection.execute(COUNT_OF_USER, (user_id,)).fetchone()
        self._connection.execute(DELETE_OF_USER, (user_id,))
        self._waiting -= waiting
        self._aside -= aside
        self._refresh_oldest()
        (busy, *_) = self._connection.execute(EMPTY_LOG).fetchone()
        if busy:
            raise sqlite3.OperationalError(
                "another process is reading the journal; "
                "erased text is still in its write-ahead log"
            )
        return int(waiting + aside)

    def tally(self) -> Tally:
        """The counts now, without a query."""
        return Tally(self._waiting, self._aside, self._oldest_at)

    def is_in_place(self) -> bool:
        """Whether file and lock are still at their paths: neither deleted nor replaced."""
        lock = os.fstat(self._lock)
        return file_identity(self._path) == self._identity and file_identity(
            self._path.with_name(LOCK_NAME)
        ) == (lock.st_dev, lock.st_ino)

    def close(self) -> None:
        """Close the file, then release the folder to other processes."""
        try:
            self._connection.close()
        finally:
            os.close(self._lock)

    def _put(self, rows: Sequence[_Row]) -> None:
        """One transaction; updates the tally without counting the table."""
        known = restored = 0
        if self._waiting or self._aside:
            versions = _json([row[:2] for row in rows])
            known, restored = self._connection.execute(COUNT_KNOWN, (versions,)).fetchone()
        self._connection.execute(PUT, (_json(rows),))
        new = len({row[0] for row in rows}) - known
        self._waiting += new + restored
        self._aside -= restored
        if known:  # a correction may have been the oldest until now
            self._refresh_oldest()
        elif self._oldest_at is None:
            self._oldest_at = rows[0][2]

    def _move_aside(self, rows: list[tuple[str, str, int]]) -> None:
        if not rows:
            return
        with transaction(self._connection):
            moved = self._connection.executemany(SET_ASIDE, rows).rowcount
        self._waiting -= moved
        self._aside += moved
        self._refresh_oldest()

    def _refresh_oldest(self) -> None:
        row = self._connection.execute(OLDEST).fetchone()
        self._oldest_at = row[0] if row else None

    def _count(self) -> None:
        self._waiting, self._aside = self._connection.execute(COUNT).fetchone()
        self._refresh_oldest()


def _row(record: AnyRecord, taken_at: float) -> _Row:
    """A record's columns; UnicodeEncodeError when it holds a lone surrogate."""
    body = msgspec.json.encode(record).decode()
    conversation = record.head.conversation_id if isinstance(record, Record) else None
    return record.id, record.seq, taken_at, record.head.user_id, conversation, body


def _json(rows: Sequence[tuple[object, ...]]) -> str:
    return msgspec.json.encode(rows).decode()


def _renamed(record: AnyRecord) -> AnyRecord:
    """Return the record with its door's present name: the browser door was `s3` earlier."""
    if isinstance(record, SessionRecord) and record.door == "s3":
        return msgspec.structs.replace(record, door="browser")
    return record


def _lock(folder: Path) -> int:
    """Lock the folder until the descriptor is closed; the kernel unlocks it when a process dies."""
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
    """Open the file and bound its size; refuse one that is damaged or of another version."""
    try:
        connection = open_database(path)
    except sqlite3.OperationalError:
        raise  # the disk or permissions, not the content
    except sqlite3.DatabaseError as error:
        raise _damaged(path) from error
    try:
        _check(connection, path)
        connection.executescript(SCHEMA + f"PRAGMA user_version={SCHEMA_VERSION};")
        connection.execute(RETRY_SET_ASIDE)
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
