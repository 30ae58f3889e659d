"""Where words go: the journal, the store, and the delivery between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from relay.stores.delivery import Delivery
from relay.stores.journal import DiskJournal
from relay.stores.sqlite import SqliteStore
from relay.tasks import Tasks

FLUSH_SECONDS: Final = 5.0  # at the end; what is not delivered by then stays in the journal
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Words:
    """Where words go: the journal first, then the store."""

    journal: DiskJournal
    store: SqliteStore
    delivery: Delivery


@asynccontextmanager
async def open_words(folder: Path, tasks: Tasks) -> AsyncIterator[Words]:
    """The journal, the store and the delivery between them; flushed at the end."""
    journal, store = DiskJournal(folder / "journal"), SqliteStore(folder / "relay.db")
    await journal.start()
    delivery = Delivery(journal, store)
    tasks.run(delivery.run(), "delivery")
    try:
        yield Words(journal, store, delivery)
    finally:
        if not await delivery.flush(FLUSH_SECONDS):
            log.warning("not all was delivered; the rest is in the journal")
        await tasks.aclose()
        await journal.aclose()
        await store.aclose()
