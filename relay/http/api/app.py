"""Builds the coach's API, with its routes and JSON errors, and the routes beside it."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay.auth.client_secrets import ClientSecrets
from relay.clock import MachineClock
from relay.cors import CorsPolicy
from relay.feed.hub import FeedHub
from relay.http.api.auth import Authenticator, Authorizer, Learners, RateLimiter
from relay.http.api.client_secrets import PREFLIGHT_HEADERS, secret_routes
from relay.http.api.coach_audio import CoachAudioHandler
from relay.http.api.errors import (
    FAILED,
    ApiError,
    error_response,
    refuse_origin,
    spec_of_status,
)
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
_log = logging.getLogger("relay.http")


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The rest of the program as the API sees it.

    `verify` gives a token's caller, `learners` the users whom a coach may follow. A bearer of the
    `service_key` is an admin. Empty `allowed_origins` allow every page. `refused` is given the
    cause of each refused token; `proxies` are those whose word on a client's address is believed.
    Without `client_secrets` none of OpenAI's HTTP addresses is there.
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
    client_secrets: ClientSecrets | None = None


def create_api(services: ApiServices) -> web.Application:
    """Build the aiohttp application that is mounted at `PREFIX`."""
    cors = CorsPolicy(services.allowed_origins)
    app = web.Application(middlewares=[_json_errors, cors.middleware(refuse_origin)])
    app.on_response_prepare.append(cors.add_headers)
    app.add_routes(_routes(services))
    return app


def routes_beside(services: ApiServices) -> Iterator[web.RouteDef]:
    """The routes of OpenAI's HTTP API, which stand beside the coach's."""
    if services.client_secrets is not None:
        authenticator = _authenticator(services)
        cors = CorsPolicy(services.allowed_origins, PREFLIGHT_HEADERS)
        yield from secret_routes(authenticator, services.client_secrets, cors)


def _authenticator(services: ApiServices) -> Authenticator:
    limiter = RateLimiter(services.clock.monotonic)
    return Authenticator(
        services.verify, limiter, services.service_key, services.refused, services.proxies
    )


def _routes(services: ApiServices) -> Iterator[web.RouteDef]:
    authenticator = _authenticator(services)
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
