"""Accepts TCP connections: a few at each turn of the event loop, none while that cannot succeed."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from relay.tasks import Tasks

BACKLOG: Final = 1024
"""Connections the kernel queues until they are accepted; clients reconnect all at once."""

ACCEPTS_PER_TURN: Final = 4
"""Connections that are accepted before the event loop's other work has its turn: each costs about
as much as ten relayed frames, and a flood of them must not keep a call waiting."""

PAUSE_SECONDS: Final = 0.5
"""Seconds without accepting after descriptors or memory lacked, or a whole turn in which every
connection failed; the kernel queues meanwhile."""

QUIET_SECONDS: Final = 60.0
"""Seconds in which the cause of pauses is logged once."""

_LACKS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_LACKING: Final = "accepting pauses: too few descriptors"
_FAILING: Final = "accepting pauses: it fails again and again"

Take = Callable[[socket.socket, str], Coroutine[Any, Any, None]]
"""Sets up an accepted connection, given its socket and the peer's address; it owns the socket."""

Room = Callable[[int], float]
"""Given how many connections are being set up, the seconds until one more may be accepted."""

log = structlog.get_logger(__name__)


def bind(host: str, port: int, backlog: int = BACKLOG, reuse_port: bool = False) -> socket.socket:
    """A listening socket, for both families at `::`; raises `OSError` if it cannot be bound."""
    listening = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=backlog,
        reuse_port=reuse_port,
        dualstack_ipv6=host == "::",
    )
    listening.setblocking(False)
    return listening


class Acceptor:
    """Accepts the connections of one listening socket until it is closed, while there is room.

    The accept loops of the event loops and of aiofastnet close the listener, or accept anew without
    a pause, when a process has no descriptor left.
    """

    def __init__(self, listening: socket.socket, take: Take, room: Room, name: str) -> None:
        self._listening = listening
        self._take = take
        self._room = room
        self._name = name
        self._tasks = Tasks(self._failed)
        self._pause: asyncio.TimerHandle | None = None
        self._quiet_until = float("-inf")
        self.port: int = listening.getsockname()[1]

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening, once or again; connections that were accepted go on."""
        if self._listening.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._listening.fileno())
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._listening.close()

    async def aclose(self) -> None:
        """Stop listening, and give up the connections that are being set up."""
        self.close()
        await self._tasks.aclose()

    def _accept(self) -> None:
        failures = 0
        for _ in range(ACCEPTS_PER_TURN):
            if (seconds := self._room(len(self._tasks))) > 0.0:
                self._rest(seconds)
                return
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _LACKS:
                    self._pause_for(error, _LACKING)
                    return
                failures += 1  # that one was lost before it was accepted, or none can be
                if failures == ACCEPTS_PER_TURN:
                    self._pause_for(error, _FAILING)
                continue
            connection.setblocking(False)
            self._tasks.run(self._take(connection, address[0]), "accept")

    def _rest(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        self._pause = loop.call_later(seconds, self.start)

    def _pause_for(self, error: OSError, event: str) -> None:
        loop = asyncio.get_running_loop()
        self._rest(PAUSE_SECONDS)
        if loop.time() >= self._quiet_until:
            self._quiet_until = loop.time() + QUIET_SECONDS
            name = errno.errorcode.get(error.errno or 0, "")
            log.warning(event, listener=self._name, error=name)

    def _failed(self, _name: str, error: BaseException) -> None:
        log.warning("accepting failed", listener=self._name, error=type(error).__name__)
