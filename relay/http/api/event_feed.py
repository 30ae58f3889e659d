"""A feed as server-sent events: each message's data is its JSON, its id the cursor after it."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from relay.feed.shapes import ErrorMessage, Fault
from relay.feed.watcher import FINISHED, Shown, Watcher, shown
from relay.http.api.faults import BAD_SINCE, Refused
from relay.http.api.reading import number, since_of
from relay.http.api.stream import SEND_SECONDS, Watching, pump
from relay.realtime.endings import CLIENT_LOST, CLIENT_TOO_SLOW, Ending

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

    async def send(self, shown: Shown) -> None:
        """Send one event."""
        over = _OVER if shown.text.startswith('{"type":"ended"') else ""
        head = "" if shown.cursor is None else f"id: {shown.cursor}{over}\n"
        await self.response.write(f"{head}data: {shown.text}\n\n".encode())

    async def live(self) -> None:
        """Send a comment: proxies drop what is silent, and we learn that nobody is there."""
        await self.response.write(b": live\n\n")


def cursor_of(request: web.Request) -> Cursor:
    """`Last-Event-ID`, which a browser sends when it comes back, else `since`; raises `Refused`."""
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return Cursor(since_of(request))
    seq = number(last.removesuffix(_OVER))
    if seq is None:
        raise Refused(BAD_SINCE)
    return Cursor(seq, over=last.endswith(_OVER))


async def serve(
    request: web.Request, cursor: Cursor, watcher: Watcher, watching: Watching
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
    told = Fault(code=ending.name, message=ending.advice or ending.reason)
    async with asyncio.timeout(SEND_SECONDS):
        await line.send(shown(ErrorMessage(error=told)))
