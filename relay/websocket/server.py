"""The listening side: accepts callers, refuses what is no WebSocket, hands over peers."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, cast

import aiofastnet
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from relay.interfaces import Frame
from relay.websocket.closing import CloseFrame, ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.handshake import (
    Handshake,
    HandshakeRejected,
    check_origin,
    choose_subprotocol,
    read_handshake,
)
from relay.websocket.picows_protocol import PicowsConnection, address_of, make_connection

OnConnect = Callable[[WebSocketConnection, Handshake], None]
"""Called once the 101 is out. What it raises ends that connection with 1011 and no other."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds a caller has for TLS, and again for the upgrade request."""

BACKLOG: Final = 1024
"""Callers that the kernel keeps until they are accepted; a reconnecting crowd comes at once."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where and how to listen.

    An empty `allowed_origins` lets every page in. `select` is given the offered subprotocols and
    names the one to answer with. `last_words` gives what a caller is sent before a close of the
    wire's own (a broken frame, or one too large). `handshake_timeout` is in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    allowed_origins: Collection[str] = ()
    select: Callable[[tuple[str, ...]], str | None] = lambda _: None
    last_words: Callable[[Handshake, CloseFrame], Iterable[Frame]] = lambda *_: ()
    handshake_timeout: float = HANDSHAKE_TIMEOUT
    backlog: int = BACKLOG
    reuse_port: bool = False
    peer: ConnectionOptions = field(default_factory=ConnectionOptions)


class ListeningSocket(socket.socket):
    """A listening socket that survives a want of file descriptors.

    aiofastnet 1.2.0 then asks the socket, and not the loop, to stop watching it for a second. A
    plain socket knows no such thing, and the loop would spin.
    """

    def remove_reader(self, number: int) -> None:
        """Stop watching this socket."""
        asyncio.get_running_loop().remove_reader(number)


class Listener:
    """An open listening socket and the connections that came through it."""

    def __init__(self, on_connect: OnConnect, options: ListenOptions) -> None:
        self._on_connect = on_connect
        self._options = options
        self._connections: set[PicowsConnection] = set()
        self._server: asyncio.AbstractServer | None = None
        self.port = 0

    def __repr__(self) -> str:
        """Read as: address and how many connections there are."""
        state = "" if self._server else " stopped"
        count = len(self._connections)
        return f"<Listener {self._options.host}:{self.port} connections={count}{state}>"

    def stop_accepting(self) -> None:
        """Close the listening socket; connections live on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def aclose(self) -> None:
        """Stop accepting and drop every connection that is left, handshakes included."""
        self.stop_accepting()
        while self._connections:
            for connection in tuple(self._connections):
                connection.abort()
            # Transports finish on the loop's next turns.
            await asyncio.sleep(0)

    async def start(self) -> None:
        """Listen; raises `OSError` where the address cannot be had."""
        options = self._options
        tls = options.ssl_context
        ear = ListeningSocket(fileno=self._bind().detach())
        self._server = await aiofastnet.create_server(
            asyncio.get_running_loop(),
            self._make_connection,
            sock=ear,
            backlog=options.backlog,
            ssl=tls,
            ssl_handshake_timeout=options.handshake_timeout if tls else None,
            ssl_shutdown_timeout=options.peer.close_grace if tls else None,
        )
        self.port = cast("int", ear.getsockname()[1])

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
            return self._admit(request, connection)

        connection = make_connection(
            None,
            admit,
            options.peer.max_message_bytes,
            options.handshake_timeout,
            self._connections,
        )
        return connection

    def _admit(
        self, request: WSUpgradeRequest, connection: PicowsConnection
    ) -> WSUpgradeResponseWithListener:
        """Upgrade or refuse. Nothing may be raised: picows would send the text to the caller."""
        options = self._options
        remote = address_of(connection.transport.underlying_transport)
        try:
            handshake = read_handshake(request, remote)
            check_origin(handshake, options.allowed_origins)
            chosen = choose_subprotocol(handshake, options.select)
        except HandshakeRejected as refused:
            return _refusal(refused)
        except Exception as fault:  # noqa: BLE001 - a `select` of the caller's may raise anything
            options.peer.on_fault(fault)
            return _refusal(HandshakeRejected(500, "Internal server error"))
        answer = {"Sec-WebSocket-Protocol": chosen} if chosen else None
        habits = replace(options.peer, last_words=partial(options.last_words, handshake))
        peer = WebSocketConnection(habits, lambda peer: self._on_connect(peer, handshake))
        connection.watch(peer)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(answer), peer)


def _refusal(refused: HandshakeRejected) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_error_response(
        refused.status, f"{refused.text}\n".encode(), refused.headers
    )
    return WSUpgradeResponseWithListener(response, None)


async def listen(on_connect: OnConnect, options: ListenOptions | None = None) -> Listener:
    """Listen for WebSocket callers; raises `OSError` where the address cannot be had."""
    listener = Listener(on_connect, options or ListenOptions())
    await listener.start()
    return listener
