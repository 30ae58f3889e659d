"""Where words go: the journal, the store, and the delivery between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from relay.interfaces import ProjectAccess, Store
from relay.stores.delivery import Delivery
from relay.stores.journal.journal import DiskJournal
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase.config import TableAgents, VaultKey
from relay.stores.supabase.store import SupabaseStore
from relay.tasks import Tasks

FLUSH_SECONDS: Final = 5.0  # at the end; what is not delivered by then stays in the journal
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where words end up, and what a project knows besides: the provider's key and the agents."""

    store: Store
    vault: VaultKey | None = None
    agents: TableAgents | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """Where words go: the journal first, then the place."""

    journal: DiskJournal
    delivery: Delivery
    place: Place

    @property
    def store(self) -> Store:
        """The place's."""
        return self.place.store


@asynccontextmanager
async def open_words(
    folder: Path, tasks: Tasks, project: ProjectAccess | None = None, own_key: str = ""
) -> AsyncIterator[Words]:
    """The journal, the store and the delivery between them; flushed at the end.

    The store is the project's, SQLite in the folder where there is none. `own_key` is the
    provider's key where the project's vault has none.
    """
    async with open_place(folder, project, own_key) as place:
        journal = DiskJournal(folder / "journal")
        await journal.start()
        delivery = Delivery(journal, place.store)
        tasks.run(delivery.run(), "delivery")
        try:
            yield Words(journal, delivery, place)
        finally:
            if not await delivery.flush(FLUSH_SECONDS):
                log.warning("not all was delivered; the rest is in the journal")
            await tasks.aclose()
            await journal.aclose()


@asynccontextmanager
async def open_place(
    folder: Path, project: ProjectAccess | None, own_key: str = ""
) -> AsyncIterator[Place]:
    """Where words end up; nothing is asked of it before it is used."""
    if project is None:
        store = SqliteStore(folder / "relay.db")
        try:
            yield Place(store)
        finally:
            await store.aclose()
        return
    from relay.stores.supabase.client import Rest  # noqa: PLC0415

    rest = Rest(project)
    vault, agents = VaultKey(rest, own_key), TableAgents(rest)
    try:
        yield Place(SupabaseStore(rest), vault, agents)
    finally:
        await agents.aclose()
        await vault.aclose()
        await rest.aclose()
