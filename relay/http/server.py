"""The HTTP listener itself: which addresses it has and how it starts and stops."""

import ipaddress
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from relay.http.api.api import PREFIX, Api
from relay.http.api.api import application as api_application

# ---- GET /health, exactly as S3's monitors expect it (S3-42).


@dataclass(frozen=True, slots=True)
class Health:
    """Live sessions, how many are allowed, and seconds since the start."""

    active_connections: int
    max_connections: int
    uptime: float


def health(ask: Callable[[], Health]) -> Handler:
    """Answer with S3's five fields and no other; being able to answer is being healthy."""

    async def handle(_request: web.Request) -> web.Response:
        now = ask()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        return web.json_response(
            {
                "status": "healthy",
                "activeConnections": now.active_connections,
                "maxConnections": now.max_connections,
                "uptime": now.uptime,
                "timestamp": stamp.replace("+00:00", "Z"),
            },
            headers={"Cache-Control": "no-store"},
        )

    return handle


# ---- GET /ready: whether this process wants new sessions, and if not, which part is why.

Part = Callable[[], str | None]
"""Why a part is not ready, in words without secrets, or None when it is; must not block."""


def ready(parts: Mapping[str, Part]) -> Handler:
    """Answer 200 `{"status":"ready"}`, or 503 with `parts`: the name and reason of each."""

    async def handle(_request: web.Request) -> web.Response:
        reasons = {name: part() for name, part in parts.items()}
        missing = {name: reason for name, reason in reasons.items() if reason is not None}
        headers = {"Cache-Control": "no-store"}
        if missing:
            body = {"status": "not ready", "parts": missing}
            return web.json_response(body, status=503, headers=headers)
        return web.json_response({"status": "ready"}, headers=headers)

    return handle


# ---- GET /metrics: the process's numbers in Prometheus' text format.


def scrape(render: Callable[[], bytes]) -> Handler:
    """Answer with whatever `render` gives (`relay.metrics.Metrics.render`)."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return handle


# ---- Whether a request comes from this very machine's browser and from a page of ours.

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_ours(request: web.Request) -> bool:
    """Say whether a development token may be handed to this request.

    The TCP peer must be on loopback and no proxy may stand between; the Host must be a loopback
    name, or a foreign name that resolves to 127.0.0.1 (DNS rebinding) would be let in; and a
    browser must say that a page of the same origin asks.
    """
    return (
        _from_loopback(request)
        and not any(name in request.headers for name in _FORWARDED)
        and is_loopback_host(request.headers.get("Host", ""))
        and _same_origin(request)
    )


def is_loopback_host(host: str) -> bool:
    """Say whether a Host header (`name[:port]`) names loopback: localhost, 127/8 or [::1]."""
    name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in ("localhost", "localhost.") or _is_loopback_address(name)


def _from_loopback(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and _is_loopback_address(peer[0])


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _same_origin(request: web.Request) -> bool:
    """Believe the browser; a client that is no browser sends neither header and may read."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    own = f"http://{headers.get('Host', '')}"
    return headers.get("Origin", own).lower() == own.lower()


# ---- The pages and their configuration, for development; in production nginx serves `web/`.

WEB = Path(__file__).resolve().parents[2] / "web"
"""Where the page lies in a checkout."""

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""What is served, and as what: a worklet of another type is refused by browsers, and
the machine's own MIME table is not to be relied on."""

HEADERS = {
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


@dataclass(frozen=True, slots=True)
class Pages:
    """Each gives a fresh answer whenever it is asked.

    `config` gives `/config.json` (`url`, `token`, `engine`), `coach_config` `/coach/config.json`
    (`token`, `user_id`: a coach's), which is not there without.
    """

    config: Callable[[], Mapping[str, object]]
    folder: Path = WEB
    coach_config: Callable[[], Mapping[str, object]] | None = None


def routes(pages: Pages) -> Iterator[web.RouteDef]:
    """Give one route for each file found now, so that no path of a request touches the disk.

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


def _config(ask: Callable[[], Mapping[str, object]]) -> Handler:
    headers = {**HEADERS, "Cache-Control": "no-store"}

    async def handle(request: web.Request) -> web.Response:
        if not is_ours(request):
            raise web.HTTPNotFound
        return web.json_response(dict(ask()), headers=headers)

    return handle


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
