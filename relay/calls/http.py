"""Answers a door's HTTP requests: origins, bodies within bounds, and refusals in its own shape."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay.calls.access import http_status
from relay.cors import CorsPolicy
from relay.http_body import BodyTooLarge, read_body
from relay.realtime.endings import SessionRefused

BODY_SECONDS: Final = 30.0
"""Seconds that a whole body may take to arrive."""

Route = tuple[str, str, Handler]
"""A method, a path in aiohttp's form, and what answers there."""

_log = logging.getLogger("relay.http")


class CallRefused(Exception):  # noqa: N818 - an outcome, not a fault
    """A request is refused with an HTTP status; `code` and `message` are for its sender.

    `retry_after` are seconds, `details` what the door adds in its own shape.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        retry_after: int | None = None,
        details: Any = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.details = details


Shape = Callable[[CallRefused], Any]
"""A door's JSON body for a refusal."""


@dataclass(frozen=True, slots=True)
class DoorHttp:
    """How a door answers: which pages may ask, and what its refusals look like."""

    cors: CorsPolicy
    shape: Shape

    def routes(self, table: Iterable[Route]) -> Iterator[web.AbstractRouteDef]:
        """The table's routes, guarded; any other method of a path is refused, too."""
        paths: dict[str, dict[str, Handler]] = {}
        for method, path, handler in table:
            paths.setdefault(path, {})[method] = handler
        for path, handlers in paths.items():
            yield web.route("*", path, self._guarded(handlers))

    def _guarded(self, handlers: dict[str, Handler]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                response = await self._answer(request, handlers)
            except CallRefused as refused:
                response = self.refuse(refused)
            if not response.prepared:
                await self.cors.add_headers(request, response)
            return response

        return handle

    async def _answer(
        self, request: web.Request, handlers: dict[str, Handler]
    ) -> web.StreamResponse:
        if not self.cors.allows(request):
            raise CallRefused(403, "origin_refused", "Pages of this origin may not use this.")
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers=self.cors.preflight)
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        if method not in handlers:
            raise CallRefused(405, "method_not_allowed", "Method Not Allowed")
        try:
            return await handlers[method](request)
        except SessionRefused as refused:
            raise refused_by(refused) from refused
        except web.HTTPException as error:
            raise CallRefused(error.status, "refused", error.reason) from error
        except (CallRefused, ConnectionResetError):
            raise
        except Exception as error:
            _log.exception("request failed")
            raise CallRefused(500, "internal_error", "The server failed to answer.") from error

    def refuse(self, refused: CallRefused) -> web.Response:
        """The answer to a refused request."""
        headers = {hdrs.WWW_AUTHENTICATE: "Bearer"} if refused.status == 401 else {}
        if refused.retry_after is not None:
            headers[hdrs.RETRY_AFTER] = str(refused.retry_after)
        body = self.shape(refused)
        return web.json_response(body, status=refused.status, headers=headers)


def refused_by(refused: SessionRefused) -> CallRefused:
    """How an HTTP door tells what a session was refused for."""
    ending = refused.ending
    wait = -(-ending.retry_after_ms // 1000) or None
    return CallRefused(http_status(ending), ending.name, ending.advice, wait)


async def read_request(request: web.Request, most: int) -> bytes:
    """The whole body; raises `CallRefused` (413, 400) for one that is too large or breaks off."""
    message = f"The body has more than {most // (1024 * 1024)} MiB."
    if (request.content_length or 0) > most:
        raise CallRefused(413, "request_too_large", message)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_body(request, most)
    except BodyTooLarge:
        raise CallRefused(413, "request_too_large", message) from None
    except (TimeoutError, web.RequestPayloadError, OSError):
        raise CallRefused(400, "bad_request", "The body could not be read.") from None


async def read_object(request: web.Request, most: int) -> dict[str, Any]:
    """The body as a JSON object, {} where it is empty; raises `CallRefused`."""
    body = await read_request(request, most)
    try:
        found = await asyncio.to_thread(json.loads, body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise CallRefused(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(found, dict):
        raise CallRefused(400, "invalid_type", "The body must be a JSON object.")
    return found
