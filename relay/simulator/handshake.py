"""The handshake of OpenAI's server: the key, the model and the path that it accepts.

A client that it refuses gets the upgrade first, then an `error` event, then a close whose reason
is `<error type>.<error code>` (PROTOCOL §3, recording p03).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from relay.engines.cascade.effects import RequestRefused, error, random_ids, unix

PATHS = frozenset({"/v1/realtime", "/realtime", "/openai/v1/realtime"})

BINARY = RequestRefused(
    "invalid_event", "Expected a text WebSocket message; binary frames are not supported."
)

_KEY_PROTOCOL = "openai-insecure-api-key."
_BETA_PROTOCOL = "openai-beta."
_new_id = random_ids(unix)
_REALTIME = Subprotocol("realtime")


@dataclass(frozen=True, slots=True)
class UpgradeRefused:
    """A connection that OpenAI would close right after the upgrade, with this close code."""

    refusal: RequestRefused
    code: int

    async def send(self, connection: ServerConnection) -> None:
        """Send the error and close."""
        reason = ".".join(filter(None, ("invalid_request_error", self.refusal.code)))
        await connection.send(error_event(self.refusal), text=True)
        await connection.close(self.code, reason)


NO_KEY = UpgradeRefused(
    RequestRefused(None, "Missing bearer or basic authentication in header"), 3000
)
BAD_KEY = UpgradeRefused(RequestRefused("invalid_api_key", "Incorrect API key provided."), 3000)
BETA = UpgradeRefused(
    RequestRefused(
        "beta_api_shape_disabled", "The beta shape of the Realtime API is switched off."
    ),
    4000,
)
NO_MODEL = UpgradeRefused(
    RequestRefused(
        "missing_model", "You must provide a model parameter, for example ?model=gpt-realtime"
    ),
    4000,
)
BAD_MODEL = UpgradeRefused(
    RequestRefused("invalid_model", "That model is not supported in realtime mode."), 4000
)


def accept_unless_bad(key: str) -> bool:
    """Accept every key that does not begin with `bad`."""
    return not key.startswith("bad")


def check_handshake(
    request: Request, accepts_key: Callable[[str], bool], models: frozenset[str] | None
) -> UpgradeRefused | None:
    """Return the refusal of a handshake, None when it is accepted."""
    protocols = _offered(request)
    key = _key(request, protocols)
    if key is None:
        return NO_KEY
    if not accepts_key(key):
        return BAD_KEY
    if _asks_for_beta(request, protocols):
        return BETA
    return _check_model(model_of(request), models)


def model_of(request: Request) -> str:
    """Return the model that a handshake asks for, "" for none."""
    return parse_qs(urlsplit(request.path).query).get("model", [""])[-1]


def check_path(connection: ServerConnection, request: Request) -> Response | None:
    """Return a 404 for a path without the Realtime API, None for one with it."""
    if urlsplit(request.path).path in PATHS:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, "The Realtime API is at /v1/realtime.\n")


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return `realtime` where it is offered; never the entry that holds the key."""
    return _REALTIME if _REALTIME in offered else None


def error_event(refusal: RequestRefused) -> bytes:
    """Return an `error` event that answers no client event in particular."""
    return msgspec.json.encode(error(refusal, None, _new_id("event")))


def _check_model(model: str, models: frozenset[str] | None) -> UpgradeRefused | None:
    if not model:
        return NO_MODEL
    return BAD_MODEL if models is not None and model not in models else None


def _offered(request: Request) -> list[str]:
    values = request.headers.get_all("Sec-WebSocket-Protocol")
    return [name.strip() for value in values for name in value.split(",")]


def _key(request: Request, protocols: Sequence[str]) -> str | None:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    keys = [
        name.removeprefix(_KEY_PROTOCOL) for name in protocols if name.startswith(_KEY_PROTOCOL)
    ]
    return next(filter(None, keys), None)


def _asks_for_beta(request: Request, protocols: Sequence[str]) -> bool:
    asked = any(name.startswith(_BETA_PROTOCOL) for name in protocols)
    return asked or "realtime=v1" in request.headers.get("OpenAI-Beta", "")
