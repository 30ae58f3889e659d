"""Serves health, readiness, metrics, the coach's API and the development pages over HTTP."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from relay.admission.accepting import Acceptor, bind
from relay.admission.descriptors import MAX_HTTP
from relay.http.api.app import PREFIX, ApiServices, create_api, routes_beside
from relay.http.connections import CONNECTIONS, MAX_FIELDS, MAX_HEAD_BYTES, HttpConnections
from relay.http.pages import NO_STORE, Pages, page_routes

SHUTDOWN_SECONDS: Final = 2.0
"""Seconds open requests may take to end at `aclose`."""


@dataclass(frozen=True, slots=True)
class Health:
    """Live sessions, the maximum of them, and seconds since the start."""

    active_connections: int
    max_connections: int
    uptime: float


ReadinessCheck = Callable[[], str | None]
"""Gives the reason why a part is not ready, without secrets, or None; must not block."""


@dataclass(frozen=True, slots=True)
class HttpServices:
    """The rest of the program as the listener sees it; no callable may block.

    `ready` holds a check for each named part. `pages` is None in production. Without `api` there
    is no coach's API. `routes` are those of HTTP doors.
    """

    health: Callable[[], Health]
    metrics: Callable[[], bytes]
    ready: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    pages: Pages | None = None
    api: ApiServices | None = None
    routes: Sequence[web.AbstractRouteDef] = ()


class HttpServer:
    """A running HTTP listener; `port` is the bound one, `door_ports` those that doors have."""

    def __init__(
        self, runner: web.AppRunner, acceptor: Acceptor, connections: HttpConnections
    ) -> None:
        self._runner = runner
        self._acceptor = acceptor
        self._connections = connections
        self.port = acceptor.port
        self.door_ports: dict[str, int] = {}

    async def aclose(self) -> None:
        """Stop listening and give open requests `SHUTDOWN_SECONDS` to end."""
        await self._acceptor.aclose()
        await self._runner.cleanup()
        self._connections.close()


async def serve(services: HttpServices, host: str, port: int, limit: int = MAX_HTTP) -> HttpServer:
    """Listen on `host` and `port` (0: any free one), with at most `limit` connections.

    Raises `OSError` where the address is not free.
    """
    return await _serve_app(create_app(services), host, port, limit)


async def serve_routes(
    routes: Sequence[web.AbstractRouteDef], host: str, port: int, limit: int = MAX_HTTP
) -> HttpServer:
    """Listen on a port of its own for one door; raises as `serve`."""
    app = _bare_app()
    app.add_routes(routes)
    return await _serve_app(app, host, port, limit)


async def _serve_app(app: web.Application, host: str, port: int, limit: int) -> HttpServer:
    listening = bind(host, port)
    connections = HttpConnections(lambda: _made(runner), limit)
    app[CONNECTIONS] = connections
    app.middlewares.insert(0, connections.middleware())
    runner = web.AppRunner(
        app,
        access_log=None,  # the relay logs no address of a request: it may hold a token
        logger=_log,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_FIELDS,
        auto_decompress=False,  # a body of 50 KB could unpack to 50 MB before a bound is seen
    )
    await runner.setup()
    acceptor = Acceptor(listening, connections.take, connections.room, "http")
    acceptor.start()
    return HttpServer(runner, acceptor, connections)


def _made(runner: web.AppRunner) -> asyncio.Protocol:
    assert runner.server is not None  # noqa: S101 - `setup` has made it
    return runner.server()


def create_app(services: HttpServices) -> web.Application:
    """Build the aiohttp application; every address it does not have is an empty 404."""
    app = _bare_app()
    app.add_routes(_routes(services))
    if services.api is not None:
        app.add_routes(routes_beside(services.api))
        app.add_subapp(PREFIX, create_api(services.api))
    return app


def _bare_app() -> web.Application:
    app = web.Application(middlewares=[_empty_errors])
    app.on_response_prepare.append(_hide_version)
    return app


def _routes(services: HttpServices) -> Iterator[web.AbstractRouteDef]:
    yield web.get("/health", _health(services.health))
    yield web.get("/ready", _ready(services.ready))
    yield web.get("/metrics", _metrics(services.metrics))
    yield from services.routes
    if services.pages is not None:
        yield from page_routes(services.pages)


@web.middleware
async def _empty_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal and fault without a body, as S3's health server did (S3-42)."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.Response(status=error.status, headers=headers)
    except Exception:  # noqa: BLE001 - the edge where a fault becomes an answer
        # aiohttp would show its traceback to the caller where the loop is in debug mode.
        _log.exception("request failed")
        return web.Response(status=500)


async def _hide_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "relay"


def _health(read: Callable[[], Health]) -> Handler:
    """GET /health: exactly the five fields that S3's monitors expect (S3-42)."""

    async def handle(_request: web.Request) -> web.Response:
        health = read()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        return web.json_response(
            {
                "status": "healthy",
                "activeConnections": health.active_connections,
                "maxConnections": health.max_connections,
                "uptime": health.uptime,
                "timestamp": stamp.replace("+00:00", "Z"),
            },
            headers=NO_STORE,
        )

    return handle


def _ready(checks: Mapping[str, ReadinessCheck]) -> Handler:
    """GET /ready: 200 where this process takes new sessions, else 503 with each part's reason."""

    async def handle(_request: web.Request) -> web.Response:
        reasons = {name: check() for name, check in checks.items()}
        failing = {name: reason for name, reason in reasons.items() if reason is not None}
        if failing:
            body = {"status": "not ready", "parts": failing}
            return web.json_response(body, status=503, headers=NO_STORE)
        return web.json_response({"status": "ready"}, headers=NO_STORE)

    return handle


def _metrics(render: Callable[[], bytes]) -> Handler:
    """GET /metrics: the output of `relay.metrics.Metrics.render`, in Prometheus' text format."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return handle


def _is_not_a_parse_error(record: logging.LogRecord) -> bool:
    """Keep aiohttp's parse errors out of the log: their text quotes what the client sent."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_log = logging.getLogger("relay.http")
_log.addFilter(_is_not_a_parse_error)
