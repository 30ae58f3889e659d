"""Decides by the first bytes of a connection whether it is a WebSocket or plain HTTP.

Both are served on one port. `websockets` reads no request but an upgrade, so what is none has to be
given to another server before `websockets` sees it. Once that is decided the transport has the
chosen protocol and nothing of this lies on its way.
"""

import asyncio
import re
from collections.abc import Callable
from typing import cast

from websockets.asyncio.server import ServerConnection
from websockets.server import ServerProtocol

OPENING_SECONDS = 10.0
"""Seconds a client may take for the head of its first request, as `websockets` has it."""

MAX_HEAD_BYTES = 16 << 10
"""Bytes after which a head that is still incomplete is left to `websockets`, which refuses it."""

_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket", re.IGNORECASE)
_REALTIME = re.compile(rb"GET /(v1/|openai/v1/)?realtime[ ?]")
_GET = b"GET "

Protocols = Callable[[], asyncio.Protocol]


class FirstBytes(asyncio.Protocol):
    """The protocol of a connection until it is known who serves it.

    `protocol` is what `websockets.serve` reads of the connections that it makes.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        make_websocket: Protocols,
        make_http: Protocols,
        undecided: set["FirstBytes"],
    ) -> None:
        self.protocol = protocol
        self._make_websocket = make_websocket
        self._make_http = make_http
        self._undecided = undecided
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(OPENING_SECONDS, self.abort)
        self._undecided.add(self)

    def data_received(self, data: bytes) -> None:
        """Hand the connection over as soon as its bytes tell to whom."""
        self._head += data
        websocket = is_websocket(bytes(self._head))
        if websocket is not None and self._transport is not None:
            self._forget()
            chosen = self._make_websocket() if websocket else self._make_http()
            self._transport.set_protocol(chosen)
            chosen.connection_made(self._transport)
            chosen.data_received(bytes(self._head))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a connection that ended before it was decided."""
        self._forget()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._undecided.discard(self)


def is_websocket(head: bytes) -> bool | None:
    """Return whether these first bytes are for `websockets`, None where they do not tell yet.

    An upgrade is, and so is any GET of the Realtime API's address, which is told to upgrade.
    """
    if not head.startswith(_GET[: len(head)]):
        return False
    if b"\r\n\r\n" not in head and len(head) <= MAX_HEAD_BYTES:
        return None
    return bool(_UPGRADE.search(head) or _REALTIME.match(head) or len(head) > MAX_HEAD_BYTES)


def websocket_or(make_http: Protocols, undecided: set[FirstBytes]) -> type[ServerConnection]:
    """Return what `websockets.serve` takes as its `create_connection`.

    Connections that are neither yet are in `undecided`.
    """

    def create(protocol: ServerProtocol, *args: object, **more: object) -> FirstBytes:
        def make_websocket() -> asyncio.Protocol:
            return ServerConnection(protocol, *args, **more)  # type: ignore[arg-type]

        return FirstBytes(protocol, make_websocket, make_http, undecided)

    # It asks for a class, and only ever calls it.
    return cast("type[ServerConnection]", create)
