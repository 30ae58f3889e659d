"""Bounds the HTTP listener's connections: how many are open, how long one waits for a request."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.admission.descriptors import MAX_HTTP
from relay.admission.waiting import WaitingConnections

MAX_WAITING: Final = 200
"""Connections that wait for a request: they have shown no token."""
REQUEST_SECONDS: Final = 5.0
"""Seconds from a connection to the last header of its first request."""
IDLE_SECONDS: Final = 30.0
"""Seconds for what is left of an answer and for the next request: Prometheus asks every 15 s."""

MAX_HEAD_BYTES: Final = 16 * 1024 - 1
"""Of a connection's first request: its line and its headers, as on the voice listener."""
MAX_FIELDS: Final = 64
"""Headers of one request, each of them as large: 1 MiB, of requests that come after the first."""
DISCARDED_BYTES: Final = 48 * 1024
"""What is read on of a request that was refused: a reset would overtake the answer."""
HEAD_END: Final = b"\r\n\r\n"
HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: relay\r\n"
    b"Content-Type: application/json\r\nContent-Length: 93\r\nConnection: close\r\n\r\n"
    b'{"error":{"code":"headers_too_large",'
    b'"message":"The request and its headers exceed 16 KiB."}}'
)

MakeProtocol = Callable[[], asyncio.Protocol]


class HttpConnections:
    """The connections of one HTTP listener; `make` makes the protocol that reads requests.

    At most `limit` are open. Where they are not enough, the oldest that waits for a request, or was
    refused, makes room; where every one is being answered, a new one is closed.
    """

    def __init__(self, make: MakeProtocol, limit: int = MAX_HTTP) -> None:
        self._make = make
        self._limit = limit
        self._waiting = WaitingConnections()
        self._open: dict[asyncio.BaseTransport, HttpConnection] = {}
        self._answering: set[asyncio.BaseTransport] = set()

    def __len__(self) -> int:
        return len(self._open)

    def room(self, coming: int) -> float:
        """Seconds until one more may be accepted beside those that are being set up."""
        return self._waiting.room_in(self._may_wait() - coming)

    async def take(self, accepted: socket.socket, peer: str) -> None:
        """Serve a connection that was accepted."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: HttpConnection(self, self._make(), peer), accepted
            )
        except OSError:  # the client left
            accepted.close()

    def middleware(self) -> Middleware:
        """What has a handler's request count as being answered."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            with self._answer(request.transport):
                return await handler(request)

        return handle

    def close(self) -> None:
        """Watch no deadline any more."""
        self._waiting.close()

    def opened(self, connection: "HttpConnection", transport: asyncio.BaseTransport) -> None:
        """For a connection: it is open."""
        self._open[transport] = connection
        self._wait(connection, REQUEST_SECONDS)

    def lost(self, connection: "HttpConnection", transport: asyncio.BaseTransport) -> None:
        """For a connection: it is closed."""
        self._open.pop(transport, None)
        self._waiting.leave(connection)

    @contextmanager
    def _answer(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        connection = self._open.get(transport) if transport is not None else None
        if transport is None or connection is None:  # it is closed already
            yield
            return
        self._waiting.leave(connection)
        self._answering.add(transport)
        try:
            yield
        finally:
            self.wait_again(transport, IDLE_SECONDS)

    def wait_again(self, transport: asyncio.BaseTransport, seconds: float) -> None:
        """It is no longer being answered, but waits, for so long; repeats change nothing."""
        if transport in self._answering:
            self._answering.discard(transport)
            if transport in self._open:
                self._wait(self._open[transport], seconds)

    def _wait(self, connection: "HttpConnection", seconds: float) -> None:
        self._waiting.enter(connection, connection.peer, seconds, self._may_wait())

    def _may_wait(self) -> int:
        return min(MAX_WAITING, self._limit - len(self._answering))


CONNECTIONS: Final = web.AppKey("connections", HttpConnections)
"""Where an application has the connections of its listener."""


def make_room(request: web.Request) -> None:
    """Let others have the place of a caller who was refused and is still to close."""
    connections = request.config_dict.get(CONNECTIONS)
    if connections is not None and request.transport is not None:
        connections.wait_again(request.transport, REQUEST_SECONDS)


class RequestHead:
    """Measures a request up to its empty line, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._size = 0
        self._last = b""
        self._is_over = False

    def takes(self, piece: bytes) -> bool:
        """Whether it is no larger than `MAX_HEAD_BYTES` with this piece."""
        if self._is_over:
            return True
        text = self._last + piece
        end = text.find(HEAD_END)
        self._is_over = end >= 0
        read = end + len(HEAD_END) if self._is_over else len(text)
        self._size += read - len(self._last)
        self._last = text[1 - len(HEAD_END) :]
        return self._size <= MAX_HEAD_BYTES


class HttpConnection(asyncio.Protocol):
    """One connection, which passes everything on to the protocol that reads requests.

    A first request whose head is too large is answered here, and not passed on.
    """

    def __init__(self, owner: HttpConnections, inner: asyncio.Protocol, peer: str) -> None:
        self.peer = peer
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._inner = inner
        self._head = RequestHead()
        self._discarded: int | None = None
        self.eof_received = inner.eof_received  # type: ignore[method-assign]  # no call between
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._inner.connection_made(transport)
        self._owner.opened(self, transport)

    def data_received(self, data: bytes) -> None:
        """So much was read."""
        if self._discarded is not None:
            self._discard(len(data))
        elif self._head.takes(data):
            self._inner.data_received(data)
        else:
            self._refuse()

    def _refuse(self) -> None:
        self._discarded = 0
        if self._transport is not None:
            self._transport.write(HEAD_TOO_LARGE)
            self._transport.write_eof()

    def _discard(self, count: int) -> None:
        self._discarded = (self._discarded or 0) + count
        if self._discarded >= DISCARDED_BYTES and self._transport is not None:
            self._transport.pause_reading()  # until the time of the request is over

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed."""
        self._inner.connection_lost(error)
        if self._transport is not None:
            self._owner.lost(self, self._transport)

    def abort(self) -> None:
        """Close the socket at once."""
        if self._transport is not None:
            self._transport.abort()
