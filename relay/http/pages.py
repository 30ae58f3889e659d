"""The pages and their configuration, for development; in production nginx serves `web/`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.http.loopback import is_ours

WEB = Path(__file__).resolve().parents[2] / "web"
"""Where the page lies in a checkout."""

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""What is served, and as what: a worklet of another type is refused by browsers (PARTS §3), and
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
