"""GET /api/sessions/{id}/feed: who may watch, and on what wire they asked to."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from aiohttp import hdrs, web

from relay.auth.tokens import select_subprotocol
from relay.feed.hub import FeedHub
from relay.feed.messages import ApiFault, ErrorMessage
from relay.feed.subscriber import FINISHED, EncodedMessage, Subscriber, shown
from relay.http.api.auth import Authenticator, Authorizer, offered
from relay.http.api.errors import (
    BAD_SINCE,
    FULL,
    NO_FEED,
    RESTARTING,
    UNAVAILABLE,
    ApiError,
    ApiErrorSpec,
    fault,
)
from relay.http.api.sessions import SessionHandlers, number, since_of
from relay.realtime import endings
from relay.realtime.endings import (
    CLIENT_LEFT,
    CLIENT_LOST,
    CLIENT_TOO_SLOW,
    SERVICE_RESTART,
    Ending,
)
from relay.realtime.endings import SessionRefused as HubRefused
from relay.realtime.grant import Caller

# ---- A feed on its way to one coach, whatever it travels on: in order, in time, until it ends.

SEND_SECONDS: Final = 10.0
"""How long one message may take to leave; a coach who takes none for so long is too slow."""
QUIET_SECONDS: Final = 15.0
"""After so long without news a sign of life goes out, and the coach's rights are looked at."""


class FeedWriter(Protocol):
    """A WebSocket, or an event stream."""

    async def send(self, shown: EncodedMessage) -> None:
        """Send one message; raises ConnectionError when nobody is there."""

    async def live(self) -> None:
        """Send a sign of life, where the wire has none of its own; raises ConnectionError."""


@dataclass(frozen=True, slots=True)
class FeedPermission:
    """Who watches what: `user_id` is whose session it is. `clock` gives Unix seconds."""

    caller: Caller
    user_id: str
    access: Authorizer
    clock: Callable[[], float]

    async def may_go_on(self) -> Ending | None:
        """Why not, None when nothing speaks against it."""
        if self.clock() >= self.caller.expires_at:
            return endings.TOKEN_EXPIRED
        try:
            sees = await self.access.sees(self.caller)
        except ApiError:  # nobody can be asked; who was let in stays
            return None
        return None if sees(self.user_id) else endings.FORBIDDEN

    def patience(self, checked_at: float) -> float:
        """Seconds until the next look at the caller's rights."""
        now = self.clock()
        return max(0.0, min(checked_at + QUIET_SECONDS, self.caller.expires_at) - now)


async def pump(line: FeedWriter, watcher: Subscriber, watching: FeedPermission) -> Ending:
    """Send what the watcher has until it is closed; returns why.

    Raises ConnectionError when nobody takes it any more, TimeoutError when that takes too long.
    """
    checked_at = watching.clock()
    while True:
        try:
            async with asyncio.timeout(watching.patience(checked_at)):
                shown = await watcher.next()
        except TimeoutError:
            ending, checked_at = await watching.may_go_on(), watching.clock()
            if ending is not None:
                return ending
            async with asyncio.timeout(SEND_SECONDS):
                await line.live()
            continue
        if shown is None:
            return watcher.ending or endings.INTERNAL_ERROR
        async with asyncio.timeout(SEND_SECONDS):
            await line.send(shown)


# ---- A feed as server-sent events: each message's data is its JSON, its id the cursor after it.

