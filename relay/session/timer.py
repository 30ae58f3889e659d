"""The one timer of a session, moved rather than made anew."""

import asyncio
from collections.abc import Callable
from math import inf


class Timer:
    """Calls `due` when `next()` has come, by `clock`; late wake-ups cost nothing but a look."""

    def __init__(
        self, clock: Callable[[], float], next_at: Callable[[], float], due: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._next_at = next_at
        self._due = due
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self) -> None:
        """Make sure that it wakes up in time for the next deadline."""
        at = self._next_at()
        if at == inf:
            return  # stopped, or nothing is due
        if self._handle is not None:
            if self._at <= at:
                return
            self._handle.cancel()
        self._at = at
        delay = max(0.0, at - self._clock())
        self._handle = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._handle = None
        if self._clock() >= self._next_at():
            self._due()
        else:
            self.arm()

    def stop(self) -> None:
        """No more wake-ups."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._next_at = lambda: inf
