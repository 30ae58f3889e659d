"""Whether the embedded store could be opened, and how much it holds."""

import sqlite3
from pathlib import Path

from relay.check.finding import Finding, fail, ok
from relay.check.folder import OWN, trouble
from relay.stores.database import looking_at

_TABLES = "SELECT count(*) FROM sqlite_master WHERE name = 'chat_messages_v2'"
_CALLS = "SELECT count(*) FROM conversation_sessions"
_WORDS = "SELECT count(*) FROM chat_messages_v2"


def store(file: Path) -> Finding:
    """Look at the file of a `SqliteStore`."""
    bad = trouble(file.parent, file)
    if bad is not None:
        return fail(*bad)
    try:
        counted = _count(file) if file.exists() else None
    except sqlite3.OperationalError as error:
        return fail(f"{file} cannot be read: {error}", OWN)
    except sqlite3.DatabaseError:
        return fail(f"{file} is damaged", "move it away, or bring its backup back")
    if counted is None:
        return ok(f"{file} will be made when the first words are said")
    calls, words = counted
    return ok(f"{file} holds {words} utterances of {calls} conversations")


def _count(file: Path) -> tuple[int, int] | None:
    """Conversations and utterances, None where no word was ever stored."""
    with looking_at(file) as connection:
        if connection.execute(_TABLES).fetchone() == (0,):
            return None
        (calls,) = connection.execute(_CALLS).fetchone()
        (words,) = connection.execute(_WORDS).fetchone()
    return calls, words
