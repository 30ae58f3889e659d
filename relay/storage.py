"""Where words go: the journal, the store, and the delivery between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from relay.interfaces import Store, SupabaseCredentials
from relay.stores.delivery import Delivery
from relay.stores.journal.journal import DiskJournal
from relay.stores.sqlite.store import SqliteStore
from relay.stores.supabase.config import TableAgents, VaultKey
from relay.stores.supabase.store import SupabaseStore
from relay.tasks import Tasks

FLUSH_SECONDS: Final = 5.0  # at the end; what is not delivered by then stays in the journal
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreBackend:
    """Where words end up, and what a project knows besides: the provider's key and the agents."""

    store: Store
    vault: VaultKey | None = None
    agents: TableAgents | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """Where words go: the journal first, then the place."""

    journal: DiskJournal
    delivery: Delivery
    place: StoreBackend

    @property
    def store(self) -> Store:
        """The place's."""
        return self.place.store


@asynccontextmanager
async def open_storage(
    folder: Path, tasks: Tasks, project: SupabaseCredentials | None = None, own_key: str = ""
) -> AsyncIterator[Storage]:
    """The journal, the store and the delivery between them; flushed at the end.

    The store is the project's, SQLite in the folder where there is none. `own_key` is the
    provider's key where the project's vault has none.
    """
    async with open_store(folder, project, own_key) as place:
        journal = DiskJournal(folder / "journal")
        await journal.start()
        delivery = Delivery(journal, place.store)
        tasks.run(delivery.run(), "delivery")
        try:
            yield Storage(journal, delivery, place)
        finally:
            if not await delivery.flush(FLUSH_SECONDS):
                log.warning("not all was delivered; the rest is in the journal")
            await tasks.aclose()
            await journal.aclose()


@asynccontextmanager
async def open_store(
    folder: Path, project: SupabaseCredentials | None, own_key: str = ""
) -> AsyncIterator[StoreBackend]:
    """Where words end up; nothing is asked of it before it is used."""
    if project is None:
        store = SqliteStore(folder / "relay.db")
        try:
            yield StoreBackend(store)
        finally:
            await store.aclose()
        return
    from relay.stores.supabase.client import RestClient  # noqa: PLC0415

    rest = RestClient(project)
    vault, agents = VaultKey(rest, own_key), TableAgents(rest)
    try:
        yield StoreBackend(SupabaseStore(rest), vault, agents)
    finally:
        await agents.aclose()
        await vault.aclose()
        await rest.aclose()
