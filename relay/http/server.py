"""The HTTP listener itself: which addresses it has and how it starts and stops."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from relay.http.api.api import PREFIX, Api
from relay.http.api.api import application as api_application
from relay.http.health import Health, health
from relay.http.pages import Pages, routes
from relay.http.ready import Part, ready
from relay.http.scrape import scrape

SHUTDOWN_SECONDS = 2.0
"""How long requests under way may take to end at `aclose`."""


@dataclass(frozen=True, slots=True)
class HttpSide:
    """What the listener asks the rest of the program; no callable may block.

    `ready` holds each part's name and its reason for not being ready. `pages` is None in
    production, `api` where nobody watches.
    """

    health: Callable[[], Health]
    metrics: Callable[[], bytes]
    ready: Mapping[str, Part] = field(default_factory=dict)
    pages: Pages | None = None
    api: Api | None = None


class HttpServer:
    """A running HTTP listener; `port` is the one it really has."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self.port: int = runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening, let requests under way end for `SHUTDOWN_SECONDS`."""
        await self._runner.cleanup()


async def serve(side: HttpSide, host: str, port: int) -> HttpServer:
    """Listen on `host` and `port` (0: any free one). Raises `OSError` when that is not free."""
    runner = web.AppRunner(
        application(side),
        access_log=None,  # nothing of ours logs an address: it may hold a token
        logger=_log,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return HttpServer(runner)


def application(side: HttpSide) -> web.Application:
    """Build the aiohttp application; every address it does not have is an empty 404."""
    app = web.Application(middlewares=[_plain_errors])
    app.on_response_prepare.append(_name_no_version)
    app.add_routes(_routes(side))
    if side.api is not None:
        app.add_subapp(PREFIX, api_application(side.api))
    return app


def _routes(side: HttpSide) -> Iterator[web.RouteDef]:
    yield web.get("/health", health(side.health))
    yield web.get("/ready", ready(side.ready))
    yield web.get("/metrics", scrape(side.metrics))
    if side.pages is not None:
        yield from routes(side.pages)


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal and fault without a body, as S3's health server did (S3-42)."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.Response(status=error.status, headers=headers)
    except Exception:  # noqa: BLE001 - the edge where a fault becomes an answer
        # aiohttp would show its traceback to the caller where the loop is in debug mode.
        _log.exception("A request could not be answered")
        return web.Response(status=500)


async def _name_no_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "relay"


def _not_the_callers_fault(record: logging.LogRecord) -> bool:
    """Keep bytes that are no HTTP out of the log: the error's text quotes what was sent."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_log = logging.getLogger("relay.http")
_log.addFilter(_not_the_callers_fault)
