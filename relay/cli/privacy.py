"""What `relay retain`, `relay export` and `relay erase` work on: what a relay here would keep."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from relay.cli.console import fail
from relay.config import Settings, SettingsError, local_settings, project_of, serve_settings
from relay.interfaces import NoSuchPerson, PrivacyStore
from relay.stores.journal.file import JournalDamaged, JournalInUse
from relay.stores.sqlite.privacy import SqlitePeople
from relay.stores.supabase.admin import SupabasePeople
from relay.stores.supabase.errors import DatabaseError, DatabaseNotMigrated

STATEMENT_SECONDS: Final = 60.0
"""Nobody waits at a door: a long conversation may take its time."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PrivacyData:
    """The store, its name for people, and the journal's folder."""

    people: PrivacyStore
    place: str
    journal: Path


Act = Callable[[PrivacyData], Awaitable[T]]


def with_kept(act: Act[T]) -> T:
    """Do something with what is kept here; says in one line what keeps it from being done."""
    settings = _settings()
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
        fail(f"{settings.relay_data_dir} cannot be used: {error}")
    except DatabaseNotMigrated:
        fail("the project's database is not up to date: see `relay migrate`")
    except DatabaseError as trouble:
        name = type(trouble).__name__
        fail(f"the project's database does not answer as it should: {name}; see `relay check`")


async def _act(settings: Settings, act: Act[T]) -> T:
    kept = _open(settings)
    try:
        return await act(kept)
    finally:
        await kept.people.aclose()


def _settings() -> Settings:
    """As `relay serve` here would have them, else as `relay dev`; never a guess between two."""
    try:
        local = local_settings()
        try:
            served = serve_settings().settings
        except SettingsError:
            return local
    except SettingsError as error:
        fail(*error.problems)
    if served.relay_store != local.relay_store and _file(local).is_file():
        fail(f"there are two stores here, {_file(local)} and the project: set RELAY_STORE")
    return served


def _file(settings: Settings) -> Path:
    return settings.relay_data_dir / "relay.db"


def _open(settings: Settings) -> PrivacyData:
    journal, project = settings.relay_data_dir / "journal", project_of(settings)
    if project is None:
        return PrivacyData(SqlitePeople(_file(settings)), str(_file(settings)), journal)
    from relay.stores.supabase.client import (  # noqa: PLC0415
        RestClient,
        RestTimeouts,
    )

    patience = RestTimeouts(answer=STATEMENT_SECONDS, write=STATEMENT_SECONDS)
    return PrivacyData(SupabasePeople(RestClient(project, patience)), project.url, journal)
