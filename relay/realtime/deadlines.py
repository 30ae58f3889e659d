"""When a session must end or be asked for a sign of life; the time comes in as an argument."""

import math
from dataclasses import dataclass
from typing import Final

from relay.realtime import endings
from relay.realtime.endings import Ending

PING_SECONDS: Final = 30.0
UNANSWERED_PINGS: Final = 2
SLOW_SECONDS: Final = 10.0  # how long a bounded queue may stay full


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds until the engine must be ready, the session must end, and nobody spoke for too long.

    `expires_at` is when the token runs out, by the clock whose time the rules are given.
    """

    engine_seconds: float
    session_seconds: float
    idle_seconds: float
    expires_at: float = math.inf


class Deadlines:
    """The clock rules of one session. Every `now` is in seconds of one monotonic clock.

    `expires_at` is when the token runs out, `broke_at` when the money does.
    """

    def __init__(self, limits: SessionLimits, now: float) -> None:
        self._ready_by = now + limits.engine_seconds
        self._ends_at = now + limits.session_seconds
        self._idle_seconds = limits.idle_seconds
        self._active_at = now
        self._ping_at = now + PING_SECONDS
        self._client_full: float = math.inf
        self._engine_full: float = math.inf
        self.broke_at = math.inf
        self.expires_at = limits.expires_at

    def greeted(self) -> None:
        """The engine is ready."""
        self._ready_by = math.inf

    def active(self, now: float) -> None:
        """Somebody spoke, answered or sent anything but audio: the session is not idle."""
        self._active_at = now

    def client_writable(self, ready: bool, now: float) -> None:
        """The client's queue filled up or was drained."""
        self._client_full = math.inf if ready else now

    def engine_writable(self, ready: bool, now: float) -> None:
        """The engine's queue filled up or was drained."""
        self._engine_full = math.inf if ready else now

    def _endings(self) -> tuple[tuple[float, Ending], ...]:
        return (
            (self.expires_at, endings.TOKEN_EXPIRED),
            (self._ready_by, endings.ENGINE_TIMED_OUT),
            (self.broke_at, endings.BUDGET_EXHAUSTED),
            (self._ends_at, endings.SESSION_TIME_LIMIT),
            (self._active_at + self._idle_seconds, endings.IDLE),
            (self._client_full + SLOW_SECONDS, endings.CLIENT_TOO_SLOW),
            (self._engine_full + SLOW_SECONDS, endings.ENGINE_CLOSED),
        )

    def next(self) -> float:
        """When to ask again."""
        return min(self._ping_at, *(at for at, _ in self._endings()))

    def ending(self, now: float) -> Ending | None:
        """Why the session is over by now, if it is."""
        return next((ending for at, ending in self._endings() if now >= at), None)

    def ping_due(self, now: float) -> bool:
        """True when the client must be pinged now; the next ping is then due a period later."""
        if now < self._ping_at:
            return False
        self._ping_at = now + PING_SECONDS
        return True
