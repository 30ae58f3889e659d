"""Whether the journal could be opened, and what waits in it."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from relay.check.finding import Finding, fail, ok
from relay.check.folder import OWN, trouble
from relay.stores.database import looking_at
from relay.stores.journal.file import FILE_NAME, LOCK_NAME, SCHEMA_VERSION

_MOVE = "move the folder away; it may still hold words that were never stored"
IN_USE = "in use by a running relay, process "
_COUNT = "SELECT count(*) - count(aside), count(aside) FROM records"


def journal(folder: Path) -> Finding:
    """Look at the journal's folder; one that a running relay holds is left alone."""
    file = folder / FILE_NAME
    bad = trouble(folder, file)
    if bad is not None:
        return fail(*bad)
    holder = _holder(folder / LOCK_NAME)
    if holder is not None:
        return ok(f"{IN_USE}{holder}")
    return _content(file) if file.exists() else ok(f"will be made in {folder}")


async def own_journal(folder: Path, is_here: Callable[[], Awaitable[bool]]) -> Finding:
    """The same, and where a relay holds it, whether that one is the relay of these settings."""
    found = await asyncio.to_thread(journal, folder)
    if not found.what.startswith(IN_USE) or await is_here():
        return found
    what = f"{found.what}, and none listens at these ports: another relay has this journal"
    return fail(what, "stop that process, or give this relay a RELAY_DATA_DIR of its own")


def _content(file: Path) -> Finding:
    try:
        with looking_at(file) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                return fail(f"{file} was written by another version of the relay", _MOVE)
            waiting, aside = connection.execute(_COUNT).fetchone() if version else (0, 0)
    except sqlite3.OperationalError as error:
        return fail(f"{file} cannot be opened: {error}", OWN)
    except sqlite3.DatabaseError:
        return fail(f"{file} is damaged", _MOVE)
    kept = f", {aside} are set aside that the store refused" if aside else ""
    return ok(f"{waiting} utterances wait for the store{kept}")


def _holder(lock: Path) -> str | None:
    """The process that holds the folder, None for nobody.

    The lock is tried for the shortest of moments, and shared, so that two checks do not see each
    other; only a relay that starts in this very moment would find the folder in use.
    """
    if not lock.exists():
        return None
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return None
