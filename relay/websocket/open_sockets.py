"""Looks at every open WebSocket once a second: is it there, how much waits, is it a flood."""

import asyncio
import time
from collections.abc import Callable, Iterator
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

NOTICE_PERIOD: Final = 0.05
"""The least seconds between two looks at all sockets for large messages: a microsecond each."""

LOOK_SECONDS: Final = 0.001
"""CPU seconds after which the other sockets wait for later turns of the event loop: some hundreds
were looked at by then, or some megabytes were given back."""

log = structlog.get_logger(__name__)


class OpenSocket(Protocol):
    """A WebSocket that can be looked at."""

    def look(self, now: float) -> int:
        """End it if it was reset or is a flood; returns how many bytes wait in it."""

    def notice_size(self) -> int:
        """Be busy while its read buffer is large; the most bytes of an unfinished frame in it."""

    def end_for_memory(self) -> None:
        """End it: it holds too much."""


class OpenSockets:
    """The open WebSockets of one event loop. `bound` is how many bytes may wait in all of them.

    `clock` gives the CPU seconds of this thread.
    """

    def __init__(self, bound: int, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._sockets: set[OpenSocket] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._noticed_at = float("-inf")
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

    def notice_large(self) -> None:
        """A large message came: notice who else is about to bring one, now and then."""
        now = asyncio.get_running_loop().time()
        if now - self._noticed_at >= NOTICE_PERIOD:
            self._noticed_at = now
            for each in tuple(self._sockets):
                each.notice_size()

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._begin)
        self._go_on(iter(tuple(self._sockets)), [])

    def _go_on(self, rest: Iterator[OpenSocket], seen: list[tuple[OpenSocket, int]]) -> None:
        """Look at the next ones, leave the rest to later turns, and add up in the last."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        until = self._clock() + LOOK_SECONDS
        for each in rest:
            if each in self._sockets:
                seen.append((each, each.look(now)))
            if self._clock() > until:
                loop.call_soon(self._go_on, rest, seen)
                return
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
