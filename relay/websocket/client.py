"""Opens WebSocket connections: one attempt, no redirect, no proxy, no compression."""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal
from urllib.parse import urlsplit

import aiofastnet
from aiohappyeyeballs import start_connection
from picows import WSError, WSHandshakeError, WSInvalidStatusError

from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.picows_protocol import Target, make_connection

UPSTREAM_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Retrieved audio of four minutes is this large (PROTOCOL §3 "Sizes")."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for all of name, socket, TLS and upgrade."""

HAPPY_EYEBALLS_DELAY: Final = 0.25
"""Seconds until the next address is tried beside the first (RFC 8305 §8)."""


class ConnectError(Exception):
    """A connection could not be opened.

    `kind` is how it failed, `status` the HTTP status of a refusal. The text names neither headers
    nor the query, since either may hold a key.
    """

    def __init__(
        self, kind: Literal["address", "refused", "timeout", "network"], status: int | None = None
    ) -> None:
        super().__init__(f"{kind} by HTTP {status}" if status else kind)
        self.kind = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect.

    `timeout` is in seconds; without `ssl_context` the system's root certificates are trusted.
    """

    timeout: float = CONNECT_TIMEOUT
    ssl_context: ssl.SSLContext | None = None
    connection: ConnectionOptions = field(
        default_factory=lambda: ConnectionOptions(max_message_bytes=UPSTREAM_MESSAGE_BYTES)
    )


async def connect(
    url: str, headers: Iterable[tuple[str, str]] = (), options: ConnectOptions | None = None
) -> WebSocketConnection:
    """Open a WebSocket to a `ws://` or `wss://` address; raises `ConnectError` only."""
    options = options or ConnectOptions()
    try:
        async with asyncio.timeout(options.timeout):
            return await _connect(url, tuple(headers), options)
    except TimeoutError:
        raise ConnectError("timeout") from None
    except WSInvalidStatusError as error:
        status = error.response.status if error.response else None
        raise ConnectError("refused", status and int(status)) from None
    except (WSError, OSError):
        # ssl.SSLError is an OSError; its details may quote what we sent.
        raise ConnectError("network") from None


async def _connect(
    url: str, headers: tuple[tuple[str, str], ...], options: ConnectOptions
) -> WebSocketConnection:
    host, port, target, secure = _parse_url(url, headers)
    limits = options.connection
    connection = WebSocketConnection(limits)
    protocol = make_connection(
        target, lambda *_: connection, limits.max_message_bytes, options.timeout, set()
    )
    protocol.on_unreadable(connection.on_unreadable)
    tls = (options.ssl_context or _system_roots()) if secure else None
    connected = await _connect_socket(host, port)
    try:
        await aiofastnet.create_connection(
            asyncio.get_running_loop(),
            lambda: protocol,
            sock=connected,
            ssl=tls,
            server_hostname=host if tls else None,
            ssl_shutdown_timeout=limits.close_grace if tls else None,
        )
        await protocol.wait_until_handshake_complete()
    except BaseException:
        # Also when cancelled: no caller will ever get this connection.
        protocol.abort()
        connected.close()
        raise
    if protocol.transport.response is None:
        raise WSHandshakeError("the connection was closed before it was upgraded")
    return connection


async def _connect_socket(host: str, port: int) -> socket.socket:
    """Connect to the fastest address; asyncio's own race leaks a socket when it is cancelled."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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


@cache
def _system_roots() -> ssl.SSLContext:
    """Load once: it takes milliseconds and a megabyte."""
    return ssl.create_default_context()
