"""Listens for WebSocket clients, rejects bad upgrade requests, hands over connections."""

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import aiofastnet
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from relay.admission.accepting import BACKLOG, Acceptor, bind
from relay.admission.descriptors import MAX_NEWCOMERS
from relay.admission.waiting import WaitingConnections
from relay.interfaces import ConnectRequest, Frame
from relay.proxies import TrustedProxies
from relay.realtime.endings import Ending
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.handshake import (
    HandshakeRejected,
    answer_post,
    check_origin,
    choose_subprotocol,
    read_handshake,
)
from relay.websocket.picows_protocol import PicowsConnection, make_connection

OnConnect = Callable[[WebSocketConnection, ConnectRequest], None]
"""Called once the 101 is sent. What it raises closes that connection with 1011, and no other."""

NEWCOMER_SECONDS: Final = 5.0
"""Seconds a client has from the connection to being let in; for TLS as many before that."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where and how to listen.

    An empty `allowed_origins` lets every page in; the forwarding headers of `trusted_proxies` are
    believed. `select` is given the offered subprotocols and
    returns the one to answer with. `farewell_frames` returns the frames a client is sent before a
    close that its connection begins (after a malformed frame, or one too large). `refuse_post`
    returns the JSON of the 404 that a POST at a path is answered with, None: it gets a 400. At most
    `newcomers` connections are open that were not let in (`ConnectRequest.let_in`), each for at
    most `newcomer_seconds`.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    allowed_origins: Collection[str] = ()
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    select: Callable[[tuple[str, ...]], str | None] = lambda _: None
    farewell_frames: Callable[[ConnectRequest, Ending], Iterable[Frame]] = lambda *_: ()
    refuse_post: Callable[[str], dict[str, Any] | None] = lambda _: None
    newcomers: int = MAX_NEWCOMERS
    newcomer_seconds: float = NEWCOMER_SECONDS
    backlog: int = BACKLOG
    reuse_port: bool = False
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


class Listener:
    """A listening socket and the open connections that were accepted on it."""

    def __init__(self, on_connect: OnConnect, options: ListenOptions) -> None:
        self._on_connect = on_connect
        self._options = options
        self._connections: set[PicowsConnection] = set()
        self._newcomers = WaitingConnections()
        self._acceptor: Acceptor | None = None
        self._accepts = False
        self.port = 0

    def __repr__(self) -> str:
        """Show the address and the number of connections."""
        state = "" if self._accepts else " stopped"
        count = len(self._connections)
        return f"<Listener {self._options.host}:{self.port} connections={count}{state}>"

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay open."""
        self._accepts = False
        if self._acceptor is not None:
            self._acceptor.close()

    async def aclose(self) -> None:
        """Stop accepting and abort every connection that is left, handshakes included."""
        self.stop_accepting()
        if self._acceptor is not None:
            await self._acceptor.aclose()
        while self._connections:
            for connection in tuple(self._connections):
                connection.abort()
            # Transports finish on the loop's next turns.
            await asyncio.sleep(0)
        self._newcomers.close()

    async def start(self) -> None:
        """Listen; raises `OSError` if the address cannot be bound."""
        options = self._options
        listening = bind(options.host, options.port, options.backlog, options.reuse_port)
        self._acceptor = Acceptor(listening, self._take, self._room, "voice")
        self._acceptor.start()
        self._accepts = True
        self.port = self._acceptor.port

    def _room(self, coming: int) -> float:
        return self._newcomers.room_in(self._options.newcomers - coming)

    async def _take(self, accepted: socket.socket, peer: str) -> None:
        options = self._options
        tls = options.ssl_context
        try:
            await aiofastnet.connect_accepted_socket(
                asyncio.get_running_loop(),
                lambda: self._make_connection(peer),
                accepted,
                ssl=tls,
                ssl_handshake_timeout=options.newcomer_seconds if tls else None,
                ssl_shutdown_timeout=options.connection.close_grace if tls else None,
            )
        except OSError:  # the client left, or spoke no TLS
            accepted.close()

    def _make_connection(self, peer: str) -> PicowsConnection:
        options = self._options

        def admit(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            return self._admit(request, reference(), peer)

        # What a session keeps must not keep its connection: the read buffer may have megabytes,
        # and would wait for the collection of cycles, which comes seldom.
        protocol = make_connection(
            None,
            admit,
            options.connection.max_message_bytes,
            options.newcomer_seconds,
            _Registration(self, peer),
            lambda target: answer_post(target, options.refuse_post),
        )
        reference = weakref.ref(protocol)
        return protocol

    def opened(self, connection: PicowsConnection, peer: str) -> None:
        """For a registration: this connection's socket is open."""
        options = self._options
        self._connections.add(connection)
        self._newcomers.enter(connection, peer, options.newcomer_seconds, options.newcomers)

    def closed(self, connection: PicowsConnection) -> None:
        """For a registration: it is closed."""
        self._connections.discard(connection)
        self._newcomers.leave(connection)

    def _admit(
        self, request: WSUpgradeRequest, protocol: PicowsConnection | None, peer: str
    ) -> WSUpgradeResponseWithListener:
        """Upgrade or reject. Nothing may be raised: picows would send the text to the client."""
        options = self._options
        assert protocol is not None  # noqa: S101 - it calls this
        try:
            asked = read_handshake(request, peer, options.trusted_proxies)
            self._newcomers.rename(protocol, asked.client_ip)
            connect_request = replace(asked, let_in=partial(self._let_in, weakref.ref(protocol)))
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
        connection.join(protocol)
        headers = {"Sec-WebSocket-Protocol": chosen} if chosen else None
        response = WSUpgradeResponse.create_101_response(headers)
        return WSUpgradeResponseWithListener(response, connection)

    def _let_in(self, reference: "weakref.ref[PicowsConnection]") -> None:
        """The caller of this connection has a place, if it is still there."""
        connection = reference()
        if connection is not None:
            self._newcomers.leave(connection)


class _Registration:
    """Tells the listener when one connection is opened and closed, and who opened it."""

    __slots__ = ("_listener", "_peer")

    def __init__(self, listener: Listener, peer: str) -> None:
        self._listener = listener
        self._peer = peer

    def add(self, connection: PicowsConnection) -> None:
        """Its socket is open."""
        self._listener.opened(connection, self._peer)

    def discard(self, connection: PicowsConnection) -> None:
        """It is closed."""
        self._listener.closed(connection)


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
