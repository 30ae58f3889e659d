"""Decides which pages of other origins may use an HTTP address, and tells browsers so."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

PREFLIGHT_SECONDS: Final = 600
"""Seconds a browser may cache the answer to a preflight request."""
PAGE_HEADERS: Final = "Authorization, api-key, x-api-key, Content-Type, Last-Event-ID"
"""Headers that a page may send."""
PAGE_METHODS: Final = "GET, POST, OPTIONS"


class CorsPolicy:
    """Cross-origin access; an empty list allows every page. Requests without Origin may pass.

    `headers` and `methods` are what a page may send, as a preflight request is told them.
    """

    def __init__(
        self, allowed: Collection[str], headers: str = PAGE_HEADERS, methods: str = PAGE_METHODS
    ) -> None:
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}
        self.preflight: Mapping[str, str] = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: methods,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: headers,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
        }

    def allows(self, request: web.BaseRequest) -> bool:
        """Whether the page that sends this request may use the address."""
        origin = request.headers.get(hdrs.ORIGIN)
        return origin is None or not self._allowed or origin.rstrip("/").lower() in self._allowed

    def middleware(self, refuse: Callable[[], web.StreamResponse]) -> Middleware:
        """Answer pages of other origins with `refuse`, which may raise, and preflight requests."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.allows(request):
                return refuse()
            if request.method == hdrs.METH_OPTIONS:
                return web.Response(status=204, headers=self.preflight)
            return await handler(request)

        return handle

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page read the answer; a signal, since streams send their headers early."""
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        response.headers[hdrs.X_CONTENT_TYPE_OPTIONS] = "nosniff"
        origin = request.headers.get(hdrs.ORIGIN)
        if self._allowed:
            response.headers[hdrs.VARY] = hdrs.ORIGIN
        if origin is None or not self.allows(request):
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin if self._allowed else "*"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = hdrs.RETRY_AFTER
