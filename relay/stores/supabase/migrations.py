"""Applies the migrations to a project's database, each file once and in one transaction."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors

CONNECT_SECONDS: Final = 10
LOCK_SECONDS: Final = 15
"""A table that is in use for longer is left alone: a waiting lock blocks every later query."""
_LOCK_KEY: Final = 7_014_118  # any number, as long as it is the same for every relay

_RECORDS: Final = """
create table if not exists public.voice_migrations (
  name text primary key, sha256 text not null, applied_at timestamptz not null default now()
);
alter table public.voice_migrations enable row level security;
revoke all on public.voice_migrations from public;
"""
_APPLIED: Final = "select from public.voice_migrations where name = %s and sha256 = %s"
_RECORD: Final = """
insert into public.voice_migrations (name, sha256) values (%s, %s)
on conflict (name) do update set sha256 = excluded.sha256, applied_at = now()
"""


class MigrationFailed(Exception):  # noqa: N818 - an outcome, told to an operator
    """A migration failed; the text is the reason, in one sentence. Earlier ones stay applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What became of one file: whether it was run now, and what the database warned of."""

    name: str
    ran: bool
    warnings: tuple[str, ...] = ()


def apply(address: str, files: Iterable[Path]) -> Iterator[Migration]:
    """Run each file in a transaction of its own; yield what became of it once that is committed.

    One that was run before with the same content and without a warning is skipped. Deleting its
    row of `voice_migrations` has it run again, which is safe.
    `address` is a `postgres://` URL or libpq's `name=value` list; libpq takes what it leaves out
    from its own environment. Raises MigrationFailed.
    """
    warnings: list[str] = []
    with _connected(address) as connection:
        connection.add_notice_handler(partial(_keep_warning, warnings))
        for file in files:
            warnings.clear()
            try:
                with connection.transaction():
                    connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
                    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK_KEY])
                    ran = _run(connection, file, warnings)
            except psycopg.Error as error:
                raise MigrationFailed(f"{file.name}: {_reason(error)}") from None
            yield Migration(file.name, ran, tuple(warnings))


def _run(connection: psycopg.Connection, file: Path, warnings: Sequence[str]) -> bool:
    """Run a file unless it was; returns whether it ran. What it warns of arrives in `warnings`."""
    content = file.read_bytes()
    record = file.name, hashlib.sha256(content).hexdigest()
    connection.execute(_RECORDS)
    if connection.execute(_APPLIED, record).fetchone() is not None:
        return False
    connection.execute(content)
    if not warnings:  # else something was left out: the next time may do it
        connection.execute(_RECORD, record)
    return True


def _keep_warning(warnings: list[str], notice: errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        warnings.append(notice.message_primary or "")


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
