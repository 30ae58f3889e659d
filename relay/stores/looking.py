"""SQLite files looked at without a change to them, whether or not a relay is writing them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for reading; raises sqlite3.Error, also where it is damaged.

    A write-ahead log beside it belongs to a relay that runs or has crashed, and is read with it.
    Without one the file is opened as immutable, for else SQLite would make such a log, which the
    relay's own user might then not be allowed to use.
    """
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    address = f"{path.absolute().as_uri()}?{how}"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        yield connection
