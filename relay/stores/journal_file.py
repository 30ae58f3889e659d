"""The journal's file: a locked folder with one SQLite database, used from one thread.

Every step of a statement gives up the interpreter's lock and has to win it back from a busy event
loop, up to 5 ms each time. So a batch goes in and out as one JSON array in one statement.
"""

import fcntl
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from relay.realtime.records import AnyRecord
from relay.stores.database import open_database, transaction

FILE_NAME = "journal.sqlite"
LOCK_NAME = "lock"
SCHEMA_VERSION = 2
UNREADABLE = "unreadable"
"""Why a record was set aside whose bytes this version of the relay cannot read."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which records are delivered
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    taken_at REAL NOT NULL,                    -- Unix seconds, for the age of what waits
    body TEXT NOT NULL,                        -- the record as JSON
    aside TEXT                                 -- why it was set aside; NULL: waits for delivery
);
CREATE INDEX IF NOT EXISTS waiting ON records (number) WHERE aside IS NULL;
"""
_INSERT = """
INSERT INTO records (id, seq, taken_at, body)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]')
FROM json_each(?) WHERE true
ON CONFLICT (id) DO NOTHING
"""
_CORRECT = "UPDATE records SET seq = :seq, body = :body, aside = NULL WHERE id = :id AND seq < :seq"
_COLUMNS = "id", "seq", "taken_at", "body"
_DELETE = """
DELETE FROM records WHERE number IN (
    SELECT number FROM json_each(?)
    JOIN records ON records.id = json_extract(value, '$[0]') AND seq <= json_extract(value, '$[1]')
)
"""
_SET_ASIDE = "UPDATE records SET aside = ? WHERE id = ? AND seq = ? AND aside IS NULL"
_PENDING = """
SELECT json_group_array(json_array(id, seq, body)) FROM (
    SELECT id, seq, body FROM records WHERE aside IS NULL ORDER BY number LIMIT ?
)
"""
_OLDEST = "SELECT taken_at FROM records WHERE aside IS NULL ORDER BY number LIMIT 1"


class JournalInUse(Exception):  # noqa: N818 - the relay's words for its operator
    """Another process has this folder."""


class JournalDamaged(Exception):  # noqa: N818 - the relay's words for its operator
    """The file is not a journal that this relay can read."""


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
        rows, unwritable = [], []
        for record, taken_at in batch:
            try:
                body = msgspec.json.encode(record).decode()
            except UnicodeEncodeError:  # half a surrogate pair is not text
                unwritable.append(record)
            else:
                rows.append((record.id, record.seq, taken_at, body))
        inserted = self._connection.execute(_INSERT, (_json(rows),)).rowcount
        self._waiting += inserted
        if inserted < len(rows):
            with transaction(self._connection):
                self._connection.executemany(
                    _CORRECT, [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
                )
            self._count()  # a correction may have brought back what was set aside
        elif self._oldest_at is None:
            self._oldest_at = min((taken_at for _, _, taken_at, _ in rows), default=None)
        return unwritable

    def pending(self, limit: int) -> list[AnyRecord]:
        """The records that wait, oldest first; one that cannot be read is set aside."""
        records: list[AnyRecord] = []
        unreadable: list[tuple[str, str, int]] = []
        (waiting,) = self._connection.execute(_PENDING, (limit,)).fetchone()
        for identity, seq, body in msgspec.json.decode(waiting, type=list[tuple[str, int, str]]):
            try:
                records.append(self._decode(body))
            except msgspec.MsgspecError:
                unreadable.append((UNREADABLE, identity, seq))
        self._move_aside(unreadable)
        return records

    def delete(self, records: Sequence[AnyRecord]) -> None:
        """Forget records that are stored; a correction that came meanwhile stays."""
        rows = [(record.id, record.seq) for record in records]
        self._waiting -= self._connection.execute(_DELETE, (_json(rows),)).rowcount
        self._look_for_the_oldest()

    def set_aside(self, records: Sequence[AnyRecord], reasons: Mapping[str, str]) -> None:
        """Keep these out of delivery; `reasons` by record id."""
        self._move_aside([(reasons[r.id], r.id, r.seq) for r in records])

    def tally(self) -> Tally:
        """What is on disk now."""
        return Tally(self._waiting, self._aside, self._oldest_at)

    def close(self) -> None:
        """Close the file, then free the folder for another process."""
        try:
            self._connection.close()
        finally:
            os.close(self._lock)

    def _move_aside(self, rows: list[tuple[str, str, int]]) -> None:
        if not rows:
            return
        with transaction(self._connection):
            moved = self._connection.executemany(_SET_ASIDE, rows).rowcount
        self._waiting -= moved
        self._aside += moved
        self._look_for_the_oldest()

    def _look_for_the_oldest(self) -> None:
        row = self._connection.execute(_OLDEST).fetchone()
        self._oldest_at = row[0] if row else None

    def _count(self) -> None:
        self._waiting, self._aside = self._connection.execute(
            "SELECT count(*) - count(aside), count(aside) FROM records"
        ).fetchone()
        self._look_for_the_oldest()


def _json(rows: Sequence[tuple[object, ...]]) -> str:
    return msgspec.json.encode(rows).decode()


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
        connection.executescript(_SCHEMA + f"PRAGMA user_version={SCHEMA_VERSION};")
        connection.execute("UPDATE records SET aside = NULL WHERE aside IS NOT NULL")
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
