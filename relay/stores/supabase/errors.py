"""Errors of a project's database, named by class: a database's own texts may quote rows."""

import re
from typing import Final

CLOCK_SKEW: Final = "PGRST303"
"""Hosted projects now and then reject a token as "issued at future"; the request is repeated."""

_DATA: Final = re.compile(r"22...|23...|54...|PGRST102")
"""Codes that blame what was sent: data and integrity errors, too long, not JSON."""
_SCHEMA: Final = re.compile(r"42P01|42883|42703|42704|PGRST106|PGRST20.")
"""Codes that blame the schema: no such table, function, column or type."""
_CODE: Final = re.compile(r"[A-Z0-9]{5,10}")
"""What codes look like; anything else in their place is a text, and may quote a row."""


class DatabaseError(Exception):
    """A request to the database failed; the class says how, the text is empty.

    `code` is PostgreSQL's or PostgREST's, "" without one; `status` is HTTP's, None without an
    answer.
    """

    def __init__(self, code: str = "", status: int | None = None) -> None:
        super().__init__()
        self.code = code if _CODE.fullmatch(code) else ""
        self.status = status


class DatabaseUnreachable(DatabaseError):  # noqa: N818
    """No connection, or it broke before the whole answer came."""


class DatabaseTooSlow(DatabaseError):  # noqa: N818
    """No answer came in time."""


class DatabaseFailing(DatabaseError):  # noqa: N818
    """The database, or a proxy before it, is unable to answer now (HTTP 5xx, 429)."""


class DatabaseKeyRefused(DatabaseError):  # noqa: N818
    """The service key is refused (401), or its role lacks the permission (403)."""


class DatabaseNotMigrated(DatabaseError):  # noqa: N818
    """A table, column or function is missing: the migrations were not applied."""


class DatabaseRejected(DatabaseError):  # noqa: N818
    """The request will never be accepted: its content is the reason."""


class DatabaseUnreadable(DatabaseError):  # noqa: N818
    """The answer cannot be read, whatever its status says."""


def error_for(status: int, code: str) -> DatabaseError:
    """The error of an unsuccessful answer; `code` is PostgreSQL's or PostgREST's, or empty."""
    if status in (401, 403):
        return DatabaseKeyRefused(code, status)
    if status == 413 or _DATA.fullmatch(code):
        return DatabaseRejected(code, status)
    if _SCHEMA.fullmatch(code):
        return DatabaseNotMigrated(code, status)
    if status == 429 or status >= 500:
        return DatabaseFailing(code, status)
    return DatabaseUnreadable(code, status)
