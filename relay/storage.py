"""Opens the journal, the store and the delivery between them as one context."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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
from relay.stores.supabase.errors import DatabaseNotMigrated
from relay.stores.supabase.store import SupabaseStore
from relay.tasks import Tasks, error_fields

FLUSH_SECONDS: Final = 5.0
"""At the end; records not delivered by then stay in the journal."""
SCHEMA_SECONDS: Final = 30.0
"""Between two looks at a database that was never migrated, or does not answer."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreBackend:
    """The store, and what a project has besides: the provider's key and the agents."""

    store: Store
    vault: VaultKey | None = None
    agents: TableAgents | None = None
    check_schema: Callable[[], Awaitable[None]] | None = None


class SchemaWatch:
    """Looks whether the database was ever migrated, until it has been.

    `reason` is the class of the error while it was not, for /ready. An answer of any other kind
    says nothing about it: what the store does then, the delivery tells.
    """

    def __init__(self) -> None:
        self.reason: str | None = None

    async def run(
        self,
        check: Callable[[], Awaitable[None]],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Look every `SCHEMA_SECONDS` until the tables are there."""
        while not await self._is_there(check):
            await sleep(SCHEMA_SECONDS)

    async def _is_there(self, check: Callable[[], Awaitable[None]]) -> bool:
        try:
            await check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look tells more
            fields = error_fields(error)
            reason = type(error).__name__ if isinstance(error, DatabaseNotMigrated) else None
            before, self.reason = self.reason, reason
            if reason is not None and before is None:
                log.warning("the database was never migrated: run `relay migrate`", **fields)
            return False
        self.reason = None
        return True


@dataclass(frozen=True, slots=True)
class Storage:
    """The journal, its delivery and the store behind it."""

    journal: DiskJournal
    delivery: Delivery
    backend: StoreBackend
    schema: SchemaWatch

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
        schema = SchemaWatch()
        if backend.check_schema is not None:
            tasks.run(schema.run(backend.check_schema), "store.schema")
        try:
            yield Storage(journal, delivery, backend, schema)
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
        project_store = SupabaseStore(rest)
        yield StoreBackend(project_store, vault, agents, project_store.check_schema)
    finally:
        await agents.aclose()
        await vault.aclose()
        await rest.aclose()
