"""`relay retain`, `relay export` and `relay erase`: old data, and one person's data."""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from relay.cli.console import CliCommand, fail, say
from relay.cli.stores import database_file, opened_store, store_settings
from relay.config import Settings, project_of
from relay.interfaces import Mode, NoSuchPerson, PrivacyStore
from relay.stores.journal.file import JournalDamaged, JournalInUse
from relay.stores.journal.journal import erase_undelivered, undelivered_of
from relay.stores.sqlite.privacy import SqlitePrivacy
from relay.stores.supabase.admin import SupabasePrivacy
from relay.stores.supabase.errors import DatabaseError, DatabaseNotMigrated

STATEMENT_SECONDS: Final = 60.0
"""No call waits for these statements: a long conversation may take its time."""

NOT_DONE: Final = "nothing was changed: to do it, which cannot be undone, add --yes"

_MAX_DAYS: Final = 36_500
_PRESENT_TENSE: Final = {"delete": "delete", "redact": "empty"}
_PAST_TENSE: Final = {"delete": "deleted", "redact": "emptied"}
T = TypeVar("T")


# ----------------------------------------------------------------------------------- relay retain


def _retain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--days", type=days, required=True, metavar="N", help="forget what is older than this"
    )
    parser.add_argument(
        "--redact", action="store_true", help="empty the words, keep that they were said and when"
    )
    parser.add_argument("--yes", action="store_true", help="do it: this cannot be undone")
    parser.add_argument("--json", action="store_true", help="print the count as one JSON object")


def _run_retain(given: argparse.Namespace) -> int:
    """Forget them, or without --yes count them; doing it twice is no error.

    A relay may run meanwhile.
    """
    mode: Mode = "redact" if given.redact else "delete"

    async def act(data: PersonalData) -> tuple[int, str]:
        forget = data.store.forget if given.yes else data.store.count_old
        return await forget(given.days, mode), data.place

    count, place = with_personal_data(act)
    if given.json:
        counted = {"days": given.days, "mode": mode, "utterances": count, "store": place}
        say(json.dumps(counted | {"done": given.yes}))
    else:
        does = _PAST_TENSE[mode] if given.yes else f"would {_PRESENT_TENSE[mode]}"
        say(f"{does} {count} utterances older than {given.days} days in {place}")
    if not given.yes:
        fail(NOT_DONE, code=2)
    return 0


RETAIN: Final = CliCommand(
    name="retain",
    help="forget what was said in calls more than some days ago",
    example="relay retain --days 90 --redact --yes",
    options=_retain_options,
    run=_run_retain,
)


def days(text: str) -> int:
    """A whole number of days, at least one.

    argparse reports the ValueError with this function's name.
    """
    number = int(text)
    if not 1 <= number <= _MAX_DAYS:
        raise ValueError
    return number


# ----------------------------------------------------------------------------------- relay export


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True, metavar="ID", help="the person's user id")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write it to a file that only its owner can read"
    )


def _run_export(given: argparse.Namespace) -> int:
    """Print what the store has and what still waits in the journal. A relay may run meanwhile."""

    async def export(data: PersonalData) -> dict[str, Any]:
        # The journal first: what is delivered meanwhile is then exported twice rather than never.
        waiting = await asyncio.to_thread(undelivered_of, data.journal, given.user)
        return {**await data.store.export(given.user), "journal": waiting}

    text = json.dumps(with_personal_data(export), ensure_ascii=False, indent=2)
    if given.out is None:
        say(text)
        return 0
    try:
        _write_private(given.out, text)
    except OSError as error:
        fail(f"{given.out} cannot be written: {error.strerror}")
    print(f"written to {given.out}", file=sys.stderr)  # noqa: T201 - the command line prints
    return 0


EXPORT: Final = CliCommand(
    name="export",
    help="print all that is kept about one person, as JSON",
    example="relay export --user 5b6f8f5e-8a31-4d5c-9a0e-7f1c2d3e4a5b --out ada.json",
    options=_export_options,
    run=_run_export,
)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        os.fchmod(descriptor, 0o600)  # of a file that was there before, too
        file.write(text + "\n")


