"""Opens WebSocket connections: one attempt, no redirect, no compression, by the way out."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import urlsplit

import aiofastnet
from aiohappyeyeballs import start_connection
from picows import WSError, WSHandshakeError, WSInvalidStatusError

from relay.egress import way_out
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.picows_protocol import Target, make_connection
from relay.websocket.tunnel import HAPPY_EYEBALLS_DELAY, ProxyRefusal, open_tunnel

UPSTREAM_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Retrieved audio of four minutes is this large (PROTOCOL §3 "Sizes")."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for all of name, socket, TLS and upgrade."""


Kind = Literal["address", "dns", "refused", "certificate", "tls", "http", "timeout", "network"]
"""The address is none; its name has no address; nothing listens there; its certificate is not
trusted; TLS fails otherwise; HTTP answers instead of an upgrade; it takes too long; the rest."""
ConnectStage = Literal["proxy", "dns", "connect", "tls", "upgrade"]
"""What opening a connection takes, in this order; a proxy stands for the next two."""

REASONS: Final[dict[Kind, str]] = {
    "address": "it is no address of a WebSocket",
    "dns": "its name cannot be resolved",
    "refused": "nothing listens there",
    "certificate": "its certificate is not trusted",
    "tls": "it does not speak TLS as it should",
    "http": "it refuses the upgrade",
    "timeout": "it does not answer in time",
    "network": "the network to it fails",
}
"""How it failed, in words for people."""


class ConnectError(Exception):
    """A connection could not be opened.

    `kind` is how it failed, at `stage`; `status` is the HTTP status of a refusal. The text names
    neither headers nor the query, since either may hold a key.
    """

    def __init__(
        self, kind: Kind, status: int | None = None, stage: ConnectStage | None = None
    ) -> None:
        super().__init__(f"refused by HTTP {status}" if status else kind)
        self.kind = kind
        self.status = status
        self.stage = stage

    @property
    def reason(self) -> str:
        """How it failed, in words for people."""
        if self.stage == "proxy":
            said = f"HTTP {self.status}" if self.status else self.kind
            return f"its proxy does not lead there ({said})"
        return f"{REASONS[self.kind]} (HTTP {self.status})" if self.status else REASONS[self.kind]


class ConnectStages:
    """The stage of a connection that is being opened, and the seconds that each stage took."""

    def __init__(self) -> None:
        self.current: ConnectStage | None = None
        self.seconds: dict[ConnectStage, float] = {}
        self._began = 0.0

    def enter(self, stage: ConnectStage | None) -> None:
        """Leave the stage of the moment, and enter another one."""
        now = asyncio.get_running_loop().time()
        if self.current is not None:
            self.seconds[self.current] = now - self._began
        self.current, self._began = stage, now


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect.

    `timeout` is in seconds; without `ssl_context` whoever the way out trusts is trusted.
    `measured` is given the seconds of each stage once the connection is open. Some servers send
    their events in binary messages: they are read like others.
    """

    timeout: float = CONNECT_TIMEOUT
    ssl_context: ssl.SSLContext | None = None
    measured: Callable[[Mapping[ConnectStage, float]], None] = lambda _: None
    connection: ConnectionOptions = field(
        default_factory=lambda: ConnectionOptions(max_message_bytes=UPSTREAM_MESSAGE_BYTES)
    )


async def connect(
    url: str, headers: Iterable[tuple[str, str]] = (), options: ConnectOptions | None = None
) -> WebSocketConnection:
    """Open a WebSocket to a `ws://` or `wss://` address; raises `ConnectError` only."""
    options, stages = options or ConnectOptions(), ConnectStages()
    try:
        async with asyncio.timeout(options.timeout):
            connection = await _connect(url, tuple(headers), options, stages)
    except WSInvalidStatusError as error:
        status = error.response.status if error.response else None
        raise ConnectError("http", status and int(status), "upgrade") from None
    except ProxyRefusal as refused:
        raise ConnectError("http", refused.status, "proxy") from None
    except (WSError, OSError) as error:
        # Only its kind: the details of an ssl.SSLError may quote what we sent.
        raise ConnectError(_kind(error), stage=stages.current) from None
    options.measured(stages.seconds)
    return connection


_KINDS: Final[tuple[tuple[type[Exception], Kind], ...]] = (
    (TimeoutError, "timeout"),
    (socket.gaierror, "dns"),
    (ssl.SSLCertVerificationError, "certificate"),
    (ssl.SSLError, "tls"),
)


def _kind(error: Exception) -> Kind:
    for kind_of_error, kind in _KINDS:
        if isinstance(error, kind_of_error):
            return kind
    is_refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
    return "refused" if is_refused else "network"


async def _connect(
    url: str,
    headers: tuple[tuple[str, str], ...],
    options: ConnectOptions,
    stages: ConnectStages,
) -> WebSocketConnection:
    host, port, target, secure = _parse_url(url, headers)
    limits = replace(options.connection, binary=WebSocketConnection.read_as_text)
    connection = WebSocketConnection(limits)
    protocol = make_connection(
        target, lambda *_: connection, limits.max_message_bytes, options.timeout, set()
    )
    connection.join(protocol)
    tls = (options.ssl_context or way_out().tls()) if secure else None
    connected = await _reach(url, (host, port), stages)
    stages.enter("tls" if tls else "upgrade")
    try:
        await aiofastnet.create_connection(
            asyncio.get_running_loop(),
            lambda: protocol,
            sock=connected,
            ssl=tls,
            server_hostname=host if tls else None,
            ssl_shutdown_timeout=limits.close_grace if tls else None,
        )
        stages.enter("upgrade")
        await protocol.wait_until_handshake_complete()
        stages.enter(None)
    except BaseException:
        # Also when cancelled: no caller will ever get this connection.
        protocol.abort()
        connected.close()
        raise
    if protocol.transport.response is None:
        raise WSHandshakeError("the connection was closed before it was upgraded")
    return connection


async def _reach(url: str, address: tuple[str, int], stages: ConnectStages) -> socket.socket:
    proxy = way_out().proxy_to(url)
    if proxy is None:
        return await _connect_socket(*address, stages)
    stages.enter("proxy")
    return await open_tunnel(proxy, *address)


async def _connect_socket(host: str, port: int, stages: ConnectStages) -> socket.socket:
    """Connect to the fastest address; asyncio's own race leaks a socket when it is cancelled."""
    loop = asyncio.get_running_loop()
    stages.enter("dns")
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    stages.enter("connect")
    return await start_connection(
        addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, interleave=1
    )


def _parse_url(url: str, headers: tuple[tuple[str, str], ...]) -> tuple[str, int, Target, bool]:
    """Return host, port, target, and whether it is `wss://`."""
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
    except ValueError:
        raise ConnectError("address") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username is not None:
        raise ConnectError("address")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, Target(parts.netloc, resource, headers), secure
