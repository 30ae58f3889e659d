"""Serves the development pages and, to a browser that was let in, what they need for a call."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from relay.http.page_access import PageKey, TooManyCodes, is_local_page

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
NO_STORE: Final = {"Cache-Control": "no-store"}
CHALLENGE: Final = "RelayPage"
"""What a page without the cookie is asked for: it tells its reader where the code is."""
MAX_CODE_BODY: Final = 256
"""Bytes of the request that brings the code."""
CODE_SECONDS: Final = 5.0
"""Seconds its body may take."""

_log = logging.getLogger("relay.http")


@dataclass(frozen=True, slots=True)
class Pages:
    """The development pages and their configuration; each callable gives a fresh answer.

    `config` gives `/config.json` (`url`, `token`, `engine`), `coach_config` gives
    `/coach/config.json` (a coach's `token` and `user_id`), which without it is not found. Both are
    for browsers on this machine that brought the code of `key` to `POST /code`; without its cookie
    they are 401, for anybody else not found.
    """

    config: Callable[[], Mapping[str, object]]
    folder: Path = WEB
    coach_config: Callable[[], Mapping[str, object]] | None = None
    key: PageKey = field(default_factory=PageKey)


class _Code(msgspec.Struct):
    """The body of `POST /code`."""

    code: str


def page_routes(pages: Pages) -> Iterator[web.RouteDef]:
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
    yield web.post("/code", _let_in(pages.key))
    yield web.get("/config.json", _config(pages.config, pages.key), allow_head=False)
    if pages.coach_config is not None:
        handler = _config(pages.coach_config, pages.key)
        yield web.get("/coach/config.json", handler, allow_head=False)


def _file(path: Path) -> Handler:
    headers = {**HEADERS, "Content-Type": CONTENT_TYPES[path.suffix]}

    async def handle(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=headers)

    return handle


def _let_in(key: PageKey) -> Handler:
    """POST /code: the cookie of this run for its code."""

    async def handle(request: web.Request) -> web.Response:
        if not is_local_page(request):
            raise web.HTTPNotFound
        code = await _read_code(request)
        try:
            cookie = key.cookie_for(code, time.monotonic())
        except TooManyCodes:
            _log.warning("too many wrong codes for the pages")
            raise web.HTTPTooManyRequests from None
        if cookie is None:
            raise web.HTTPForbidden
        answer = web.Response(status=204, headers=NO_STORE)
        name = _cookie_name(request)
        answer.set_cookie(name, cookie, path="/", httponly=True, samesite="Strict")
        return answer

    return handle


async def _read_code(request: web.Request) -> str:
    """The code in a request's body; raises HTTPBadRequest where there is none."""
    if not 0 < (request.content_length or 0) <= MAX_CODE_BODY:
        raise web.HTTPBadRequest
    try:
        async with asyncio.timeout(CODE_SECONDS):
            return msgspec.json.decode(await request.read(), type=_Code).code
    except (msgspec.DecodeError, TimeoutError):
        raise web.HTTPBadRequest from None


def _config(read: Callable[[], Mapping[str, object]], key: PageKey) -> Handler:
    headers = {**HEADERS, **NO_STORE}

    async def handle(request: web.Request) -> web.Response:
        if not is_local_page(request):
            raise web.HTTPNotFound
        if not key.opens(request.cookies.get(_cookie_name(request), "")):
            return web.Response(status=401, headers={**NO_STORE, "WWW-Authenticate": CHALLENGE})
        return web.json_response(dict(read()), headers=headers)

    return handle


def _cookie_name(request: web.Request) -> str:
    """Another for each relay on this machine: browsers send a cookie to every port of a host."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return f"relay_page_{name[1] if name else 0}"
