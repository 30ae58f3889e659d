"""Opens the relay's SQLite files: private, crash-safe, with deleted content overwritten."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that is writing."""
WAL_KEPT_BYTES = 8 * 1024 * 1024
"""Size that a write-ahead log is truncated to once its content is in the main file."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create `path` (mode 0600) in WAL mode, without implicit transactions.

    With `synchronous=FULL` a commit returns after its fsync and survives a power cut.
    `secure_delete` overwrites deleted content. Raises sqlite3.Error, OSError.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)  # SQLite gives its -wal and -shm files the mode of the main file
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


FileIdentity = tuple[int, int]
"""Device and inode: another file at the same path has another one."""


def file_identity(path: Path) -> FileIdentity | None:
    """Which file is at a path now, None where none can be found.

    SQLite goes on with a file that was deleted, and what it writes is gone with the process.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end; roll back on any error, a failed commit included."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def open_readonly(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for reading, without a change to it; raises sqlite3.Error, also if damaged.

    A write-ahead log beside it belongs to a relay that runs or has crashed, and is read with it.
    Without one the file is opened as immutable: otherwise SQLite would create such a log, which
    the relay's own user might then not be allowed to use.
    """
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    address = f"{path.absolute().as_uri()}?{mode}"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        yield connection
