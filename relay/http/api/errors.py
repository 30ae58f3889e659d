"""Why a request is refused: one table of statuses, codes and close codes, and one body."""

from dataclasses import dataclass, replace
from typing import Final

import msgspec
from aiohttp import web

from relay.feed.messages import ApiFault, ErrorAnswer
from relay.realtime import endings
from relay.realtime.endings import Ending

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ApiErrorSpec:
    """How one refusal is told: HTTP status, `code`, `message`, and a WebSocket's ending."""

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
    "The token is missing or not valid. Send a fresh one as Authorization: Bearer.",
    endings.UNAUTHORIZED,
)
ORIGIN_REFUSED: Final = ApiErrorSpec(
    403, "origin_refused", "Pages of this origin may not use the API.", endings.FORBIDDEN
)
NOT_FOUND: Final = ApiErrorSpec(
    404, "not_found", "There is no such thing here for this token.", endings.FORBIDDEN
)
WRONG_METHOD: Final = ApiErrorSpec(405, "wrong_method", "This address has no such method.", _BAD)
BAD_SINCE: Final = ApiErrorSpec(
    400, "bad_since", "since must be a whole number from 0 on: the seq you have seen last.", _BAD
)
BAD_LIMIT: Final = ApiErrorSpec(400, "bad_limit", "limit must be a number from 1 to 1000.", _BAD)
NAME_A_USER: Final = ApiErrorSpec(
    400, "name_a_user", "You follow too many learners for one list: name one as user_id.", _BAD
)
BAD_REQUEST: Final = ApiErrorSpec(400, "bad_request", "The request cannot be read.", _BAD)
NO_FEED: Final = ApiErrorSpec(
    400,
    "no_feed_asked",
    "Ask for the feed as a WebSocket, or with Accept: text/event-stream.",
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
    503, "restarting", "The server restarts. Connect again.", endings.SERVICE_RESTART, 2
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
    409, "taken", "Another coach speaks in this session, or too much waits to be said.", _BAD
)
SILENT: Final = ApiErrorSpec(
    409, "silent", "The model is paused or taken over, so it can say nothing.", _BAD
)
NOTHING_SAID: Final = ApiErrorSpec(409, "nothing_said", "Nothing was said yet.", _BAD)
NO_SOCKET: Final = ApiErrorSpec(400, "no_socket_asked", "Ask for the voice as a WebSocket.", _BAD)
NO_PCM: Final = ApiErrorSpec(
    409, "no_pcm", "The learner hears no PCM16, so nobody could hear a coach.", _BAD
)
OVER: Final = ApiErrorSpec(409, "over", "The session has ended.", _BAD)
UNAVAILABLE: Final = ApiErrorSpec(
    503,
    "unavailable",
    "Something the answer needs cannot be reached. Try again soon.",
    endings.INTERNAL_ERROR,
    5,
)
FAILED: Final = ApiErrorSpec(500, "failed", "The server failed.", endings.INTERNAL_ERROR)

ALL: Final = tuple(value for value in globals().values() if isinstance(value, ApiErrorSpec))


class ApiError(Exception):
    """The request is refused; `refusal` says how that is told."""

    def __init__(self, refusal: ApiErrorSpec) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def wait(seconds: int) -> ApiError:
    """Too many requests: come again after so many seconds."""
    return ApiError(replace(TOO_MANY_REQUESTS, retry_after=seconds))


def of_status(status: int) -> ApiErrorSpec:
    """What the framework refused by itself."""
    if status in (404, 405):
        return NOT_FOUND if status == 404 else WRONG_METHOD
    return BAD_REQUEST if status < 500 else FAILED


def answer(refusal: ApiErrorSpec, allow: str | None = None) -> web.Response:
    """The answer to a request that is refused; `allow` lists an address's methods."""
    headers = {"Content-Type": "application/json"}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if allow is not None:
        headers["Allow"] = allow
    body = _encode(ErrorAnswer(error=fault(refusal)))
    return web.Response(status=refusal.status, body=body, headers=headers)


def fault(refusal: ApiErrorSpec) -> ApiFault:
    """The refusal as it is shown."""
    return ApiFault(code=refusal.code, message=refusal.message)
