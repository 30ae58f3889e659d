"""Listens and connects with `SansioConnection`, as relay.websocket.server and client do."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from multidict import CIMultiDict
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from relay.websocket.client import ConnectError, ConnectOptions
from relay.websocket.handshake import (
    HandshakeRejected,
    check_origin,
    choose_subprotocol,
    read_handshake,
)
from relay.websocket.server import ListenOptions, OnConnect
from tests.websocket.sansio import SansioConnection


class SansioListener:
    """An open listening socket and the connections that came through it."""

    def __init__(self, on_connect: OnConnect, options: ListenOptions) -> None:
        self._on_connect: Any = on_connect
        self._options = options
        self._connections: set[SansioConnection] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen; raises `OSError` where the address cannot be had."""
        options = self._options
        self._server = await asyncio.get_running_loop().create_server(
            *(self._accept, options.host, options.port),
            ssl=options.ssl_context,
            backlog=options.backlog,
            reuse_port=options.reuse_port,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def __repr__(self) -> str:
        """Read as: how many connections there are."""
        return f"<SansioListener connections={sum(not c.gone for c in self._connections)}>"

    def stop_accepting(self) -> None:
        """Close the listening socket; connections live on."""
        self._server.close()

    async def aclose(self) -> None:
        """Stop accepting and drop every connection that is left."""
        self.stop_accepting()
        for connection in self._connections:
            connection.abort()
        while not all(connection.gone for connection in self._connections):
            await asyncio.sleep(0)

    def _accept(self) -> SansioConnection:
        protocol = ServerProtocol(max_size=self._options.connection.max_message_bytes)
        connection = SansioConnection(protocol, self._options.connection)
        connection.on_request = partial(self._admit, connection, protocol)
        self._connections.add(connection)
        return connection

    def _admit(
        self, connection: SansioConnection, protocol: ServerProtocol, request: Request
    ) -> None:
        options = self._options
        headers = CIMultiDict(request.headers.raw_items())
        asked: Any = SimpleNamespace(path=request.path.encode(), headers=headers)
        try:
            handshake = read_handshake(
                asked, connection.remote.rpartition(":")[0], options.trusted_proxies
            )
            check_origin(handshake, options.allowed_origins)
            chosen = choose_subprotocol(handshake, options.select)
        except HandshakeRejected as rejected:
            response = protocol.reject(rejected.status, f"{rejected.text}\n")
            response.headers.update(rejected.headers)
        else:
            response = protocol.accept(request)
            if chosen:
                response.headers["Sec-WebSocket-Protocol"] = chosen
            connection.options = replace(
                options.connection, farewell_frames=partial(options.farewell_frames, handshake)
            )
            connection.on_open = partial(self._on_connect, connection, handshake)
        protocol.send_response(response)


async def listen(on_connect: OnConnect, options: ListenOptions | None = None) -> SansioListener:
    """Listen as relay.websocket.server.listen does."""
    listener = SansioListener(on_connect, options or ListenOptions())
    await listener.start()
    return listener


async def connect(
    url: str, headers: Iterable[tuple[str, str]] = (), options: ConnectOptions | None = None
) -> SansioConnection:
    """Connect as relay.websocket.client.connect does; raises `ConnectError` alone."""
    options = options or ConnectOptions()
    try:
        address = parse_uri(url)
    except InvalidURI:
        raise ConnectError("address") from None
    protocol = ClientProtocol(address, max_size=options.connection.max_message_bytes)
    connection = SansioConnection(protocol, options.connection)
    connection.request = request = protocol.connect()
    request.headers.update(headers)
    tls = (options.ssl_context or ssl.create_default_context()) if address.secure else None
    try:
        async with asyncio.timeout(options.timeout):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, address.host, address.port, ssl=tls
            )
            await connection.opened
    except TimeoutError:
        connection.abort()
        raise ConnectError("timeout") from None
    except OSError:
        raise ConnectError("network") from None
    return connection
