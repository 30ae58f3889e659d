"""Opens a socket to another machine through an HTTP proxy, by CONNECT (RFC 9110 §9.3.6)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from relay.egress import Proxy, way_out

MOST_HEAD_BYTES: Final = 16 * 1024
"""Of a proxy's answer, whose headers nobody reads."""

PIECE_BYTES: Final = 4 * 1024

HAPPY_EYEBALLS_DELAY: Final = 0.25
"""Seconds until the next address is tried beside the first (RFC 8305 §8)."""

_END: Final = b"\r\n\r\n"


class ProxyRefusal(Exception):  # noqa: N818 - an act of the other end, not a fault of ours
    """The proxy does not lead there; `status` is its HTTP status, None for no HTTP at all."""

    def __init__(self, status: int | None) -> None:
        told = "no HTTP" if status is None else f"HTTP {status}"
        super().__init__(f"the proxy answers {told}")
        self.status = status


@contextlib.asynccontextmanager
async def open_way(url: str) -> AsyncIterator[socket.socket | None]:
    """Open a socket to a `ws(s)://` address by the proxy; None where none is needed.

    For libraries that would read the proxy's login in their own way. Raises as `open_tunnel`.
    """
    proxy, parts = way_out().proxy_to(url), urlsplit(url)
    if proxy is None or parts.hostname is None:
        yield None
        return
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    with await open_tunnel(proxy, parts.hostname, port) as opened:
        yield opened


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket that leads to the host, whose name the proxy resolves.

    Raises `ProxyRefusal`, and OSError where the proxy is not reached.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    connected = await start_connection(
        addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, interleave=1
    )
    with contextlib.ExitStack() as closing:
        closing.callback(connected.close)  # also when cancelled
        await loop.sock_sendall(connected, _request(proxy, host, port))
        await _read_answer(connected)
        closing.pop_all()
    return connected


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join((*lines, "", "")).encode()


async def _read_answer(connected: socket.socket) -> None:
    """Read the head; nothing may follow, since neither TLS nor an upgrade begins at the far end."""
    loop, head = asyncio.get_running_loop(), b""
    while _END not in head:
        piece = await loop.sock_recv(connected, PIECE_BYTES)
        head += piece
        if not piece or len(head) > MOST_HEAD_BYTES:
            raise ProxyRefusal(None)
    version, _, rest = head.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise ProxyRefusal(None)
    if not 200 <= int(status) < 300:
        raise ProxyRefusal(int(status))
    if not head.endswith(_END):
        raise ProxyRefusal(None)
