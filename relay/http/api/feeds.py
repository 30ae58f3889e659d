"""GET /api/sessions/{id}/feed: who may watch, and on what wire they asked to."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web

from relay.feed.hub import Hub
from relay.feed.watcher import Watcher
from relay.http.api import event_feed, socket_feed
from relay.http.api.access import Access
from relay.http.api.faults import FULL, NO_FEED, RESTARTING, UNAVAILABLE, Refused
from relay.http.api.gate import Gate
from relay.http.api.reading import Reading, since_of
from relay.http.api.stream import Watching
from relay.realtime.endings import SERVICE_RESTART
from relay.realtime.endings import Refused as HubRefused

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Feeds:
    """`clock` gives Unix seconds."""

    hub: Hub
    gate: Gate
    access: Access
    reading: Reading
    clock: Callable[[], float]

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """Serve the feed as it is asked for: as a WebSocket, or as server-sent events."""
        async with AsyncExitStack() as stack:
            if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
                line = await socket_feed.accept(request)
                # A browser cannot read an answer that refuses the handshake, so that is done.
                try:
                    watcher, watching = await self._enter(request, since_of(request), stack)
                except Refused as refused:
                    await line.refuse(refused.refusal)
                else:
                    await line.serve(watcher, watching)
                return line.socket
            if "text/event-stream" not in request.headers.get(hdrs.ACCEPT, ""):
                raise Refused(NO_FEED)
            cursor = event_feed.cursor_of(request)
            watcher, watching = await self._enter(request, cursor.seq, stack)
            return await event_feed.serve(request, cursor, watcher, watching)

    async def _enter(
        self, request: web.Request, since: int, stack: AsyncExitStack
    ) -> tuple[Watcher, Watching]:
        """Let the caller watch until the stack closes; raises `Refused`."""
        caller = await self.gate.enter(request)
        feed = await self.reading.find(request, caller)
        stack.enter_context(self.gate.rates.feed(caller.sub))
        try:
            watcher = await stack.enter_async_context(self.hub.watch(feed, since))
        except HubRefused as refused:
            restarts = refused.ending == SERVICE_RESTART
            raise Refused(RESTARTING if restarts else FULL) from refused
        except Exception as error:  # a store raises what its library does
            log.warning("words cannot be read", error=type(error).__name__)
            raise Refused(UNAVAILABLE) from error
        return watcher, Watching(caller, feed.head.user_id, self.access, self.clock)