# ------------------------------------------------------------------------------------ relay erase


def _erase_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True, metavar="ID", help="the person's user id")
    parser.add_argument("--yes", action="store_true", help="do it: this cannot be undone")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")


def _run_erase(given: argparse.Namespace) -> int:
    """Erase them, or without --yes count them; doing it twice is no error.

    To erase, no relay may run in this folder.
    """
    if not given.user.strip():
        fail("--user must not be empty", code=2)
    counts, place = with_personal_data(partial(_erase if given.yes else _count, given.user))
    if given.json:
        counted = {"user": given.user, "erased": counts, "store": place, "done": given.yes}
        say(json.dumps(counted, ensure_ascii=False))
    else:
        found = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in counts.items() if n)
        does = "erased" if given.yes else "would erase"
        say(f"{does} from {place}: {found}" if found else f"nothing is kept of them in {place}")
    if not given.yes:
        fail(NOT_DONE, code=2)
    return 0


async def _erase(user: str, data: "PersonalData") -> tuple[Mapping[str, int], str]:
    # Locks the journal until the store is done, so that no relay delivers more meanwhile.
    async with erase_undelivered(data.journal, user) as waiting:
        try:
            erased = await data.store.erase(user)
        except FileNotFoundError:
            erased = {}  # a journal alone: nothing was ever stored
    return {"journal": waiting, **erased}, data.place


async def _count(user: str, data: "PersonalData") -> tuple[Mapping[str, int], str]:
    """How many rows of each kind `_erase` would erase, by what an export has of them."""
    waiting = await asyncio.to_thread(undelivered_of, data.journal, user)
    try:
        found = await data.store.export(user)
    except FileNotFoundError:
        found = {}
    messages = [row for talk in found.get("conversations", ()) for row in talk["messages"]]
    spoken = [row for row in messages if "voice_session_id" in (row["metadata"] or {})]
    kinds = {name: len(found.get(name, ())) for name in ("calls", "usage", "assignments")}
    return {"journal": len(waiting), "messages": len(spoken), **kinds}, data.place


ERASE: Final = CliCommand(
    name="erase",
    help="erase one person's words and calls, from the journal and the store",
    example="relay erase --user 5b6f8f5e-8a31-4d5c-9a0e-7f1c2d3e4a5b --yes",
    options=_erase_options,
    run=_run_erase,
)


# ---------------------------------------------------------------------------------- all of them


@dataclass(frozen=True, slots=True)
class PersonalData:
    """The store, its path or address, and the journal's folder."""

    store: PrivacyStore
    place: str
    journal: Path


def with_personal_data(act: Callable[[PersonalData], Awaitable[T]]) -> T:
    """The result of `act` on the data of this folder's relay; exits with one line on failure."""
    settings = store_settings()
    try:
        return asyncio.run(_act(settings, act))
    except NoSuchPerson:
        fail("--user is no id of this project's people: it wants a UUID", code=2)
    except JournalInUse:
        folder = settings.relay_data_dir
        fail(f"a relay runs in {folder}, and may still write their words: stop it and try again")
    except FileNotFoundError as error:
        fail(f"{error} is not there: nothing has been said in this folder yet")
    except (OSError, sqlite3.Error, JournalDamaged) as error:
        fail(f"RELAY_DATA_DIR={settings.relay_data_dir} cannot be used: {error}")
    except DatabaseNotMigrated:
        fail("the project's database is not up to date: see `relay migrate`")
    except DatabaseError as error:
        name = type(error).__name__
        fail(f"the project's database does not answer as it should: {name}; see `relay check`")


async def _act(settings: Settings, act: Callable[[PersonalData], Awaitable[T]]) -> T:
    project = project_of(settings)
    place = str(database_file(settings)) if project is None else project.url
    async with opened_store(settings, SqlitePrivacy, SupabasePrivacy, STATEMENT_SECONDS) as store:
        return await act(PersonalData(store, place, settings.relay_data_dir / "journal"))
