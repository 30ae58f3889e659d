"""GET /ready: whether this process wants new sessions, and if not, which part is why."""

from collections.abc import Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

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
