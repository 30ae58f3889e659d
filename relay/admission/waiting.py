"""Closes waiting connections on time, and the oldest when too many wait."""

import asyncio
from typing import Final

from relay.admission.addresses import network_of
from relay.admission.waiting_list import Abortable, WaitingList

SWEEP_SECONDS: Final = 0.25
"""Seconds between two looks at the deadlines: one timer for all, and none while nobody waits."""


class WaitingConnections:
    """The connections of one listener that wait to be let in; used on the event loop only."""

    def __init__(self) -> None:
        self._list = WaitingList()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._list)

    def enter(self, connection: Abortable, peer: str, seconds: float, limit: int) -> None:
        """Let it wait for so many seconds; no more than `limit` wait, and others are aborted."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for gone in self._list.enter(connection, network_of(peer), (now, now + seconds), limit):
            gone.abort()
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)

    def rename(self, connection: Abortable, peer: str) -> None:
        """It turned out whose it is: who is behind a proxy is known from the headers alone."""
        self._list.rename(connection, network_of(peer))

    def room_in(self, limit: int) -> float:
        """Seconds until one more may enter where no more than `limit` may wait."""
        return self._list.room_in(limit, asyncio.get_running_loop().time())

    def leave(self, connection: Abortable) -> None:
        """It waits no longer: it was let in, or is closed."""
        self._list.leave(connection)

    def close(self) -> None:
        """Watch no deadline any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for late in self._list.due(loop.time()):
            late.abort()
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep) if len(self._list) else None
