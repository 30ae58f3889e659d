"""Reads WebSocket upgrade requests and rejects invalid ones."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from picows import WSUpgradeRequest

from relay.interfaces import ConnectRequest
from relay.proxies import TrustedProxies

MAX_QUERY_FIELDS: Final = 64
"""More parameters than any known client sends."""

MAX_SUBPROTOCOLS: Final = 32
"""More subprotocols than any known client offers."""

_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class HandshakeRejected(Exception):  # noqa: N818 - an act of the other end, not a fault of ours
    """The request gets this HTTP response instead of an upgrade."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def read_handshake(request: WSUpgradeRequest, peer: str, proxies: TrustedProxies) -> ConnectRequest:
    """Read an upgrade request; raises `HandshakeRejected` if it is not one or exceeds a limit.

    `peer` is the address of the TCP peer.
    """
    _check_upgrade(request)
    path, query = _split_target(request.path)
    headers = request.headers
    forwarded_for = headers.getall("X-Forwarded-For", [])
    return ConnectRequest(
        path=path,
        query=_parse_query(query),
        headers=headers,
        subprotocols=_parse_subprotocols(headers.getall("Sec-WebSocket-Protocol", [])),
        origin=headers.get("Origin"),
        client_ip=proxies.client_ip(peer, forwarded_for, headers.get("X-Real-IP")),
    )


def check_origin(request: ConnectRequest, allowed: Collection[str]) -> None:
    """Raise `HandshakeRejected` unless the Origin is allowed; only browsers send an Origin."""
    if not allowed or request.origin is None:
        return
    origin = request.origin.rstrip("/").lower()
    if origin not in {each.rstrip("/").lower() for each in allowed}:
        raise HandshakeRejected(403, "Origin not allowed")


def choose_subprotocol(
    request: ConnectRequest, select: Callable[[tuple[str, ...]], str | None]
) -> str | None:
    """What `select` chooses of the offered subprotocols, None if that was not offered."""
    chosen = select(request.subprotocols)
    return chosen if chosen in request.subprotocols else None


def answer_post(target: bytes, refuse: Callable[[str], dict[str, Any] | None]) -> bytes | None:
    """The 404 to a POST with the body that `refuse` gives for its path; None where it gives none.

    The path has no query and is printable ASCII.
    """
    body = refuse(_UNPRINTABLE.sub("?", target.partition(b"?")[0].decode("latin-1")))
    if body is None:
        return None
    content = json.dumps(body).encode()
    head = (
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


def _check_upgrade(request: WSUpgradeRequest) -> None:
    headers = request.headers
    upgrade = _tokens(headers.getall("Upgrade", []))
    connection = _tokens(headers.getall("Connection", []))
    if "websocket" not in upgrade or "upgrade" not in connection:
        raise HandshakeRejected(426, "This address speaks WebSocket", (("Upgrade", "websocket"),))
    if headers.get("Sec-WebSocket-Version") != "13":
        raise HandshakeRejected(
            426, "WebSocket version 13 is needed", (("Sec-WebSocket-Version", "13"),)
        )
    if not _is_valid_key(headers.getall("Sec-WebSocket-Key", [])):
        raise HandshakeRejected(400, "Bad WebSocket key")
    # Firefox sends "keep-alive, Upgrade", which picows 2.3.1 would refuse.
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "upgrade"


def _tokens(values: list[str]) -> list[str]:
    return [token.strip().lower() for value in values for token in value.split(",")]


def _is_valid_key(values: list[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _split_target(target: bytes) -> tuple[str, str]:
    """Split into path and query, from either form of a request target (RFC 9112 §3.2)."""
    try:
        address = target.decode("ascii")
        if not address.startswith("/"):
            parts = urlsplit(address)
            return parts.path or "/", parts.query
    except ValueError:
        raise HandshakeRejected(400, "Bad address") from None
    path, _, query = address.partition("?")
    return path, query


def _parse_query(query: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise HandshakeRejected(414, "Too many query parameters") from None


def _parse_subprotocols(values: list[str]) -> tuple[str, ...]:
    names = [name.strip() for value in values for name in value.split(",")]
    offered = [name for name in names if name]
    if len(offered) > MAX_SUBPROTOCOLS or not all(map(_TOKEN.fullmatch, offered)):
        raise HandshakeRejected(400, "Bad WebSocket subprotocol")
    return tuple(dict.fromkeys(offered))
