"""How every SQLite file of ours is opened: private, crash-proof, forgetting what is deleted."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that is writing (`relay transcript` beside a relay)."""
WAL_KEPT_BYTES = 8 * 1024 * 1024
"""What a write-ahead log is cut back to once its content is in the main file."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create `path` (mode 0600) in WAL mode; the caller says BEGIN itself.

    With `synchronous=FULL` a commit returns after its fsync, so what was reported committed
    survives a power cut. `secure_delete` overwrites deleted words. Raises sqlite3.Error, OSError.
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


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: commits at the end, rolls back on any error (a failed commit included)."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
