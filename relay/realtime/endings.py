"""The table of session endings: their names, close codes, reasons and advice."""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Ending:
    """One way for a session to end.

    `name` is the label in metrics and logs and the `code` of an `error` event; `code` and `reason`
    are those of the WebSocket close frame (a reason has at most 123 bytes of UTF-8); `advice` is
    one sentence that says what happened and what to do. Where another attempt cannot succeed,
    `final` is the error code of OpenAI on which its clients stop, else "". `retry_after_ms` is how
    long the caller has to wait, 0 where that is not known.
    """

    name: str
    code: int
    reason: str = ""
    advice: str = ""
    final: str = ""
    retry_after_ms: int = 0


KEY: Final = "invalid_api_key"
"""The code of OpenAI for a key that is not valid, or not for this."""
QUOTA: Final = "insufficient_quota"
"""The code of OpenAI for an account without money."""
FINAL_CODES: Final = frozenset(
    {KEY, QUOTA, "credit_balance_exhausted", "account_deactivated", "billing_hard_limit_reached"}
)
"""Error codes of OpenAI on which clients stop: after any other some dial again without end."""


CLIENT_LEFT = Ending("client_left", 1000)
ENDED_BY_COACH = Ending("ended_by_coach", 1000, "", "A coach ended the session.")
CLIENT_LOST = Ending("client_lost", 1006)
PROTOCOL_ERROR = Ending("protocol_error", 1002, "", "The WebSocket frame was malformed.")
BINARY_REFUSED = Ending("binary_refused", 1003, "", "Send events as text frames, not binary ones.")
NOT_UTF8 = Ending("not_utf8", 1007, "", "Send events as UTF-8 text.")
FRAME_TOO_BIG = Ending("frame_too_big", 1009, "", "Send audio in smaller pieces.")
AT_CAPACITY = Ending(
    "at_capacity",
    1013,
    "Server at capacity",
    "The server has no room. Try again in a minute.",
)
AT_CAPACITY_BROWSER = Ending("at_capacity", 1008, AT_CAPACITY.reason, AT_CAPACITY.advice)
OUT_OF_MEMORY = Ending(
    "at_capacity",
    1013,
    AT_CAPACITY.reason,
    "Too much of this call was waiting in the server. Connect again.",
)
MISSING_PARAMETERS = Ending(
    "missing_parameters",
    4000,
    "Missing token or agent_id",
    "Connect with ?token= and ?agent_id=.",
    final=KEY,
)
UNAUTHORIZED = Ending(
    "unauthorized",
    4001,
    "Unauthorized",
    "The token is missing or not valid. Get a fresh one.",
    final=KEY,
)
TOKEN_EXPIRED = Ending(
    "token_expired",
    4001,
    "Token expired",
    "The token ran out. Connect again with a fresh one.",
    final=KEY,
)
TOKEN_TOO_LONG = Ending(
    "token_too_long",
    4001,
    "Token too long",
    "The token has more than 8,192 characters. Get one with fewer claims.",
    final=KEY,
)
AUTH_UNAVAILABLE = Ending(
    "auth_unavailable",
    1013,
    "Authentication unavailable",
    "The server cannot check tokens at the moment. Try again in a minute.",
)
FORBIDDEN = Ending(
    "forbidden",
    4003,
    "Forbidden",
    "This agent or conversation belongs to somebody else.",
    final=KEY,
)
BUDGET_EXHAUSTED = Ending(
    "budget_exhausted",
    4008,
    "Budget exhausted",
    "The budget for today is spent. Try again tomorrow.",
    final=QUOTA,
)
REPLACED = Ending(
    "replaced", 4009, "Replaced", "A newer session of yours continues the conversation."
)
SESSION_TIME_LIMIT = Ending(
    "session_time_limit",
    4010,
    "Session time limit",
    "The session reached its longest duration. Connect again to go on.",
)
IDLE = Ending("idle", 4011, "Idle", "Nobody spoke for a while. Connect again to go on.")
IDLE_UNHEARD = Ending(
    "idle", 4011, IDLE.reason, "No speech was recognised for a while. Connect again to go on."
)
CONNECTION_LOST = Ending("connection_lost", 4012, "Connection lost", "Pings went unanswered.")
CLIENT_TOO_SLOW = Ending(
    "client_too_slow", 4013, "Client too slow", "The client did not read what was sent to it."
)
TOO_MANY_SESSIONS = Ending(
    "too_many_sessions", 4029, "Too many sessions", "End another session of this user first."
)
TOO_MANY_FROM_ADDRESS = Ending(
    "too_many_from_address",
    4029,
    "Too many sessions",
    "End another session from this network first.",
)
TOO_MANY_REQUESTS = Ending(
    "too_many_requests",
    4029,
    "Too many requests",
    "There were too many attempts from this network. Try again in a minute.",
)
TOO_MANY_FRAMES = Ending(
    "too_many_frames",
    4029,
    "Too many requests",
    "More than 1,000 frames a second came for ten seconds. Send fewer and larger ones.",
)
TOO_MANY_RECONNECTS = Ending(
    "too_many_reconnects",
    4029,
    "Too many requests",
    "Too many attempts in a row came to nothing. Wait before the next one.",
)
NO_PROVIDER_KEY = Ending(
    "no_provider_key",
    1011,
    "OpenAI API key not configured",
    "The server has no provider key. Its operator must set OPENAI_API_KEY.",
    final=KEY,
)
ENGINE_CLOSED = Ending(
    "engine_closed", 1011, "OpenAI connection closed", "The voice went away. Connect again."
)
ENGINE_REFUSED = Ending(
    "engine_closed",
    1011,
    ENGINE_CLOSED.reason,
    "The voice refuses this server. Its operator must look at the provider's account.",
    final=KEY,
)
ENGINE_TIMED_OUT = Ending(
    "engine_timed_out",
    1011,
    "OpenAI connection timed out",
    "The voice did not answer in time. Connect again.",
)
INTERNAL_ERROR = Ending(
    "internal_error", 1011, "Internal server error", "The server failed. Connect again."
)
UNKNOWN_PATH = Ending(
    "unknown_path",
    4000,
    "invalid_request_error.unknown_path",
    "There is no such address. The Realtime API is at /v1/realtime.",
    final=KEY,
)
UNSUPPORTED_INTENT = Ending(
    "not_built",
    4000,
    "invalid_request_error.unsupported_intent",
    "Transcription sessions are not supported here; connect without ?intent=.",
    final=KEY,
)
UNSUPPORTED_CALL = Ending(
    "unsupported_call",
    4000,
    "invalid_request_error.unsupported_call_id",
    "Calls by WebRTC or SIP are not supported here; connect without ?call_id=.",
    final=KEY,
)
SERVICE_RESTART = Ending(
    "service_restart", 1012, "Service restart", "The server is restarting. Connect again."
)

ALL = tuple(value for value in globals().values() if isinstance(value, Ending))


def engine_refused(code: str) -> Ending:
    """How a session ends whose engine refused it with this code: clients are told if it is final.

    Any other code says nothing about a next attempt.
    """
    return replace(ENGINE_REFUSED, final=code) if code in FINAL_CODES else ENGINE_CLOSED


class SessionRefused(Exception):  # noqa: N818 - it is an outcome, not a fault
    """A door or an engine rejects a session, which ends with `ending`."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending
