"""Why a session ended: the one table of close codes and reasons that everybody uses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """One way for a session to end.

    `name` is the metric and log label, `code` the WebSocket close code that the client sees,
    `reason` the close reason (at most 123 bytes of UTF-8).
    """

    name: str
    code: int
    reason: str = ""

    @property
    def is_error(self) -> bool:
        """True when a client that only knows OpenAI should be shown an `error` event first."""
        return self.code != 1000


CLIENT_LEFT = Ending("client_left", 1000)
CLIENT_LOST = Ending("client_lost", 1006)
ENDED_BY_COACH = Ending("ended_by_coach", 1000)
PROTOCOL_ERROR = Ending("protocol_error", 1002)
BINARY_REFUSED = Ending("binary_refused", 1003, "Binary frames are not supported")
NOT_UTF8 = Ending("not_utf8", 1007)
FRAME_TOO_BIG = Ending("frame_too_big", 1009)
AT_CAPACITY = Ending("at_capacity", 1013, "Server at capacity")
AT_CAPACITY_S3 = Ending("at_capacity", 1008, "Server at capacity")
MISSING_PARAMETERS = Ending("missing_parameters", 4000, "Missing token or agent_id")
UNAUTHORIZED = Ending("unauthorized", 4001, "Unauthorized")
TOKEN_EXPIRED = Ending("token_expired", 4001, "Token expired")
FORBIDDEN = Ending("forbidden", 4003, "Forbidden")
SESSION_TIME_LIMIT = Ending("session_time_limit", 4010, "Session time limit")
IDLE = Ending("idle", 4011, "Idle")
CONNECTION_LOST = Ending("connection_lost", 4012, "Connection lost")
CLIENT_TOO_SLOW = Ending("client_too_slow", 4013, "Client too slow")
TOO_MANY_SESSIONS = Ending("too_many_sessions", 4029, "Too many sessions")
NO_PROVIDER_KEY = Ending("no_provider_key", 1011, "OpenAI API key not configured")
ENGINE_CLOSED = Ending("engine_closed", 1011, "OpenAI connection closed")
ENGINE_TIMED_OUT = Ending("engine_timed_out", 1011, "OpenAI connection timed out")
INTERNAL_ERROR = Ending("internal_error", 1011, "Internal server error")
SERVICE_RESTART = Ending("service_restart", 1012, "Service restart")

ALL = tuple(value for value in globals().values() if isinstance(value, Ending))


class Refused(Exception):  # noqa: N818 - it is an outcome, not a fault
    """The door or the engine will not have this call; `ending` says how it is told."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending
