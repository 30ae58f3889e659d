"""Serves a session's live feed, over a WebSocket or as server-sent events."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from aiohttp import hdrs, web

from relay.auth.tokens import select_subprotocol
from relay.clock import MachineClock
from relay.feed.hub import FeedHub
from relay.feed.messages import ApiFault, ErrorMessage
from relay.feed.subscriber import FINISHED, EncodedMessage, Subscriber, encode
from relay.http.api.auth import Authenticator, Authorizer, offered_subprotocols
from relay.http.api.errors import (
    BAD_SINCE,
    FULL,
    NO_FEED,
    RESTARTING,
    UNAVAILABLE,
    ApiError,
    ApiErrorSpec,
    error_fields,
)
from relay.http.api.sessions import SessionHandlers, parse_number, parse_since
from relay.http.connections import make_room
from relay.realtime import endings
from relay.realtime.endings import (
    CLIENT_LEFT,
    CLIENT_LOST,
    CLIENT_TOO_SLOW,
    SERVICE_RESTART,
    Ending,
    SessionRefused,
)
from relay.realtime.grant import Caller
from relay.tasks import error_fields as logged_fields

SEND_SECONDS: Final = 10.0
"""Seconds sending one message may take; a coach who reads nothing for that long is too slow."""
QUIET_SECONDS: Final = 15.0
"""Seconds without a message until a keep-alive is sent and the coach's access checked again."""

RETRY_MS: Final = 1000
"""Milliseconds a browser waits before it reconnects an event stream."""
_ENDED: Final = "-ended"
"""Suffix of the last event's id: a browser that sends it has seen the end."""
_EVENT_STREAM_HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # nginx must not buffer the stream
}

PING_SECONDS: Final = 30.0
"""Interval of WebSocket pings; one without an answer after half of it is lost."""
CLOSE_SECONDS: Final = 2.0
"""Seconds the other side may take to answer a close."""
MAX_MESSAGE_BYTES: Final = 4096
"""Bytes of a message from a coach, whose content is ignored."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedPermission:
    """A caller's permission to follow the sessions of `user_id`."""

    caller: Caller
    user_id: str
    authorizer: Authorizer
    clock: MachineClock

    async def revoked(self) -> Ending | None:
        """The reason why the caller may not go on, None while they may."""
        if self.clock.unix() >= self.caller.expires_at:
            return endings.TOKEN_EXPIRED
        try:
            is_visible = await self.authorizer.visible_to(self.caller)
        except ApiError:  # the store is unavailable: callers who were admitted stay
            return None
        return None if is_visible(self.user_id) else endings.FORBIDDEN

    def next_check_in(self, checked_at: float) -> float:
        """Seconds until `revoked` has to be asked again, after it was asked at `checked_at`.

        That is by the monotonic clock; the machine's own may be set while somebody follows.
        """
        quiet = checked_at + QUIET_SECONDS - self.clock.monotonic()
        return max(0.0, min(quiet, self.caller.expires_at - self.clock.unix()))


