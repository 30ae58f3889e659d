"""Checks the fresh tokens that a client offers: one at a time, the newest, and not too often."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

BURST: Final = 5.0
"""Checks that may follow one another at once; a client renews its token once an hour."""
PER_SECOND: Final = 1.0
"""Checks that are regained; a client that offers a thousand a second costs one."""
RETRY_SECONDS: Final = 10.0
"""Until a token is checked again that nobody could say anything about."""


class RenewalQueue:
    """Decides which token is checked next, and when. Times are seconds of one monotonic clock."""

    def __init__(self, now: float) -> None:
        self._token: str | None = None
        self._not_before = now
        self._left = BURST
        self._counted_at = now

    def offer(self, token: str, now: float) -> None:
        """Queue a token, in the place of one that waits."""
        self._token, self._not_before = token, now

    def put_back(self, token: str, now: float) -> None:
        """Queue a token again that could not be checked, unless a newer one waits."""
        if self._token is None:
            self._token, self._not_before = token, now + RETRY_SECONDS

    def wait(self, now: float) -> float | None:
        """Seconds until the next check may begin, None where no token waits."""
        if self._token is None:
            return None
        self._left = min(BURST, self._left + (now - self._counted_at) * PER_SECOND)
        self._counted_at = now
        return max(0.0, (1.0 - self._left) / PER_SECOND, self._not_before - now)

    def take(self) -> str | None:
        """The token to check now, if one waits; it is counted."""
        token, self._token = self._token, None
        if token is not None:
            self._left -= 1.0
        return token


class TokenRenewals:
    """Checks what is offered with `check`, which returns False where the token must wait.

    `start` runs work under a name; it owns the one task that there is.
    """

    def __init__(
        self,
        check: Callable[[str], Awaitable[bool]],
        start: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._check = check
        self._start = start
        self._clock = asyncio.get_running_loop().time
        self._queue = RenewalQueue(self._clock())
        self._is_checking = False

    def offer(self, token: str) -> None:
        """Check this token as soon as may be; one that still waits is forgotten."""
        self._queue.offer(token, self._clock())
        if not self._is_checking:
            self._is_checking = True
            self._start(self._check_all(), "token.renew")

    async def _check_all(self) -> None:
        try:
            while (seconds := self._queue.wait(self._clock())) is not None:
                if seconds > 0.0:  # a newer token may come meanwhile, and sooner
                    await asyncio.sleep(min(seconds, 1.0))
                elif (token := self._queue.take()) is not None and not await self._check(token):
                    self._queue.put_back(token, self._clock())
        finally:
            self._is_checking = False
