"""Why a request is refused: one table of statuses, codes and close codes, and one body."""

from dataclasses import dataclass, replace
from typing import Final

import msgspec
from aiohttp import web

from relay.feed.messages import ErrorAnswer, Fault
from relay.realtime import endings
from relay.realtime.endings import Ending

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Refusal:
    """How one refusal is told: HTTP status, `code`, `message`, and a WebSocket's ending."""

    status: int
    code: str
    message: str
    ending: Ending
    retry_after: int | None = None  # seconds


_BAD: Final = Ending("bad_request", 4000, "Bad request")
_MANY: Final = Ending("too_many_requests", 4029, "Too many requests")
UNAUTHORIZED: Final = Refusal(
    401,
    "unauthorized",
    "The token is missing or not valid. Send a fresh one as Authorization: Bearer.",
    endings.UNAUTHORIZED,
)
ORIGIN_REFUSED: Final = Refusal(
    403, "origin_refused", "Pages of this origin may not use the API.", endings.FORBIDDEN
)
NOT_FOUND: Final = Refusal(
    404, "not_found", "There is no such thing here for this token.", endings.FORBIDDEN
)
WRONG_METHOD: Final = Refusal(405, "wrong_method", "This address has no such method.", _BAD)
BAD_SINCE: Final = Refusal(
    400, "bad_since", "since must be a whole number from 0 on: the seq you have seen last.", _BAD
)
BAD_LIMIT: Final = Refusal(400, "bad_limit", "limit must be a number from 1 to 1000.", _BAD)
NAME_A_USER: Final = Refusal(
    400, "name_a_user", "You follow too many learners for one list: name one as user_id.", _BAD
)
BAD_REQUEST: Final = Refusal(400, "bad_request", "The request cannot be read.", _BAD)
NO_FEED: Final = Refusal(
    400,
    "no_feed_asked",
    "Ask for the feed as a WebSocket, or with Accept: text/event-stream.",
    _BAD,
)
TOO_MANY_REQUESTS: Final = Refusal(
    429, "too_many_requests", "Too many requests with this token. Wait a little.", _MANY
)
TOO_MANY_FEEDS: Final = Refusal(
    429,
    "too_many_feeds",
    "Too many feeds are open with this token. Close one first.",
    _MANY,
    retry_after=5,
)
FULL: Final = Refusal(
    503, "full", "Too many feeds are open here. Try again soon.", endings.AT_CAPACITY, 10
)
RESTARTING: Final = Refusal(
    503, "restarting", "The server restarts. Connect again.", endings.SERVICE_RESTART, 2
)
NOT_A_COACH: Final = Refusal(
    403, "not_a_coach", "Only coaches and admins may do this.", endings.FORBIDDEN
)
BAD_TEXT: Final = Refusal(
    400,
    "bad_text",
    'Send JSON like {"text": "…"}, with 1 to 4000 characters.',
    _BAD,
)
BAD_MODE: Final = Refusal(400, "bad_mode", 'mode must be "context" or "say".', _BAD)
TAKEN: Final = Refusal(
    409, "taken", "Another coach speaks in this session, or too much waits to be said.", _BAD
)
SILENT: Final = Refusal(
    409, "silent", "The model is paused or taken over, so it can say nothing.", _BAD
)
NOTHING_SAID: Final = Refusal(409, "nothing_said", "Nothing was said yet.", _BAD)
NO_SOCKET: Final = Refusal(400, "no_socket_asked", "Ask for the voice as a WebSocket.", _BAD)
NO_PCM: Final = Refusal(
    409, "no_pcm", "The learner hears no PCM16, so nobody could hear a coach.", _BAD
)
OVER: Final = Refusal(409, "over", "The session has ended.", _BAD)
UNAVAILABLE: Final = Refusal(
    503,
    "unavailable",
    "Something the answer needs cannot be reached. Try again soon.",
    endings.INTERNAL_ERROR,
    5,
)
FAILED: Final = Refusal(500, "failed", "The server failed.", endings.INTERNAL_ERROR)

ALL: Final = tuple(value for value in globals().values() if isinstance(value, Refusal))


class Refused(Exception):  # noqa: N818 - it is an outcome, not a fault
    """The request is refused; `refusal` says how that is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def wait(seconds: int) -> Refused:
    """Too many requests: come again after so many seconds."""
    return Refused(replace(TOO_MANY_REQUESTS, retry_after=seconds))


def of_status(status: int) -> Refusal:
    """What the framework refused by itself."""
    if status in (404, 405):
        return NOT_FOUND if status == 404 else WRONG_METHOD
    return BAD_REQUEST if status < 500 else FAILED


def answer(refusal: Refusal, allow: str | None = None) -> web.Response:
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


def fault(refusal: Refusal) -> Fault:
    """The refusal as it is shown."""
    return Fault(code=refusal.code, message=refusal.message)
