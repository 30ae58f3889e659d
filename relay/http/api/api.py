"""The API put together: its addresses, and what each request passes through."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from relay.feed.hub import FeedHub
from relay.http.api.auth import Authenticator, Authorizer, Learners, RateLimiter
from relay.http.api.coach_audio import CoachAudioHandler
from relay.http.api.errors import FAILED, ORIGIN_REFUSED, ApiError, answer, of_status
from relay.http.api.feeds import Feeds
from relay.http.api.openapi import document
from relay.http.api.sessions import (
    CommandHandlers,
    ConversationArchive,
    ConversationHandlers,
    SessionHandlers,
)
from relay.realtime.grant import Caller

# ---- What goes around every answer of the API: origins, refusals as JSON, and headers.

PREFLIGHT_SECONDS: Final = 600
"""How long a browser may remember that a page is let in."""
_log = logging.getLogger("relay.http")


def refusals_as_json() -> Middleware:
    """Every refusal and fault has the API's own body."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as refused:
            return answer(refused.refusal)
        except web.HTTPException as error:
            return answer(of_status(error.status), error.headers.get(hdrs.ALLOW))
        except Exception:  # noqa: BLE001 - the edge where a fault becomes an answer
            _log.exception("A request could not be answered")
            return answer(FAILED)

    return handle


class Origins:
    """Which pages may ask; an empty list lets every page in. A caller without an Origin is none."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}

    def middleware(self) -> Middleware:
        """Refuse foreign pages with 403, answer a browser's question before the request."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._lets_in(request):
                raise ApiError(ORIGIN_REFUSED)
            if request.method == hdrs.METH_OPTIONS:
                return web.Response(status=204, headers=_PREFLIGHT)
            return await handler(request)

        return handle

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page read the answer (a signal: streams have sent their head before the end)."""
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        response.headers[hdrs.X_CONTENT_TYPE_OPTIONS] = "nosniff"
        origin = request.headers.get(hdrs.ORIGIN)
        if self._allowed:
            response.headers[hdrs.VARY] = hdrs.ORIGIN
        if origin is None or not self._lets_in(request):
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin if self._allowed else "*"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = hdrs.RETRY_AFTER

    def _lets_in(self, request: web.Request) -> bool:
        origin = request.headers.get(hdrs.ORIGIN)
        return origin is None or not self._allowed or origin.rstrip("/").lower() in self._allowed


_PREFLIGHT: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Last-Event-ID",
    hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
}

PREFIX = "/api"


@dataclass(frozen=True, slots=True)
class Api:
    """What the API asks the rest of the program.

    `verify` says whose a token is, `learners` whom a coach may follow, `clock` gives Unix seconds.
    Who shows the `service_key` is an admin. Empty `allowed_origins` let every page in.
    """

    hub: FeedHub
    verify: Callable[[str], Awaitable[Caller]]
    learners: Learners
    clock: Callable[[], float]
    archive: ConversationArchive
    service_key: str = field(default="", repr=False)
    allowed_origins: Collection[str] = ()


def application(api: Api) -> web.Application:
    """The API as an application to be mounted at `PREFIX`."""
    origins = Origins(api.allowed_origins)
    app = web.Application(middlewares=[refusals_as_json(), origins.middleware()])
    app.on_response_prepare.append(origins.mark)
    app.add_routes(_routes(api))
    return app


def _routes(api: Api) -> Iterator[web.RouteDef]:
    gate = Authenticator(api.verify, RateLimiter(api.clock), api.service_key)
    access = Authorizer(api.learners, api.clock)
    reading = SessionHandlers(api.hub, gate, access)
    feeds = Feeds(api.hub, gate, access, reading, api.clock)
    yield web.get("/sessions", reading.sessions)
    yield web.get("/sessions/{id}", reading.session)
    yield web.get("/sessions/{id}/transcript", reading.transcript)
    yield web.get("/sessions/{id}/feed", feeds.feed, allow_head=False)
    yield web.get("/conversations/{id}/transcript", reading.conversation)
    yield from CommandHandlers(gate, reading).routes()
    voices = CoachAudioHandler(gate, access, reading, api.clock)
    yield web.get("/sessions/{id}/voice", voices.voice, allow_head=False)
    archives = ConversationHandlers(api.archive, gate, access, reading)
    yield web.get("/conversations", archives.conversations)
    yield web.post("/conversations/{id}/summary", archives.of_conversation)
    yield web.post("/sessions/{id}/summary", archives.of_session)
    yield web.get("/openapi.json", _openapi)


async def _openapi(_request: web.Request) -> web.Response:
    """Describe the API; this alone needs no token."""
    return web.json_response(document())
