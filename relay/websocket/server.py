"""Listens for WebSocket clients, rejects bad upgrade requests, hands over connections."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, cast

import aiofastnet
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from relay.interfaces import ConnectRequest, Frame
from relay.proxies import TrustedProxies
from relay.websocket.closing import CloseFrame, ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.handshake import (
    HandshakeRejected,
    check_origin,
    choose_subprotocol,
    read_handshake,
)
from relay.websocket.picows_protocol import PicowsConnection, make_connection

OnConnect = Callable[[WebSocketConnection, ConnectRequest], None]
"""Called once the 101 is sent. What it raises closes that connection with 1011, and no other."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds a client has for TLS, and again for the upgrade request."""

BACKLOG: Final = 1024
"""Connections the kernel queues until they are accepted; clients reconnect all at once."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where and how to listen.

    An empty `allowed_origins` lets every page in; the forwarding headers of `trusted_proxies` are
    believed. `select` is given the offered subprotocols and
    returns the one to answer with. `farewell_frames` returns the frames a client is sent before a
    close that its connection begins (after a malformed frame, or one too large).
    `handshake_timeout` is in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    allowed_origins: Collection[str] = ()
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    select: Callable[[tuple[str, ...]], str | None] = lambda _: None
    farewell_frames: Callable[[ConnectRequest, CloseFrame], Iterable[Frame]] = lambda *_: ()
    handshake_timeout: float = HANDSHAKE_TIMEOUT
    backlog: int = BACKLOG
    reuse_port: bool = False
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


class ListeningSocket(socket.socket):
    """A listening socket that survives running out of file descriptors.

    aiofastnet 1.2.0 then asks the socket, and not the loop, to stop watching it for a second. A
    plain socket has no such method, and the loop would spin.
    """

    def remove_reader(self, fd: int) -> None:
        """Stop watching this socket."""
        asyncio.get_running_loop().remove_reader(fd)


class Listener:
    """A listening socket and the open connections that were accepted on it."""

    def __init__(self, on_connect: OnConnect, options: ListenOptions) -> None:
        self._on_connect = on_connect
        self._options = options
        self._connections: set[PicowsConnection] = set()
        self._server: asyncio.AbstractServer | None = None
        self.port = 0

    def __repr__(self) -> str:
        """Show the address and the number of connections."""
        state = "" if self._server else " stopped"
        count = len(self._connections)
        return f"<Listener {self._options.host}:{self.port} connections={count}{state}>"

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay open."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def aclose(self) -> None:
        """Stop accepting and abort every connection that is left, handshakes included."""
        self.stop_accepting()
        while self._connections:
            for connection in tuple(self._connections):
                connection.abort()
            # Transports finish on the loop's next turns.
            await asyncio.sleep(0)

    async def start(self) -> None:
        """Listen; raises `OSError` if the address cannot be bound."""
        options = self._options
        tls = options.ssl_context
        listening = ListeningSocket(fileno=self._bind().detach())
        self._server = await aiofastnet.create_server(
            asyncio.get_running_loop(),
            self._make_connection,
            sock=listening,
            backlog=options.backlog,
            ssl=tls,
            ssl_handshake_timeout=options.handshake_timeout if tls else None,
            ssl_shutdown_timeout=options.connection.close_grace if tls else None,
        )
        self.port = cast("int", listening.getsockname()[1])

    def _bind(self) -> socket.socket:
        options = self._options
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server(
            (options.host, options.port),
            family=family,
            backlog=options.backlog,
            reuse_port=options.reuse_port,
            dualstack_ipv6=options.host == "::",
        )

    def _make_connection(self) -> PicowsConnection:
        options = self._options

        def admit(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            return self._admit(request, protocol)

        protocol = make_connection(
            None,
            admit,
            options.connection.max_message_bytes,
            options.handshake_timeout,
            self._connections,
        )
        return protocol

    def _admit(
        self, request: WSUpgradeRequest, protocol: PicowsConnection
    ) -> WSUpgradeResponseWithListener:
        """Upgrade or reject. Nothing may be raised: picows would send the text to the client."""
        options = self._options
        name = protocol.transport.underlying_transport.get_extra_info("peername")
        peer = name[0] if isinstance(name, tuple) else ""
        try:
            connect_request = read_handshake(request, peer, options.trusted_proxies)
            check_origin(connect_request, options.allowed_origins)
            chosen = choose_subprotocol(connect_request, options.select)
        except HandshakeRejected as rejected:
            return _rejection(rejected)
        except Exception as fault:  # noqa: BLE001 - `select` may raise anything
            options.connection.on_fault(fault)
            return _rejection(HandshakeRejected(500, "Internal server error"))
        connection = WebSocketConnection(
            replace(
                options.connection,
                farewell_frames=partial(options.farewell_frames, connect_request),
            ),
            lambda connection: self._on_connect(connection, connect_request),
        )
        protocol.on_unreadable(connection.on_unreadable)
        headers = {"Sec-WebSocket-Protocol": chosen} if chosen else None
        response = WSUpgradeResponse.create_101_response(headers)
        return WSUpgradeResponseWithListener(response, connection)


def _rejection(rejected: HandshakeRejected) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_error_response(
        rejected.status, f"{rejected.text}\n".encode(), rejected.headers
    )
    return WSUpgradeResponseWithListener(response, None)


async def listen(on_connect: OnConnect, options: ListenOptions | None = None) -> Listener:
    """Listen for WebSocket clients; raises `OSError` if the address cannot be bound."""
    listener = Listener(on_connect, options or ListenOptions())
    await listener.start()
    return listener
