"""The table of the API's errors, with HTTP statuses, codes and close codes, and their body."""

from dataclasses import dataclass, replace
from typing import Final, NoReturn

import msgspec
from aiohttp import web

from relay.feed.messages import ApiFault, ErrorAnswer
from relay.realtime import endings
from relay.realtime.endings import Ending

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ApiErrorSpec:
    """One error: HTTP status, `code`, `message`, and the `ending` with which a WebSocket closes."""

    status: int
    code: str
    message: str
    ending: Ending
    retry_after: int | None = None  # seconds


_BAD: Final = Ending("bad_request", 4000, "Bad request")
_MANY: Final = Ending("too_many_requests", 4029, "Too many requests")
UNAUTHORIZED: Final = ApiErrorSpec(
    401,
    "unauthorized",
    "The token is missing or invalid. Send a fresh one as Authorization: Bearer.",
    endings.UNAUTHORIZED,
)
TOKEN_TOO_LONG: Final = ApiErrorSpec(
    401, "token_too_long", endings.TOKEN_TOO_LONG.advice, endings.TOKEN_TOO_LONG
)
ORIGIN_REFUSED: Final = ApiErrorSpec(
    403, "origin_refused", "Pages of this origin may not use the API.", endings.FORBIDDEN
)
NOT_FOUND: Final = ApiErrorSpec(
    404, "not_found", "Not found, or not visible with this token.", endings.FORBIDDEN
)
WRONG_METHOD: Final = ApiErrorSpec(
    405, "wrong_method", "This address does not allow this method.", _BAD
)
BAD_SINCE: Final = ApiErrorSpec(
    400, "bad_since", "since must be a whole number, 0 or more: the last seq you have seen.", _BAD
)
BAD_LIMIT: Final = ApiErrorSpec(
    400, "bad_limit", "limit must be a whole number from 1 to 1000 (conversations: 200).", _BAD
)
USER_ID_MISSING: Final = ApiErrorSpec(
    400, "name_a_user", "You follow too many learners for one list: pass one as user_id.", _BAD
)
BAD_REQUEST: Final = ApiErrorSpec(400, "bad_request", "The request cannot be read.", _BAD)
NO_FEED: Final = ApiErrorSpec(
    400,
    "no_feed_asked",
    "Open this address as a WebSocket, or send Accept: text/event-stream.",
    _BAD,
)
TOO_MANY_REQUESTS: Final = ApiErrorSpec(
    429, "too_many_requests", "Too many requests with this token. Wait a little.", _MANY
)
TOO_MANY_FEEDS: Final = ApiErrorSpec(
    429,
    "too_many_feeds",
    "Too many feeds are open with this token. Close one first.",
    _MANY,
    retry_after=5,
)
FULL: Final = ApiErrorSpec(
    503, "full", "Too many feeds are open here. Try again soon.", endings.AT_CAPACITY, 10
)
RESTARTING: Final = ApiErrorSpec(
    503, "restarting", "The server is restarting. Connect again.", endings.SERVICE_RESTART, 2
)
NOT_A_COACH: Final = ApiErrorSpec(
    403, "not_a_coach", "Only coaches and admins may do this.", endings.FORBIDDEN
)
BAD_TEXT: Final = ApiErrorSpec(
    400,
    "bad_text",
    'Send JSON like {"text": "…"}, with 1 to 4000 characters.',
    _BAD,
)
BAD_MODE: Final = ApiErrorSpec(400, "bad_mode", 'mode must be "context" or "say".', _BAD)
TAKEN: Final = ApiErrorSpec(
    409,
    "taken",
    "Another coach is speaking in this session, or too much is waiting to be said.",
    _BAD,
)
SILENT: Final = ApiErrorSpec(
    409, "silent", "The model is paused or taken over, so it cannot speak.", _BAD
)
NOTHING_SAID: Final = ApiErrorSpec(409, "nothing_said", "Nothing has been said yet.", _BAD)
NO_SOCKET: Final = ApiErrorSpec(400, "no_socket_asked", "Open this address as a WebSocket.", _BAD)
NO_PCM: Final = ApiErrorSpec(
    409, "no_pcm", "The learner's audio format is not PCM16, so a coach could not be heard.", _BAD
)
OVER: Final = ApiErrorSpec(409, "over", "The session has ended.", _BAD)
UNAVAILABLE: Final = ApiErrorSpec(
    503,
    "unavailable",
    "A service that the answer needs cannot be reached. Try again soon.",
    endings.INTERNAL_ERROR,
    5,
)
FAILED: Final = ApiErrorSpec(500, "failed", "The server failed to answer.", endings.INTERNAL_ERROR)

ALL: Final = tuple(value for value in globals().values() if isinstance(value, ApiErrorSpec))


class ApiError(Exception):
    """The request is refused, with the error `spec`."""

    def __init__(self, spec: ApiErrorSpec) -> None:
        super().__init__(spec.code)
        self.spec = spec


def refuse_origin() -> NoReturn:
    """Refuse a page of another origin."""
    raise ApiError(ORIGIN_REFUSED)


def too_many_requests(seconds: int) -> ApiError:
    """The error of a caller who has to wait so many seconds."""
    return ApiError(replace(TOO_MANY_REQUESTS, retry_after=seconds))


def spec_of_status(status: int) -> ApiErrorSpec:
    """The error for a status with which aiohttp itself refused a request."""
    if status in (404, 405):
        return NOT_FOUND if status == 404 else WRONG_METHOD
    return BAD_REQUEST if status < 500 else FAILED


def error_response(spec: ApiErrorSpec, allow: str | None = None) -> web.Response:
    """The response to a refused request; `allow` lists the address's methods."""
    headers = {"Content-Type": "application/json"}
    if spec.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if spec.retry_after is not None:
        headers["Retry-After"] = str(spec.retry_after)
    if allow is not None:
        headers["Allow"] = allow
    body = _encode(ErrorAnswer(error=error_fields(spec)))
    return web.Response(status=spec.status, body=body, headers=headers)


def error_fields(spec: ApiErrorSpec) -> ApiFault:
    """The `error` field of a body or message."""
    return ApiFault(code=spec.code, message=spec.message)
