"""Shares the event loop's time: connections that send much get a bounded part of it together."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

TURN_SECONDS: Final = 0.004
"""CPU seconds that all of them together may take in a turn of the event loop. What was begun, such
as one large message, is finished; then none of them is read for as long as that took, so the other
connections have half of the time, and wait for one such piece at most."""


class BusyReader(Protocol):
    """A connection that sends much, as far as its reading can be stopped."""

    def set_waiting(self, waiting: bool) -> None:
        """Read nothing, or read on."""


class BusyConnections:
    """Those of one event loop. `clock` gives the CPU seconds of this thread."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self.clock = clock
        self._readers: dict[BusyReader, None] = {}  # who has waited longest comes first
        self._shares: deque[Callable[[], None]] = deque()
        self._spent = 0.0
        self._is_scheduled = False
        self._is_closed = False

    def join(self, reader: BusyReader) -> None:
        """Have this one read with the others from now on; what it brought has taken a turn."""
        self._readers[reader] = None
        if self._is_closed:
            reader.set_waiting(True)
        else:
            self.spend(TURN_SECONDS, reader)

    def leave(self, reader: BusyReader) -> None:
        """It sends little again, or is lost."""
        if reader in self._readers:
            del self._readers[reader]
            reader.set_waiting(False)

    def handle(self, share: Callable[[], None]) -> None:
        """Call this once, in the order of coming: now, or when there is time for it."""
        self._shares.append(share)
        self._schedule()

    def spend(self, seconds: float, reader: BusyReader | None = None) -> bool:
        """Account for CPU seconds; False, and all of them are stopped, when it was too much."""
        if reader in self._readers:
            del self._readers[reader]
            self._readers[reader] = None
        self._spent += seconds
        if self._spent >= TURN_SECONDS and not self._is_closed:
            self._is_closed = True
            for each in self._readers:
                each.set_waiting(True)
            asyncio.get_running_loop().call_later(self._spent, self._open)
        self._schedule()
        return not self._is_closed

    def _open(self) -> None:
        self._is_closed = False
        self._spent = 0.0
        for each in tuple(self._readers):
            each.set_waiting(False)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled and not self._is_closed:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Begin another turn: handle the shares that fit into it."""
        self._is_scheduled = False
        if self._is_closed:
            return
        self._spent = 0.0
        for _ in range(len(self._shares)):  # what comes meanwhile is of the next turn
            began = self.clock()
            self._shares.popleft()()
            if not self.spend(self.clock() - began):
                return


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, BusyConnections] = WeakKeyDictionary()


def busy_connections() -> BusyConnections:
    """Those of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = BusyConnections()
    return found
