"""Answers at OpenAI's HTTP addresses: makes client secrets, refuses the rest in OpenAI's shape."""

import asyncio
import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay.agents.agent import MODEL
from relay.auth.client_secrets import SECONDS, ClientSecrets, SettingsTooLarge
from relay.cors import CorsPolicy
from relay.http.api.auth import Authenticator
from relay.http.api.errors import UNAUTHORIZED, ApiError, refuse_origin
from relay.http_body import BodyTooLarge, read_body
from relay.realtime.client_policy import check_shape
from relay.realtime.events import BadEvent
from relay.realtime.http_addresses import (
    BASES,
    FAMILIES,
    MAX_SHOWN,
    SECRETS,
    UNSUPPORTED,
    error_body,
    unsupported,
)

MAX_BODY: Final = 64 * 1024
"""Bytes of a request; a token has room for far less."""
BODY_SECONDS: Final = 10.0
"""Seconds that the whole body may take to arrive."""
LEAST_SECONDS: Final = 10
MOST_SECONDS: Final = 7200
"""What OpenAI lets a client ask for; it gets `SECONDS` at most."""
PREFLIGHT_HEADERS: Final = "*, Authorization"
"""OpenAI's libraries send some ten headers about themselves; `*` does not stand for this one."""


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """The request is answered with this error."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body = error_body(status, code, message, param)


@dataclass(frozen=True, slots=True)
class AskedSecret:
    """A request for a client secret: the session's settings, and seconds."""

    session: dict[str, Any]
    seconds: int


def secret_routes(
    authenticator: Authenticator, secrets: ClientSecrets, cors: CorsPolicy
) -> Iterator[web.RouteDef]:
    """The routes, for every method, so that other methods are refused in the same shape."""
    create = _shaped(_create(authenticator, secrets), cors)
    refuse = _shaped(_refuse, cors)
    for base in BASES:
        yield web.route("*", f"{base}/{SECRETS}{{slash:/?}}", create)
        for name in UNSUPPORTED:
            yield web.route("*", f"{base}/{{name:{name}}}", refuse)
            yield web.route("*", f"{base}/{{name:{name}}}/{{rest:.*}}", refuse)
    unknown = _shaped(_unknown, cors)
    for family in FAMILIES:
        yield web.route("*", f"{family}{{rest:.*}}", unknown)


def _create(authenticator: Authenticator, secrets: ClientSecrets) -> Handler:
    """POST /v1/realtime/client_secrets."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method != hdrs.METH_POST:
            raise Refused(405, "method_not_allowed", "This address takes POST alone.")
        caller = await authenticator.authenticate(request)
        if math.isinf(caller.expires_at):
            message = "A client secret is a user's: show that user's token, not the service key."
            raise Refused(403, "service_key_refused", message)
        asked = read_asked(await _body(request))
        try:
            secret = secrets.make(caller, asked.session, asked.seconds)
        except SettingsTooLarge:
            message = "Too long: a token has room for some 10,000 characters of instructions."
            raise Refused(400, "string_above_max_length", message, "session") from None
        session = {"type": "realtime", "object": "realtime.session", "id": f"sess_{uuid.uuid4()}"}
        return web.json_response(
            {
                "value": secret.value,
                "expires_at": secret.expires_at,
                "session": {**session, **asked.session},
            }
        )

    return handle


async def _refuse(request: web.Request) -> web.StreamResponse:
    """Any request at one of `UNSUPPORTED`."""
    name = request.match_info["name"]
    shown = f"{request.method} {request.path.partition(name)[0]}{name}"
    return web.json_response(unsupported(shown, name), status=404)


async def _unknown(request: web.Request) -> web.StreamResponse:
    """Any request at another address of OpenAI's."""
    shown = f"{request.method} {request.path[:MAX_SHOWN]}"
    return web.json_response(
        error_body(404, "unknown_url", f"Unknown request URL: {shown}."), status=404
    )


def read_asked(body: bytes) -> AskedSecret:
    """Read a request for a secret; raises `Refused`."""
    try:
        asked = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(asked, dict):
        raise Refused(400, "invalid_type", "The body must be a JSON object.")
    unknown = next((name for name in asked if name not in ("session", "expires_after")), None)
    if unknown is not None:
        shown = repr(unknown[:64])
        raise Refused(400, "unknown_parameter", f"Unknown parameter: {shown}.", unknown[:64])
    return AskedSecret(_session(asked.get("session")), _seconds(asked.get("expires_after")))


def _session(given: Any) -> dict[str, Any]:
    """The settings that a client may set in a session; raises `Refused`."""
    settings = {} if given is None else given
    try:
        check_shape({"type": "session.update", "session": settings})
    except BadEvent as bad:
        raise Refused(400, bad.code, bad.message, bad.param) from None
    kind, model = settings.get("type", "realtime"), settings.get("model")
    if kind != "realtime":
        message = "Only sessions of the type 'realtime' are supported here."
        raise Refused(400, "unsupported_session_type", message, "session.type")
    if model is not None and not (isinstance(model, str) and MODEL.fullmatch(model)):
        raise Refused(400, "invalid_value", "Invalid 'session.model'.", "session.model")
    return dict(settings)


def _seconds(expires_after: Any) -> int:
    """Seconds that a secret shall be valid; raises `Refused`."""
    given = {} if expires_after is None else expires_after
    if not isinstance(given, dict) or given.get("anchor", "created_at") != "created_at":
        message = "'expires_after' must have the anchor 'created_at'."
        raise Refused(400, "invalid_value", message, "expires_after")
    seconds = given.get("seconds", SECONDS)
    if type(seconds) is not int or not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        message = f"Must be a whole number from {LEAST_SECONDS} to {MOST_SECONDS}."
        raise Refused(400, "invalid_value", message, "expires_after.seconds")
    return min(seconds, SECONDS)


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_body(request, MAX_BODY)
    except BodyTooLarge:
        message = f"The body has more than {MAX_BODY} bytes."
        raise Refused(413, "request_too_large", message) from None
    except (TimeoutError, web.RequestPayloadError, OSError):
        raise Refused(400, "bad_request", "The body could not be read.") from None


def _shaped(handler: Handler, cors: CorsPolicy) -> Handler:
    """The handler for pages of allowed origins, with every refusal in OpenAI's shape."""
    guard = cors.middleware(refuse_origin)

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            response = await guard(request, handler)
        except Refused as refused:
            response = web.json_response(refused.body, status=refused.status)
        except ApiError as refused:
            response = _api_error(refused)
        await cors.add_headers(request, response)
        return response

    return handle


def _api_error(refused: ApiError) -> web.Response:
    spec = refused.spec
    is_token = spec is UNAUTHORIZED
    code = "invalid_api_key" if is_token else spec.code
    headers = {hdrs.WWW_AUTHENTICATE: "Bearer"} if is_token else {}
    if spec.retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(spec.retry_after)
    body = error_body(spec.status, code, spec.message)
    return web.Response(
        text=json.dumps(body),
        status=spec.status,
        headers=headers,
        content_type="application/json",
    )
