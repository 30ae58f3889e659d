"""Opens the journal, the store and the delivery between them as one context."""

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

FLUSH_SECONDS: Final = 5.0
"""At the end; records not delivered by then stay in the journal."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreBackend:
    """The store, and what a project has besides: the provider's key and the agents."""

    store: Store
    vault: VaultKey | None = None
    agents: TableAgents | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """The journal, its delivery and the store behind it."""

    journal: DiskJournal
    delivery: Delivery
    backend: StoreBackend

    @property
    def store(self) -> Store:
        """The backend's store."""
        return self.backend.store


@asynccontextmanager
async def open_storage(
    folder: Path, tasks: Tasks, project: SupabaseCredentials | None = None, own_key: str = ""
) -> AsyncIterator[Storage]:
    """Open journal and store, and deliver from one to the other; flushes at the end.

    The store is in the project, or SQLite in `folder` without one. `own_key` is the provider's key
    where the project's vault has none.
    """
    async with open_store(folder, project, own_key) as backend:
        journal = DiskJournal(folder / "journal")
        await journal.start()
        delivery = Delivery(journal, backend.store)
        tasks.run(delivery.run(), "delivery")
        tasks.run(journal.watch(), "journal.watch")
        try:
            yield Storage(journal, delivery, backend)
        finally:
            if not await delivery.flush(FLUSH_SECONDS):
                log.warning("undelivered records stay in the journal")
            await tasks.aclose()
            await journal.aclose()


@asynccontextmanager
async def open_store(
    folder: Path, project: SupabaseCredentials | None, own_key: str = ""
) -> AsyncIterator[StoreBackend]:
    """The project's store, or SQLite in `folder`; connects at the first use."""
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
