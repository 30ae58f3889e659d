"""A feed as a WebSocket: one JSON text frame a message; what the coach sends has no meaning."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from relay.auth.tokens import select_subprotocol
from relay.feed.shapes import ErrorMessage
from relay.feed.watcher import Shown, Watcher, shown
from relay.http.api.faults import Refusal, fault
from relay.http.api.gate import offered
from relay.http.api.stream import SEND_SECONDS, Watching, pump
from relay.realtime.endings import CLIENT_LEFT, CLIENT_LOST, CLIENT_TOO_SLOW, Ending

PING_SECONDS: Final = 30.0
"""A socket that answers no ping within half of this is lost."""
CLOSE_SECONDS: Final = 2.0
"""How long the other side may take to answer a close."""
HEARD_BYTES: Final = 4096
"""Largest message of a coach's."""


@dataclass(frozen=True, slots=True)
class SocketFeed:
    """A `relay.http.api.stream.Line`."""

    socket: web.WebSocketResponse
    request: web.Request

    async def send(self, shown: Shown) -> None:
        """Send one message."""
        await self.socket.send_str(shown.text)

    async def live(self) -> None:
        """The wire has its own pings."""

    async def refuse(self, refusal: Refusal) -> None:
        """Say why not in a message that every client can read, then close."""
        try:
            await self.send(shown(ErrorMessage(error=fault(refusal))))
        except ConnectionError:
            return
        await self.close(refusal.ending)

    async def serve(self, watcher: Watcher, watching: Watching) -> None:
        """Send until the feed ends or the coach leaves, then close."""
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self._hear(watcher), name="feed.hear")
            try:
                ending = await pump(self, watcher, watching)
            except ConnectionError:
                ending = CLIENT_LOST
            except TimeoutError:
                ending = CLIENT_TOO_SLOW
            hearing.cancel()
        await self.close(ending)

    async def _hear(self, watcher: Watcher) -> None:
        """Read, so that pings are answered and a close is seen."""
        async for _ in self.socket:
            pass
        watcher.close(CLIENT_LEFT)

    async def close(self, ending: Ending) -> None:
        """Close politely; by force where even that does not leave."""
        try:
            async with asyncio.timeout(SEND_SECONDS if ending is not CLIENT_TOO_SLOW else 0.5):
                await self.socket.close(code=ending.code, message=ending.reason.encode())
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()


async def accept(request: web.Request, most: int = HEARD_BYTES) -> SocketFeed:
    """Complete the handshake, for messages of at most so many bytes.

    The token's subprotocol is never the one that is selected.
    """
    chosen = select_subprotocol(offered(request))
    socket = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        protocols=(chosen,) if chosen else (),
        heartbeat=PING_SECONDS,
        max_msg_size=most,
        compress=False,
    )
    await socket.prepare(request)
    return SocketFeed(socket, request)


def _quotes_no_offer(record: logging.LogRecord) -> bool:
    """Drop the framework's warning of an offer that nothing was taken of: a token may be in it."""
    return "rotocols" not in str(record.msg)


logging.getLogger("aiohttp.websocket").addFilter(_quotes_no_offer)
