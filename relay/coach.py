"""The coach's side put together: feeds told by the journal, and the API that shows them."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from relay.auth.tokens import Verifier
from relay.feed.feed import History
from relay.feed.hub import Hub
from relay.http.api.api import Api
from relay.http.api.sessions import Archive
from relay.interfaces import Store
from relay.stores.journal.journal import DiskJournal
from relay.summary.model import Writer
from relay.summary.summariser import Summariser
from relay.tasks import Tasks

LAST_WORDS_SECONDS: Final = 1.0
"""At the end: how long the last words may take to the disk, and so to those who watch."""


@dataclass(frozen=True, slots=True)
class Coach:
    """Feeds of all sessions of this process. `clock` gives Unix seconds."""

    hub: Hub
    journal: DiskJournal
    store: Store
    clock: Callable[[], float]
    summariser: Summariser

    def api(self, verifier: Verifier, service_key: str, origins: Collection[str]) -> Api:
        """What the HTTP side shows; who holds the service key is an admin."""
        store, keep = self.store, self.journal.append
        archive = Archive(store.conversations, keep, self.summariser, self.clock)
        known = verifier.verify, store.learners, self.clock, archive
        return Api(self.hub, *known, service_key, origins)

    async def aclose(self) -> None:
        """Show the last words and ends, then send away who still watches."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.journal.settled()
        self.hub.close()


def open_coach(
    journal: DiskJournal,
    store: Store,
    tasks: Tasks,
    clock: Callable[[], float],
    writer: Writer | None = None,
) -> Coach:
    """Feeds that run until `tasks` are closed; mind `aclose` before the listeners go.

    `writer` is the text model for summaries, None where there is none.
    """
    hub = Hub(History(journal, store), clock)
    journal.subscribe(hub.committed)
    tasks.run(hub.run(), "feeds")
    return Coach(hub, journal, store, clock, Summariser(writer, clock))
