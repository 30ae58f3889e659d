"""`relay assign`: which learners a coach may follow, in the store."""

import argparse
import asyncio
import sqlite3
from typing import Protocol

from relay.cli.console import fail, say
from relay.config import Settings, SettingsError, local_settings, project_of
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase.admin import SupabaseAdmin
from relay.stores.supabase.errors import DatabaseError, DatabaseRejected

HELP = "let a coach follow a learner"
EXAMPLE = "relay assign --coach carla --learner ada"


class Desk(Protocol):
    """What is asked of a store here."""

    async def assign(self, coach_id: str, learner_id: str) -> bool:
        """Let this coach follow that learner; False when it was so before."""

    async def unassign(self, coach_id: str, learner_id: str) -> bool:
        """Let it be over; False when it was not so."""

    async def aclose(self) -> None:
        """Let go of it."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--coach", required=True, metavar="ID", help="the coach's user id")
    parser.add_argument("--learner", required=True, metavar="ID", help="the learner's user id")
    parser.add_argument("--remove", action="store_true", help="no longer")


def run(given: argparse.Namespace) -> int:
    """Write it; doing it twice is no error."""
    for name in ("coach", "learner"):
        if not getattr(given, name).strip():
            fail(f"--{name} must not be empty", code=2)
    try:
        settings = local_settings()
    except SettingsError as error:
        fail(*error.problems)
    try:
        changed = asyncio.run(_write(settings, given))
    except (OSError, sqlite3.Error) as error:
        fail(f"{settings.relay_data_dir / 'relay.db'} cannot be written: {error}")
    except DatabaseRejected:
        fail("one of these ids is no user's: a project's users have UUIDs, and must have signed up")
    except DatabaseError as trouble:
        fail(f"the project's database cannot be written: {type(trouble).__name__}")
    does = "no longer follows" if given.remove else "follows"
    say(f"{given.coach} {does} {given.learner}" + ("" if changed else ", as before"))
    return 0


def _desk(settings: Settings) -> Desk:
    """Of the store that these settings name."""
    project = project_of(settings)
    if project is None:
        return SqliteStore(settings.relay_data_dir / "relay.db")
    from relay.stores.supabase.client import RestClient  # noqa: PLC0415

    return SupabaseAdmin(RestClient(project))


async def _write(settings: Settings, given: argparse.Namespace) -> bool:
    desk = _desk(settings)
    try:
        change = desk.unassign if given.remove else desk.assign
        return await change(given.coach, given.learner)
    finally:
        await desk.aclose()
