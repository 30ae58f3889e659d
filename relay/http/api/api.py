"""The API put together: its addresses, and what each request passes through."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field

from aiohttp import web

from relay.feed.hub import Hub
from relay.http.api.access import Access, Learners
from relay.http.api.archive import Archive, Archives
from relay.http.api.commands import Commands
from relay.http.api.edge import Origins, refusals_as_json
from relay.http.api.feeds import Feeds
from relay.http.api.gate import Gate
from relay.http.api.openapi import document
from relay.http.api.rates import Rates
from relay.http.api.reading import Reading
from relay.http.api.voice import Voices
from relay.realtime.grant import Caller

PREFIX = "/api"


@dataclass(frozen=True, slots=True)
class Api:
    """What the API asks the rest of the program.

    `verify` says whose a token is, `learners` whom a coach may follow, `clock` gives Unix seconds.
    Who shows the `service_key` is an admin. Empty `allowed_origins` let every page in.
    """

    hub: Hub
    verify: Callable[[str], Awaitable[Caller]]
    learners: Learners
    clock: Callable[[], float]
    archive: Archive
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
    gate = Gate(api.verify, Rates(api.clock), api.service_key)
    access = Access(api.learners, api.clock)
    reading = Reading(api.hub, gate, access)
    feeds = Feeds(api.hub, gate, access, reading, api.clock)
    yield web.get("/sessions", reading.sessions)
    yield web.get("/sessions/{id}", reading.session)
    yield web.get("/sessions/{id}/transcript", reading.transcript)
    yield web.get("/sessions/{id}/feed", feeds.feed, allow_head=False)
    yield web.get("/conversations/{id}/transcript", reading.conversation)
    yield from Commands(gate, reading).routes()
    voices = Voices(gate, access, reading, api.clock)
    yield web.get("/sessions/{id}/voice", voices.voice, allow_head=False)
    archives = Archives(api.archive, gate, access, reading)
    yield web.get("/conversations", archives.conversations)
    yield web.post("/conversations/{id}/summary", archives.of_conversation)
    yield web.post("/sessions/{id}/summary", archives.of_session)
    yield web.get("/openapi.json", _openapi)


async def _openapi(_request: web.Request) -> web.Response:
    """Describe the API; this alone needs no token."""
    return web.json_response(document())
