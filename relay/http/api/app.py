"""Builds the coach's API: its routes, cross-origin policy and JSON errors."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from relay.clock import MachineClock
from relay.feed.hub import FeedHub
from relay.http.api.auth import Authenticator, Authorizer, Learners, RateLimiter
from relay.http.api.coach_audio import CoachAudioHandler
from relay.http.api.errors import FAILED, ORIGIN_REFUSED, ApiError, error_response, spec_of_status
from relay.http.api.feeds import FeedHandler
from relay.http.api.openapi import document
from relay.http.api.sessions import (
    CommandHandlers,
    ConversationArchive,
    ConversationHandlers,
    SessionHandlers,
)
from relay.interfaces import SessionDirectory
from relay.proxies import TrustedProxies
from relay.realtime.grant import Caller

PREFIX: Final = "/api"
PREFLIGHT_SECONDS: Final = 600
"""Seconds a browser may cache the answer to a preflight request."""
_PREFLIGHT: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Last-Event-ID",
    hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
}
_log = logging.getLogger("relay.http")


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The rest of the program as the API sees it.

    `verify` gives a token's caller, `learners` the users whom a coach may follow. A bearer of the
    `service_key` is an admin. Empty `allowed_origins` allow every page. `refused` is given the
    cause of each refused token; `proxies` are those whose word on a client's address is believed.
    """

    directory: SessionDirectory
    hub: FeedHub
    verify: Callable[[str], Awaitable[Caller]]
    learners: Learners
    clock: MachineClock
    archive: ConversationArchive
    service_key: str = field(default="", repr=False)
    allowed_origins: Collection[str] = ()
    refused: Callable[[str], None] = lambda _: None
    proxies: TrustedProxies = field(default_factory=TrustedProxies)


def create_api(services: ApiServices) -> web.Application:
    """Build the aiohttp application that is mounted at `PREFIX`."""
    cors = CorsPolicy(services.allowed_origins)
    app = web.Application(middlewares=[_json_errors, cors.middleware()])
    app.on_response_prepare.append(cors.add_headers)
    app.add_routes(_routes(services))
    return app


def _routes(services: ApiServices) -> Iterator[web.RouteDef]:
    limiter = RateLimiter(services.clock.monotonic)
    authenticator = Authenticator(
        services.verify, limiter, services.service_key, services.refused, services.proxies
    )
    authorizer = Authorizer(services.learners, services.clock.monotonic)
    sessions = SessionHandlers(services.hub, authenticator, authorizer)
    feeds = FeedHandler(services.hub, authenticator, authorizer, sessions, services.clock)
    directory, clock = services.directory, services.clock
    audio = CoachAudioHandler(directory, authenticator, authorizer, sessions, clock)
    conversations = ConversationHandlers(
        services.archive, services.hub, authenticator, authorizer, sessions
    )
    yield web.get("/sessions", sessions.list_sessions)
    yield web.get("/sessions/{id}", sessions.get_session)
    yield web.get("/sessions/{id}/transcript", sessions.get_transcript)
    yield web.get("/sessions/{id}/feed", feeds.handle, allow_head=False)
    yield web.get("/sessions/{id}/voice", audio.handle, allow_head=False)
    yield from CommandHandlers(directory, authenticator, sessions).routes()
    yield web.post("/sessions/{id}/summary", conversations.summarize_session)
    yield web.get("/conversations", conversations.list_conversations)
    yield web.get("/conversations/{id}/transcript", conversations.get_transcript)
    yield web.post("/conversations/{id}/summary", conversations.summarize_conversation)
    yield web.get("/openapi.json", _openapi)


async def _openapi(_request: web.Request) -> web.Response:
    """GET /api/openapi.json: the only address that needs no token."""
    return web.json_response(document())


@web.middleware
async def _json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal and fault with the API's own body."""
    try:
        return await handler(request)
    except ApiError as refused:
        return error_response(refused.spec)
    except web.HTTPException as error:
        return error_response(spec_of_status(error.status), error.headers.get(hdrs.ALLOW))
    except Exception:  # noqa: BLE001 - the edge where a fault becomes an answer
        _log.exception("request failed")
        return error_response(FAILED)


class CorsPolicy:
    """Cross-origin access; an empty list allows every page. Requests without Origin may pass."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}

    def middleware(self) -> Middleware:
        """Refuse pages of other origins with 403, and answer preflight requests."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._allows(request):
                raise ApiError(ORIGIN_REFUSED)
            if request.method == hdrs.METH_OPTIONS:
                return web.Response(status=204, headers=_PREFLIGHT)
            return await handler(request)

        return handle

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page read the answer; a signal, since streams send their headers early."""
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        response.headers[hdrs.X_CONTENT_TYPE_OPTIONS] = "nosniff"
        origin = request.headers.get(hdrs.ORIGIN)
        if self._allowed:
            response.headers[hdrs.VARY] = hdrs.ORIGIN
        if origin is None or not self._allows(request):
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin if self._allowed else "*"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = hdrs.RETRY_AFTER

    def _allows(self, request: web.Request) -> bool:
        origin = request.headers.get(hdrs.ORIGIN)
        return origin is None or not self._allowed or origin.rstrip("/").lower() in self._allowed
