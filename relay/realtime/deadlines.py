"""Deadlines of a session: its end, and the pings of its client."""

import math
from dataclasses import dataclass
from typing import Final

from relay.realtime import endings
from relay.realtime.endings import Ending

PING_SECONDS: Final = 30.0
UNANSWERED_PINGS: Final = 2
SLOW_SECONDS: Final = 10.0
"""Seconds a bounded queue may stay full."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one session in seconds: until the engine is ready, in all, and without activity.

    `expires_at` is when the token expires, by the clock that the rules are given.
    """

    engine_seconds: float
    session_seconds: float
    idle_seconds: float
    expires_at: float = math.inf


class Deadlines:
    """The deadlines of one session. Every `now` is in seconds of one clock.

    `expires_at` is when the token expires, `budget_ends_at` when an exhausted budget ends the
    session.
    """

    def __init__(self, limits: SessionLimits, now: float) -> None:
        self.expires_at = limits.expires_at
        self.budget_ends_at = math.inf
        self._ready_by = now + limits.engine_seconds
        self._ends_at = now + limits.session_seconds
        self._idle_seconds = limits.idle_seconds
        self._active_at = now
        self._ping_at = now + PING_SECONDS
        self._client_full_at = math.inf
        self._engine_full_at = math.inf

    def engine_ready(self) -> None:
        """The engine is ready."""
        self._ready_by = math.inf

    def active(self, now: float) -> None:
        """A person spoke, the model answered, or the client sent an event other than audio."""
        self._active_at = now

    def client_writable(self, ready: bool, now: float) -> None:
        """The queue to the client filled up or was drained."""
        self._client_full_at = math.inf if ready else now

    def engine_writable(self, ready: bool, now: float) -> None:
        """The queue to the engine filled up or was drained."""
        self._engine_full_at = math.inf if ready else now

    def next(self) -> float:
        """The time of the next deadline, pings included."""
        return min(self._ping_at, *(at for at, _ in self._endings()))

    def ending(self, now: float) -> Ending | None:
        """The ending whose deadline has passed; the first of the table if there are several."""
        return next((ending for at, ending in self._endings() if now >= at), None)

    def ping_due(self, now: float) -> bool:
        """True if the client must be pinged now; the next ping is then due a period later."""
        if now < self._ping_at:
            return False
        self._ping_at = now + PING_SECONDS
        return True

    def _endings(self) -> tuple[tuple[float, Ending], ...]:
        return (
            (self.expires_at, endings.TOKEN_EXPIRED),
            (self._ready_by, endings.ENGINE_TIMED_OUT),
            (self.budget_ends_at, endings.BUDGET_EXHAUSTED),
            (self._ends_at, endings.SESSION_TIME_LIMIT),
            (self._active_at + self._idle_seconds, endings.IDLE),
            (self._client_full_at + SLOW_SECONDS, endings.CLIENT_TOO_SLOW),
            (self._engine_full_at + SLOW_SECONDS, endings.ENGINE_TIMED_OUT),
        )