RETRY_MS: Final = 1000
"""How long a browser waits before it comes back by itself."""
_OVER: Final = "-ended"
"""Follows the cursor in the last event's id: who comes back with it has seen everything."""
_HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # a proxy between us and the page must not wait for more
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a browser goes on from; `over`: it has seen the end."""

    seq: int
    over: bool = False


@dataclass(frozen=True, slots=True)
class EventFeed:
    """A `relay.http.api.stream.Line`."""

    response: web.StreamResponse

    async def send(self, shown: EncodedMessage) -> None:
        """Send one event."""
        over = _OVER if shown.text.startswith('{"type":"ended"') else ""
        head = "" if shown.cursor is None else f"id: {shown.cursor}{over}\n"
        await self.response.write(f"{head}data: {shown.text}\n\n".encode())

    async def live(self) -> None:
        """Send a comment: proxies drop what is silent, and we learn that nobody is there."""
        await self.response.write(b": live\n\n")


def cursor_of(request: web.Request) -> Cursor:
    """`Last-Event-ID`, as a reconnecting browser sends it, else `since`; raises `ApiError`."""
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return Cursor(since_of(request))
    seq = number(last.removesuffix(_OVER))
    if seq is None:
        raise ApiError(BAD_SINCE)
    return Cursor(seq, over=last.endswith(_OVER))


async def serve(
    request: web.Request, cursor: Cursor, watcher: Subscriber, watching: FeedPermission
) -> web.StreamResponse:
    """Send until the feed ends or the coach leaves."""
    if cursor.over:  # the one answer after which a browser does not come back
        return web.Response(status=204)
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    line = EventFeed(response)
    try:
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        ending = await pump(line, watcher, watching)
        if ending is not FINISHED:
            await _farewell(line, ending)
        await response.write_eof()
    except (ConnectionError, TimeoutError) as error:
        ending = CLIENT_TOO_SLOW if isinstance(error, TimeoutError) else CLIENT_LOST
        if request.transport is not None:
            request.transport.abort()
    return response


async def _farewell(line: EventFeed, ending: Ending) -> None:
    """An event stream has no close code: say why it ends."""
    told = ApiFault(code=ending.name, message=ending.advice or ending.reason)
    async with asyncio.timeout(SEND_SECONDS):
        await line.send(shown(ErrorMessage(error=told)))


# ---- A feed as a WebSocket: one JSON text frame a message; what the coach sends has no meaning.

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

    async def send(self, shown: EncodedMessage) -> None:
        """Send one message."""
        await self.socket.send_str(shown.text)

    async def live(self) -> None:
        """The wire has its own pings."""

    async def refuse(self, refusal: ApiErrorSpec) -> None:
        """Say why not in a message that every client can read, then close."""
        try:
            await self.send(shown(ErrorMessage(error=fault(refusal))))
        except ConnectionError:
            return
        await self.close(refusal.ending)

    async def serve(self, watcher: Subscriber, watching: FeedPermission) -> None:
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

    async def _hear(self, watcher: Subscriber) -> None:
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

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Feeds:
    """`clock` gives Unix seconds."""

    hub: FeedHub
    gate: Authenticator
    access: Authorizer
    reading: SessionHandlers
    clock: Callable[[], float]

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """Serve the feed as it is asked for: as a WebSocket, or as server-sent events."""
        async with AsyncExitStack() as stack:
            if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
                line = await accept(request)
                # A browser cannot read an answer that refuses the handshake, so that is done.
                try:
                    watcher, watching = await self._enter(request, since_of(request), stack)
                except ApiError as refused:
                    await line.refuse(refused.refusal)
                else:
                    await line.serve(watcher, watching)
                return line.socket
            if "text/event-stream" not in request.headers.get(hdrs.ACCEPT, ""):
                raise ApiError(NO_FEED)
            cursor = cursor_of(request)
            watcher, watching = await self._enter(request, cursor.seq, stack)
            return await serve(request, cursor, watcher, watching)

    async def _enter(
        self, request: web.Request, since: int, stack: AsyncExitStack
    ) -> tuple[Subscriber, FeedPermission]:
        """Let the caller watch until the stack closes; raises `ApiError`."""
        caller = await self.gate.enter(request)
        feed = await self.reading.find(request, caller)
        stack.enter_context(self.gate.rates.feed(caller.sub))
        try:
            watcher = await stack.enter_async_context(self.hub.watch(feed, since))
        except HubRefused as refused:
            restarts = refused.ending == SERVICE_RESTART
            raise ApiError(RESTARTING if restarts else FULL) from refused
        except Exception as error:  # a store raises what its library does
            log.warning("words cannot be read", error=type(error).__name__)
            raise ApiError(UNAVAILABLE) from error
        return watcher, FeedPermission(caller, feed.head.user_id, self.access, self.clock)
