"""Both far ends of every session in one cheap process: the callers and a fake engine."""

import asyncio
import ssl
import time
from array import array
from collections.abc import Callable
from typing import Final

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)

from tests.benchmarks.frames import HEAD_BYTES, read_stamp, session_created, session_updated
from tests.benchmarks.schedule import Send

PATIENCE: Final = 15.0
"""Seconds within which all sessions of a fleet must open, or close."""

_AT_ONCE: Final = 16  # callers that connect at the same time
_TEXT: Final = WSMsgType.TEXT
_CLOSE: Final = WSMsgType.CLOSE
_UPDATE: Final = b'{"type":"session.update"'
_CREATED: Final = b"session.created"


class Tally:
    """Frames of one direction: how many came, and how long each took while that was kept."""

    __slots__ = ("keeping", "nanoseconds", "received", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.keeping = False
        self.nanoseconds = array("q")

    def take(self, head: bytes) -> None:
        """Count a frame with this beginning where it is one of the load's."""
        sent = read_stamp(head)
        if sent is None:
            return
        self.received += 1
        if self.keeping:
            self.nanoseconds.append(time.monotonic_ns() - sent)

    def sending(self, transport: WSTransport) -> Send:
        """A way to send that counts."""
        send = transport.send

        def counted(frame: bytes) -> None:
            self.sent += 1
            send(_TEXT, frame)

        return counted


class Caller(WSListener):
    """One client; `greeted` is done when `session.created` came."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count it."""
        if frame.msg_type is not _TEXT:
            return
        head = bytes(frame.get_payload_as_memoryview()[:HEAD_BYTES])
        self._tally.take(head)
        if not self.greeted.done() and _CREATED in head:
            self.greeted.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Whoever waits for a greeting has waited enough."""
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError("a caller was turned away"))


class Answerer(WSListener):
    """The fake engine's side of one session: greets, and answers what a session is told."""

    def __init__(self, tally: Tally, here: set[WSTransport]) -> None:
        self._tally = tally
        self._here = here

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Greet."""
        self._here.add(transport)
        transport.send(_TEXT, session_created())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count it, or say that the session was updated."""
        if frame.msg_type is not _TEXT:
            if frame.msg_type is _CLOSE:
                transport.send_close()
                transport.disconnect()
            return
        head = bytes(frame.get_payload_as_memoryview()[:HEAD_BYTES])
        if head.startswith(_UPDATE):
            transport.send(_TEXT, session_updated())
        else:
            self._tally.take(head)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Gone."""
        self._here.discard(transport)


class Engines:
    """The fake engine, listening on a port of its own until `aclose`."""

    def __init__(self) -> None:
        self.here: set[WSTransport] = set()
        self.tally = Tally()  # of the sessions that come from now on
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None) -> None:
        """Listen on loopback."""

        def answer(request: WSUpgradeRequest) -> WSListener:
            return Answerer(self.tally, self.here)

        self._server = await ws_create_server(answer, "127.0.0.1", 0, ssl=tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def until(self, enough: Callable[[int], bool]) -> None:
        """Wait for a number of sessions to be here."""
        async with asyncio.timeout(PATIENCE):
            while not enough(len(self.here)):
                await asyncio.sleep(0.01)

    async def aclose(self) -> None:
        """Stop listening and drop what is left."""
        if self._server is not None:
            self._server.close()
        for transport in tuple(self.here):
            transport.disconnect(graceful=False)
        await asyncio.sleep(0)


class Fleet:
    """The callers of one address, all connected."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.tally = Tally()
        self.here: list[WSTransport] = []

    async def open(self, count: int, url: str, token: str, tls: ssl.SSLContext | None) -> None:
        """Connect so many; returns when all were greeted and their engines are here."""
        self._engines.tally = Tally()
        places = asyncio.Semaphore(_AT_ONCE)
        headers = {"Authorization": f"Bearer {token}"}

        async def connect() -> None:
            async with places:
                caller = Caller(self.tally)
                transport, _ = await ws_connect(
                    lambda: caller, url, ssl_context=tls, extra_headers=headers
                )
                self.here.append(transport)
                await caller.greeted

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(connect())
        await self._engines.until(lambda here: here == count)

    async def close(self) -> None:
        """Say goodbye, and wait until the engines' side has seen it."""
        for transport in self.here:
            transport.send_close()
        await self._engines.until(lambda here: here == 0)
        for transport in self.here:
            transport.disconnect(graceful=False)
        self.here.clear()
