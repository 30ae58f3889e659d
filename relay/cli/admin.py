"""`relay assign`, `relay migrate` and `relay token`: coaches, the database's schema, tokens."""

import argparse
import asyncio
import json
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from relay.auth.tokens import InvalidToken, mint, read_caller, read_claims
from relay.cli.console import CliCommand, fail, load_or_fail, plain, say
from relay.cli.stores import file_and_setting, opened_store, store_settings
from relay.clock import MachineClock
from relay.config import Settings, dev_settings, trust_of
from relay.realtime.grant import Caller
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase.admin import SupabaseAdmin
from relay.stores.supabase.errors import DatabaseError, DatabaseRejected

MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "supabase" / "migrations"
"""The SQL files of a checkout."""


# ----------------------------------------------------------------------------------- relay assign


def _assign_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--coach", required=True, metavar="ID", help="the coach's user id")
    parser.add_argument("--learner", required=True, metavar="ID", help="the learner's user id")
    parser.add_argument("--remove", action="store_true", help="remove the assignment")


def _run_assign(given: argparse.Namespace) -> int:
    """Write the assignment to the store; doing it twice is no error."""
    for name in ("coach", "learner"):
        setattr(given, name, _user_id(getattr(given, name)))
        if not getattr(given, name):
            fail(f"--{name} must not be empty", code=2)
    if given.coach == given.learner and not given.remove:
        fail("--coach and --learner are the same person: nobody coaches themselves", code=2)
    settings = store_settings()
    try:
        changed = asyncio.run(_assign(settings, given))
    except (OSError, sqlite3.Error) as error:
        fail(f"{file_and_setting(settings)} cannot be written: {error}")
    except DatabaseRejected:
        fail("no such user: a project's users have UUIDs, and must have signed up")
    except DatabaseError as error:
        fail(f"the project's database cannot be written: {type(error).__name__}")
    does = "no longer follows" if given.remove else "follows"
    say(f"{given.coach} {does} {given.learner}" + ("" if changed else " (no change)"))
    return 0


ASSIGN: Final = CliCommand(
    name="assign",
    help="let a coach follow a learner",
    example="relay assign --coach carla --learner ada",
    options=_assign_options,
    run=_run_assign,
)


def _user_id(text: str) -> str:
    """An id as tokens have it: a UUID has one spelling there."""
    text = text.strip()
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text


async def _assign(settings: Settings, given: argparse.Namespace) -> bool:
    async with opened_store(settings, SqliteStore, SupabaseAdmin) as store:
        change = store.unassign if given.remove else store.assign
        return await change(given.coach, given.learner)


# ---------------------------------------------------------------------------------- relay migrate


def _migrate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--apply",
        nargs="?",
        const="",
        metavar="URL",
        help="apply the migrations to this database, each file in one transaction; without URL, to "
        "the one of PGHOST, PGUSER, PGPASSWORD and so on; doing it twice changes nothing",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the files' names as one JSON object"
    )


def _run_migrate(given: argparse.Namespace) -> int:
    """Print or apply all files in order; exit code 1 if one could not be applied."""
    files = sorted(MIGRATIONS.glob("*.sql"))
    if not files:
        fail(
            f"there is no SQL in {MIGRATIONS}: run it from a checkout, installed with make install"
        )
    if given.apply is not None:
        _apply(given.apply, files, as_json=given.json)
    elif given.json:
        say(json.dumps({"files": [str(file) for file in files]}))
    else:
        for file in files:
            say(f"-- {file.name}\n\n{file.read_text()}")
    return 0


MIGRATE: Final = CliCommand(
    name="migrate",
    help="print the SQL that a project's database needs, or apply it",
    example="relay migrate --apply postgres://postgres@db.example.com:5432/postgres",
    options=_migrate_options,
    run=_run_migrate,
)


def _apply(address: str, files: Sequence[Path], *, as_json: bool) -> None:
    # Only this command loads PostgreSQL's library.
    from relay.stores.supabase.migrations import MigrationFailed, apply  # noqa: PLC0415

    done = []
    try:
        for one in apply(address, files):
            done.append(one)
            if not as_json:
                say(f"applied {one.name}" if one.ran else f"skipped {one.name}: applied before")
                for warning in one.warnings:
                    say(f"  warning: {plain(warning)}")
    except MigrationFailed as failed:
        fail(plain(str(failed)))
    if as_json:
        names = {
            "applied": [one.name for one in done if one.ran],
            "skipped": [one.name for one in done if not one.ran],
        }
        say(json.dumps(names | {"warnings": [text for one in done for text in one.warnings]}))


# ------------------------------------------------------------------------------------ relay token


def _token_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sub", required=True, metavar="ID", help="the user's id")
    parser.add_argument("--role", choices=("learner", "coach", "admin"), default="learner")
    parser.add_argument("--agent", metavar="ID", help="the agent this user talks to")
    parser.add_argument("--ttl", type=int, default=3600, metavar="S", help="seconds it is valid")
    parser.add_argument(
        "--json", action="store_true", help="print the token and its expiry as JSON"
    )


def _run_token(given: argparse.Namespace) -> int:
    """Sign the token with the secret that `relay dev` uses in this folder."""
    if not given.sub.strip():
        fail("--sub must not be empty", code=2)
    if given.ttl <= 0:
        fail("--ttl must be a positive number of seconds", code=2)
    settings = load_or_fail(dev_settings).settings
    if settings.supabase_jwt_secret is None:
        fail("there is no secret to sign with: set SUPABASE_JWT_SECRET")
    secret = settings.supabase_jwt_secret.get_secret_value()
    now = MachineClock().unix()
    caller = Caller(given.sub, given.role, now + given.ttl, given.agent)
    token = mint(caller, secret, now, trust_of(settings).issuer)
    try:
        read_caller(read_claims(token, secret, "HS256"), None, now)
    except InvalidToken as error:
        fail(f"the relay would refuse that token: {error}", code=2)
    say(json.dumps({"token": token, "expires_at": int(now + given.ttl)}) if given.json else token)
    return 0


TOKEN: Final = CliCommand(
    name="token",
    help="print a development token",
    example="relay token --sub ada --role coach --ttl 600",
    options=_token_options,
    run=_run_token,
)
