"""What goes around every answer of the API: origins, refusals as JSON, and headers."""

import logging
from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from relay.http.api.faults import FAILED, ORIGIN_REFUSED, Refused, answer, of_status

PREFLIGHT_SECONDS: Final = 600
"""How long a browser may remember that a page is let in."""
_log = logging.getLogger("relay.http")


def refusals_as_json() -> Middleware:
    """Every refusal and fault has the API's own body."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
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
                raise Refused(ORIGIN_REFUSED)
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
