"""`relay assign`: which learners a coach may follow, in the store of this folder."""

import argparse
import asyncio
import sqlite3
from pathlib import Path

from relay.commands.command import fail, say
from relay.settings import SettingsError, local_settings
from relay.stores.sqlite import SqliteStore

HELP = "let a coach follow a learner, in the store of this folder"
EXAMPLE = "relay assign --coach carla --learner ada"


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
    if settings.relay_store != "sqlite":
        fail(f"the store is {settings.relay_store}: add the row to its table coach_assignments")
    path = settings.relay_data_dir / "relay.db"
    try:
        changed = asyncio.run(_write(path, given))
    except (OSError, sqlite3.Error) as error:
        fail(f"{path} cannot be written: {error}")
    does = "no longer follows" if given.remove else "follows"
    say(f"{given.coach} {does} {given.learner}" + ("" if changed else ", as before"))
    return 0


async def _write(path: Path, given: argparse.Namespace) -> bool:
    store = SqliteStore(path)
    try:
        change = store.unassign if given.remove else store.assign
        return await change(given.coach, given.learner)
    finally:
        await store.aclose()
