"""What can go wrong with a project's database, as names: a database's own texts may quote rows."""

import re
from typing import Final

CLOCK_SKEW: Final = "PGRST303"
"""Hosted projects now and then find that a token was "issued at future"; once more is right."""

_DATA: Final = re.compile(r"22...|23...|54...|PGRST102")
"""Codes that blame what was sent: data and integrity errors, too long, not JSON."""
_SCHEMA: Final = re.compile(r"42P01|42883|42703|42704|PGRST106|PGRST20.")
"""Codes that blame the schema: no such table, function, column or type."""


class DatabaseError(Exception):
    """The database did not do what was asked; the class says how, the text nothing."""

    def __init__(self, code: str = "") -> None:
        super().__init__()
        self.code = code


class DatabaseUnreachable(DatabaseError):  # noqa: N818
    """Nobody answered, or not to the end."""


class DatabaseTooSlow(DatabaseError):  # noqa: N818
    """No answer came in time."""


class DatabaseFailing(DatabaseError):  # noqa: N818
    """It, or what stands before it, says that it cannot now (HTTP 5xx, 429)."""


class DatabaseKeyRefused(DatabaseError):  # noqa: N818
    """It does not take the service key (401), or the key's role may not do this (403)."""


class DatabaseNotMigrated(DatabaseError):  # noqa: N818
    """It has no such table, column or function: the migrations were not applied."""


class DatabaseRejected(DatabaseError):  # noqa: N818
    """It will never take what was sent."""


class DatabaseUnreadable(DatabaseError):  # noqa: N818
    """The answer is not what was asked for, whatever its status says."""


def trouble(status: int, code: str) -> DatabaseError:
    """What an answer means that is no success; `code` is PostgreSQL's or PostgREST's, or empty."""
    if status in (401, 403):
        return DatabaseKeyRefused(code)
    if status == 413 or _DATA.fullmatch(code):
        return DatabaseRejected(code)
    if _SCHEMA.fullmatch(code):
        return DatabaseNotMigrated(code)
    if status == 429 or status >= 500:
        return DatabaseFailing(code)
    return DatabaseUnreadable(code)
