"""CORS of the gateway, as in a project: pages of other origins may call it."""

from collections.abc import Awaitable, Callable

from aiohttp import web

_HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def open_to_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a preflight, and mark every answer as anybody's to read."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        asked = {
            "Access-Control-Allow-Methods": request.headers["Access-Control-Request-Method"],
            "Access-Control-Allow-Headers": request.headers.get(
                "Access-Control-Request-Headers", ""
            ),
        }
        return web.Response(headers=_HEADERS | asked)
    answer = await handler(request)
    if not answer.prepared:
        answer.headers.update(_HEADERS)
    return answer
