"""Looks at every open WebSocket once a second: is it there, how much waits, is it a flood."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final, Protocol
from weakref import WeakKeyDictionary

import structlog

from relay.websocket.memory import (
    REFUSING_SHARE,
    largest_holders,
    return_freed_blocks,
    waiting_bound,
)

PERIOD: Final = 1.0
"""Seconds between two looks: a connection that was reset is closed within five."""

SOCKETS_PER_TURN: Final = 200
"""Sockets that are looked at in one turn of the event loop: less than a millisecond."""

log = structlog.get_logger(__name__)


class OpenSocket(Protocol):
    """A WebSocket that can be looked at."""

    def look(self, now: float) -> int:
        """End it if it was reset or is a flood; returns how many bytes wait in it."""

    def end_for_memory(self) -> None:
        """End it: it holds too much."""


class OpenSockets:
    """The open WebSockets of one event loop. `bound` is how many bytes may wait in all of them."""

    def __init__(self, bound: int) -> None:
        self._sockets: set[OpenSocket] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.bound = bound
        self.waiting = 0

    @property
    def has_room(self) -> bool:
        """Whether new callers may come, as far as memory goes."""
        return self.waiting < REFUSING_SHARE * self.bound

    def add(self, opened: OpenSocket) -> None:
        """Look at it from now on."""
        self._sockets.add(opened)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self._begin)

    def discard(self, closed: OpenSocket) -> None:
        """Look at it no more."""
        self._sockets.discard(closed)
        if not self._sockets and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.waiting = 0

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._begin)
        self._go_on(iter(tuple(self._sockets)), [])

    def _go_on(self, rest: Iterator[OpenSocket], seen: list[tuple[OpenSocket, int]]) -> None:
        """Look at the next ones, leave the rest to later turns, and add up in the last."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        some = tuple(islice(rest, SOCKETS_PER_TURN))
        seen += [(each, each.look(now)) for each in some if each in self._sockets]
        if some:
            loop.call_soon(self._go_on, rest, seen)
        else:
            self._add_up(seen)

    def _add_up(self, seen: list[tuple[OpenSocket, int]]) -> None:
        still_open = [(each, size) for each, size in seen if each in self._sockets]
        sizes = [size for _, size in still_open]
        self.waiting = sum(sizes)
        ended = largest_holders(sizes, self.bound)
        for index in ended:
            still_open[index][0].end_for_memory()
        if ended:
            log.warning("too much waits in connections", bytes=self.waiting, ended=len(ended))


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, OpenSockets] = WeakKeyDictionary()


def open_sockets() -> OpenSockets:
    """Those of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        return_freed_blocks()
        found = _of_loop[loop] = OpenSockets(waiting_bound())
    return found


def memory_has_room() -> bool:
    """Whether new callers may come to the running event loop, as far as memory goes."""
    return open_sockets().has_room
