"""Look-ups at a server that may be down: shared, bounded in number, and not made while it is."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from relay.admission.buckets import TokenBuckets
from relay.tasks import Tasks

FAILURES: Final = 3
"""Failures in a row that open a breaker."""
PAUSE_SECONDS: Final = 5.0
"""Between two requests that an open breaker lets through: how late a recovery is noticed."""
MAX_CALLS: Final = 32
"""Calls at once; a server that answers in 50 ms takes 640 a second so."""
MAX_KEYS: Final = 512
"""Keys whose calls run or wait for one of those places."""
WAIT_SECONDS: Final = 3.0
"""A call may wait for its place as long as it may then take."""

USER_BURST: Final = 60.0
"""Look-ups of one user at once; a page that comes back asks for a dozen things."""
USER_PER_SECOND: Final = 5.0
"""Look-ups that a user regains: one who sends requests in a flood does not use up the server."""
USERS: Final = 10_000
"""Users whose look-ups are counted, 200 bytes each; the one seen longest ago is dropped first."""

T = TypeVar("T")
_TOO_MANY: Final = "too many questions to the authentication server"


class UserRates:
    """A token bucket of look-ups for each user. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._buckets = TokenBuckets(USER_BURST, USER_PER_SECOND, USERS)

    def admits(self, user: str, now: float) -> bool:
        """Whether this user may be looked up now; it is counted."""
        return self._buckets.take(user, now) == 0.0


class CircuitBreaker:
    """Decides whether a server may be asked. Times are seconds of one monotonic clock.

    It opens after `FAILURES` failures in a row, and then lets one request through every
    `PAUSE_SECONDS` until one is answered.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._ask_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the server counts as down."""
        return self._failures >= FAILURES

    def admits(self, now: float) -> bool:
        """Whether to ask now; of those who may while it is open, the first has to."""
        if not self.is_open:
            return True
        if now < self._ask_at:
            return False
        self._ask_at = now + PAUSE_SECONDS
        return True

    def failed(self, now: float) -> None:
        """Note a request without a usable answer."""
        self._failures += 1
        if self._failures == FAILURES:  # those asked before it opened do not extend the pause
            self._ask_at = now + PAUSE_SECONDS

    def answered(self) -> None:
        """Note an answer, which closes the breaker."""
        self._failures = 0


class TooManyCalls(Exception):  # noqa: N818 - an outcome, not a fault
    """The calls that run or wait are as many as may be."""


class SingleFlight(Generic[T]):
    """Runs one call at a time for each key, and shares its result among all who ask for it.

    At most `max_calls` run, others wait for a place; `max_keys` bounds both together. Whoever
    waits may be cancelled without harm to the others. `aclose` it.
    """

    def __init__(self, max_calls: int = MAX_CALLS, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._places = asyncio.Semaphore(max_calls)
        self._flights: dict[str, asyncio.Task[T]] = {}
        self._tasks = Tasks(lambda *_: None)  # what a call raises goes to those who wait for it

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the call for this key, which is made if none is under way.

        Raises `TooManyCalls`, and what the call raises.
        """
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._max_keys:
                raise TooManyCalls(_TOO_MANY)
            flight = self._tasks.start(self._in_place(call), "auth.lookup")
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key))
        return await asyncio.shield(flight)

    async def _in_place(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyCalls(_TOO_MANY) from None
        try:
            return await call()
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Cancel what is under way."""
        await self._tasks.aclose()