@dataclass(frozen=True, slots=True)
class FeedHandler:
    """GET /api/sessions/{id}/feed."""

    hub: FeedHub
    authenticator: Authenticator
    authorizer: Authorizer
    sessions: SessionHandlers
    clock: MachineClock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve the feed as the request asks: over a WebSocket, or as server-sent events."""
        async with AsyncExitStack() as stack:
            if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
                writer = await accept_socket(request)
                # A browser cannot read why a handshake is refused, so it is completed first.
                try:
                    since = parse_since(request)
                    subscriber, permission = await self._subscribe(request, since, stack)
                except ApiError as refused:
                    await writer.refuse(refused.spec)
                else:
                    await writer.serve(subscriber, permission)
                return writer.socket
            if "text/event-stream" not in request.headers.get(hdrs.ACCEPT, ""):
                raise ApiError(NO_FEED)
            cursor = cursor_of(request)
            subscriber, permission = await self._subscribe(request, cursor.seq, stack)
            return await serve_events(request, cursor, subscriber, permission)

    async def _subscribe(
        self, request: web.Request, since: int, stack: AsyncExitStack
    ) -> tuple[Subscriber, FeedPermission]:
        """Subscribe the caller until the stack closes; raises `ApiError`."""
        caller = await self.authenticator.authenticate(request)
        feed = await self.sessions.find(request, caller)
        stack.enter_context(self.authenticator.limiter.open_feed(caller.sub))
        try:
            subscriber = await stack.enter_async_context(self.hub.subscribe(feed, since))
        except SessionRefused as refused:
            restarts = refused.ending == SERVICE_RESTART
            raise ApiError(RESTARTING if restarts else FULL) from refused
        except Exception as error:  # a store raises what its library does
            log.warning("could not read stored utterances", **logged_fields(error))
            raise ApiError(UNAVAILABLE) from error
        return subscriber, FeedPermission(caller, feed.head.user_id, self.authorizer, self.clock)


class FeedWriter(Protocol):
    """The transport of a feed: a WebSocket or an event stream."""

    async def send(self, message: EncodedMessage) -> None:
        """Send one message; raises ConnectionError when the connection is lost."""

    async def keep_alive(self) -> None:
        """Send a sign of life, where the transport has none itself; raises ConnectionError."""


async def pump(writer: FeedWriter, subscriber: Subscriber, permission: FeedPermission) -> Ending:
    """Send the subscriber's messages until it is closed or its permission ends; returns why.

    Raises ConnectionError when the connection is lost, TimeoutError when sending takes too long.
    """
    checked_at = permission.clock.monotonic()
    while True:
        try:
            async with asyncio.timeout(permission.next_check_in(checked_at)):
                message = await subscriber.next()
        except TimeoutError:
            ending, checked_at = await permission.revoked(), permission.clock.monotonic()
            if ending is not None:
                return ending
            async with asyncio.timeout(SEND_SECONDS):
                await writer.keep_alive()
            continue
        if message is None:
            return subscriber.ending or endings.INTERNAL_ERROR
        async with asyncio.timeout(SEND_SECONDS):
            await writer.send(message)


@dataclass(frozen=True, slots=True)
class EventCursor:
    """The position after which a browser resumes; `is_over` when it has seen the end."""

    seq: int
    is_over: bool = False


def cursor_of(request: web.Request) -> EventCursor:
    """`Last-Event-ID`, as a reconnecting browser sends it, else `since`; raises `ApiError`."""
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return EventCursor(parse_since(request))
    seq = parse_number(last.removesuffix(_ENDED))
    if seq is None:
        raise ApiError(BAD_SINCE)
    return EventCursor(seq, is_over=last.endswith(_ENDED))


async def serve_events(
    request: web.Request, cursor: EventCursor, subscriber: Subscriber, permission: FeedPermission
) -> web.StreamResponse:
    """Send server-sent events until the feed ends or the coach leaves."""
    if cursor.is_over:  # 204 is the one status after which a browser does not reconnect
        return web.Response(status=204)
    response = web.StreamResponse(headers=_EVENT_STREAM_HEADERS)
    await response.prepare(request)
    writer = EventStreamWriter(response)
    try:
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        ending = await pump(writer, subscriber, permission)
        if ending is not FINISHED:
            await writer.send_ending(ending)
        await response.write_eof()
    except (ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
    return response


@dataclass(frozen=True, slots=True)
class EventStreamWriter:
    """A `FeedWriter` of server-sent events: a message's JSON is the data, the cursor its id."""

    response: web.StreamResponse

    async def send(self, message: EncodedMessage) -> None:
        """Send one event."""
        suffix = _ENDED if message.text.startswith('{"type":"ended"') else ""
        head = "" if message.cursor is None else f"id: {message.cursor}{suffix}\n"
        await self.response.write(f"{head}data: {message.text}\n\n".encode())

    async def keep_alive(self) -> None:
        """Send a comment: proxies drop silent streams, and a lost connection shows."""
        await self.response.write(b": live\n\n")

    async def send_ending(self, ending: Ending) -> None:
        """Send the reason of the end, since an event stream has no close code."""
        error = ApiFault(code=ending.name, message=ending.advice or ending.reason)
        async with asyncio.timeout(SEND_SECONDS):
            await self.send(encode(ErrorMessage(error=error)))


@dataclass(frozen=True, slots=True)
class SocketWriter:
    """A `FeedWriter` on a WebSocket: one text frame a message; a coach's frames are ignored."""

    socket: web.WebSocketResponse
    request: web.Request

    async def send(self, message: EncodedMessage) -> None:
        """Send one message."""
        await self.socket.send_str(message.text)

    async def keep_alive(self) -> None:
        """Do nothing: the socket sends pings."""

    async def refuse(self, spec: ApiErrorSpec) -> None:
        """Send the error as a message that every client can read, then close."""
        make_room(self.request)
        try:
            await self.send(encode(ErrorMessage(error=error_fields(spec))))
        except ConnectionError:
            return
        await self.close(spec.ending)

    async def serve(self, subscriber: Subscriber, permission: FeedPermission) -> None:
        """Send messages until the feed ends or the coach leaves, then close."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(subscriber), name="feed.read")
            try:
                ending = await pump(self, subscriber, permission)
            except ConnectionError:
                ending = CLIENT_LOST
            except TimeoutError:
                ending = CLIENT_TOO_SLOW
            reading.cancel()
        await self.close(ending)

    async def _read(self, subscriber: Subscriber) -> None:
        """Read frames, so that pings are answered and a close is noticed."""
        async for _ in self.socket:
            pass
        subscriber.close(CLIENT_LEFT)

    async def close(self, ending: Ending) -> None:
        """Close with the ending's code; abort the connection where the close frame is stuck."""
        try:
            async with asyncio.timeout(SEND_SECONDS if ending is not CLIENT_TOO_SLOW else 0.5):
                await self.socket.close(code=ending.code, message=ending.reason.encode())
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()


async def accept_socket(
    request: web.Request, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> SocketWriter:
    """Complete the handshake; the subprotocol that carries the token is never selected."""
    chosen = select_subprotocol(offered_subprotocols(request))
    socket = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        protocols=(chosen,) if chosen else (),
        heartbeat=PING_SECONDS,
        max_msg_size=max_message_bytes,
        compress=False,
    )
    await socket.prepare(request)
    return SocketWriter(socket, request)


def _quotes_no_subprotocol(record: logging.LogRecord) -> bool:
    """Drop aiohttp's warning of subprotocols that do not overlap: one may hold a token."""
    return "rotocols" not in str(record.msg)


logging.getLogger("aiohttp.websocket").addFilter(_quotes_no_subprotocol)
