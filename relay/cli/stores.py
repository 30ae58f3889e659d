"""Finds the store that the settings name and opens it in the shape that a command needs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from relay.cli.console import fail, load_or_fail
from relay.config import Settings, local_settings, project_of, served_settings, way_out_of
from relay.egress import use

if TYPE_CHECKING:
    from relay.stores.supabase.client import RestClient


class _Store(Protocol):
    """A connection to a store."""

    async def aclose(self) -> None:
        """Release its file or sockets."""


Local = TypeVar("Local", bound=_Store)
Hosted = TypeVar("Hosted", bound=_Store)


def database_file(settings: Settings) -> Path:
    """The file of the embedded store."""
    return settings.relay_data_dir / "relay.db"


def store_settings() -> Settings:
    """Return those of `relay serve` where they name a store that can be had, else of `relay dev`.

    Exits where they are wrong, or the two name different stores and both may hold data.
    """
    local = load_or_fail(local_settings)
    served = load_or_fail(served_settings)
    if served is None:
        return local
    file = database_file(local)
    if served.relay_store != local.relay_store and file.is_file():
        fail(f"there are two stores here, {file} and the project: set RELAY_STORE")
    return served


def file_and_setting(settings: Settings) -> str:
    """The file of the embedded store as an error names it, with the setting to change."""
    return f"{database_file(settings)} (RELAY_DATA_DIR={settings.relay_data_dir})"


@asynccontextmanager
async def opened_store(
    settings: Settings,
    local: Callable[[Path], Local],
    hosted: "Callable[[RestClient], Hosted]",
    statement_seconds: float | None = None,
) -> AsyncIterator[Local | Hosted]:
    """The project's store as `hosted` makes it, or without a project the file's as `local` does.

    It is closed at the end. `statement_seconds` is how long the project may take for one statement
    where a command has more time than a call.
    """
    store: Local | Hosted
    project = project_of(settings)
    if project is None:
        store = local(database_file(settings))
    else:
        # The project's client is loaded only where there is a project.
        from relay.stores.supabase.client import RestClient, RestTimeouts  # noqa: PLC0415

        use(way_out_of(settings))
        timeouts = None
        if statement_seconds is not None:
            timeouts = RestTimeouts(answer=statement_seconds, write=statement_seconds)
        store = hosted(RestClient(project, timeouts))
    try:
        yield store
    finally:
        await store.aclose()
