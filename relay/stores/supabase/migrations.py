"""Applies the migrations to a project's database, each file in one transaction."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors

CONNECT_SECONDS: Final = 10
LOCK_SECONDS: Final = 15
"""A table that is in use for longer is left alone: a waiting lock blocks every later query."""
_LOCK_KEY: Final = 7_014_118  # any number, as long as it is the same for every relay


class MigrationFailed(Exception):  # noqa: N818 - an outcome, told to an operator
    """A migration failed; the text is the reason, in one sentence. Earlier ones stay applied."""


def apply(address: str, files: Iterable[Path]) -> Iterator[Path]:
    """Run each file in a transaction of its own and yield it once it is committed.

    `address` is a `postgres://` URL or libpq's `name=value` list; libpq takes what it leaves out
    from its own environment. Raises MigrationFailed.
    """
    with _connected(address) as connection:
        for file in files:
            try:
                with connection.transaction():
                    connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
                    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK_KEY])
                    connection.execute(file.read_bytes())
            except psycopg.Error as error:
                raise MigrationFailed(f"{file.name}: {_reason(error)}") from None
            yield file


def _connected(address: str) -> psycopg.Connection:
    try:
        return psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.ProgrammingError:  # its text would repeat the address, with the password
        raise MigrationFailed(
            "the address is none; it looks like postgres://USER:PASSWORD@HOST:5432/postgres"
        ) from None
    except psycopg.Error as error:
        raise MigrationFailed(f"cannot connect: {_first_line(error)}") from None


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{_first_line(error)}; connect as the user that owns the tables (postgres)"
    if isinstance(error, errors.LockNotAvailable):
        return f"a table was in use for {LOCK_SECONDS} s; try again when there is less traffic"
    if isinstance(error, errors.InvalidSchemaName) and '"auth"' in str(error):
        return "there is no schema auth: this is not the database of a project"
    return _first_line(error)


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
