"""Serves health, readiness, metrics, the coach's API and the development pages over HTTP."""

import ipaddress
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from relay.http.api.app import PREFIX, ApiServices, create_api

SHUTDOWN_SECONDS: Final = 2.0
"""Seconds open requests may take to end at `aclose`."""
WEB: Final = Path(__file__).resolve().parents[2] / "web"
"""The pages of a checkout."""
CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""The files that are served, by suffix.

Browsers refuse a worklet of another type, and the machine's own MIME table is not reliable.
"""
HEADERS: Final = {
    "Cache-Control": "no-cache",
    # The voice listener is another port and so another origin: hence ws: and wss:.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every page; nginx/relay.conf sends the same in production."""
_NO_STORE: Final = {"Cache-Control": "no-store"}
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


@dataclass(frozen=True, slots=True)
class Health:
    """Live sessions, the maximum of them, and seconds since the start."""

    active_connections: int
    max_connections: int
    uptime: float


ReadinessCheck = Callable[[], str | None]
"""Gives the reason why a part is not ready, without secrets, or None; must not block."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The development pages and their configuration; each callable gives a fresh answer.

    `config` gives `/config.json` (`url`, `token`, `engine`), `coach_config` gives
    `/coach/config.json` (a coach's `token` and `user_id`), which without it is not found.
    """

    config: Callable[[], Mapping[str, object]]
    folder: Path = WEB
    coach_config: Callable[[], Mapping[str, object]] | None = None


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
    """A running HTTP listener; `port` is the bound one."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self.port: int = runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening and give open requests `SHUTDOWN_SECONDS` to end."""
        await self._runner.cleanup()


async def serve(services: HttpServices, host: str, port: int) -> HttpServer:
    """Listen on `host` and `port` (0: any free one). Raises `OSError` where it is not free."""
    runner = web.AppRunner(
        create_app(services),
        access_log=None,  # the relay logs no address of a request: it may hold a token
        logger=_log,
        shutdown_timeout=SHUTDOWN_SECONDS,
        auto_decompress=False,  # a body of 50 KB could unpack to 50 MB before a bound is seen
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return HttpServer(runner)


def create_app(services: HttpServices) -> web.Application:
    """Build the aiohttp application; every address it does not have is an empty 404."""
    app = web.Application(middlewares=[_empty_errors])
    app.on_response_prepare.append(_hide_version)
    app.add_routes(_routes(services))
    if services.api is not None:
        app.add_subapp(PREFIX, create_api(services.api))
    return app


def _routes(services: HttpServices) -> Iterator[web.AbstractRouteDef]:
    yield web.get("/health", _health(services.health))
    yield web.get("/ready", _ready(services.ready))
    yield web.get("/metrics", _metrics(services.metrics))
    yield from services.routes
    if services.pages is not None:
        yield from _page_routes(services.pages)


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
            headers=_NO_STORE,
        )

    return handle


def _ready(checks: Mapping[str, ReadinessCheck]) -> Handler:
    """GET /ready: 200 where this process takes new sessions, else 503 with each part's reason."""

    async def handle(_request: web.Request) -> web.Response:
        reasons = {name: check() for name, check in checks.items()}
        failing = {name: reason for name, reason in reasons.items() if reason is not None}
        if failing:
            body = {"status": "not ready", "parts": failing}
            return web.json_response(body, status=503, headers=_NO_STORE)
        return web.json_response({"status": "ready"}, headers=_NO_STORE)

    return handle


def _metrics(render: Callable[[], bytes]) -> Handler:
    """GET /metrics: the output of `relay.metrics.Metrics.render`, in Prometheus' text format."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return handle


def _page_routes(pages: Pages) -> Iterator[web.RouteDef]:
    """Yield a route for each file found now, so that no path of a request touches the disk.

    Raises `FileNotFoundError` when the folder has no `index.html`.
    """
    index = pages.folder / "index.html"
    if not index.is_file():
        raise FileNotFoundError(index)
    yield web.get("/", _file(index))
    for path in sorted(pages.folder.rglob("*")):
        if path.suffix in CONTENT_TYPES and path.is_file():
            yield web.get("/" + path.relative_to(pages.folder).as_posix(), _file(path))
    coach = pages.folder / "coach.html"
    if coach.is_file():
        yield web.get("/coach", _file(coach))
    yield web.get("/config.json", _config(pages.config), allow_head=False)
    if pages.coach_config is not None:
        yield web.get("/coach/config.json", _config(pages.coach_config), allow_head=False)


def _file(path: Path) -> Handler:
    headers = {**HEADERS, "Content-Type": CONTENT_TYPES[path.suffix]}

    async def handle(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=headers)

    return handle


def _config(read: Callable[[], Mapping[str, object]]) -> Handler:
    headers = {**HEADERS, **_NO_STORE}

    async def handle(request: web.Request) -> web.Response:
        if not is_local_page(request):
            raise web.HTTPNotFound
        return web.json_response(dict(read()), headers=headers)

    return handle


def is_local_page(request: web.Request) -> bool:
    """Tell whether a development token may be given to this request.

    The TCP peer must be on loopback with no proxy in between. The Host must be a loopback name:
    otherwise a foreign name that resolves to 127.0.0.1 (DNS rebinding) would be let in. A browser
    must report that a page of the same origin asks.
    """
    return (
        _is_from_loopback(request)
        and not any(name in request.headers for name in _FORWARDED)
        and is_loopback_host(request.headers.get("Host", ""))
        and _is_same_origin(request)
    )


def is_loopback_host(host: str) -> bool:
    """Tell whether a Host header (`name[:port]`) names loopback: localhost, 127/8 or [::1]."""
    name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in ("localhost", "localhost.") or _is_loopback_address(name)


def _is_from_loopback(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and _is_loopback_address(peer[0])


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_same_origin(request: web.Request) -> bool:
    """Trust the browser's headers; other clients send neither, and may read."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    own = f"http://{headers.get('Host', '')}"
    return headers.get("Origin", own).lower() == own.lower()


def _is_not_a_parse_error(record: logging.LogRecord) -> bool:
    """Keep aiohttp's parse errors out of the log: their text quotes what the client sent."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_log = logging.getLogger("relay.http")
_log.addFilter(_is_not_a_parse_error)
