"""A feed on its way to one coach, whatever it travels on: in order, in time, until it ends."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from relay.feed.watcher import Shown, Watcher
from relay.http.api.access import Access
from relay.http.api.faults import Refused
from relay.realtime import endings
from relay.realtime.endings import Ending
from relay.realtime.grant import Caller

SEND_SECONDS: Final = 10.0
"""How long one message may take to leave; a coach who takes none for so long is too slow."""
QUIET_SECONDS: Final = 15.0
"""After so long without news a sign of life goes out, and the coach's rights are looked at."""


class Line(Protocol):
    """A WebSocket, or an event stream."""

    async def send(self, shown: Shown) -> None:
        """Send one message; raises ConnectionError when nobody is there."""

    async def live(self) -> None:
        """Send a sign of life, where the wire has none of its own; raises ConnectionError."""


@dataclass(frozen=True, slots=True)
class Watching:
    """Who watches what: `user_id` is whose session it is. `clock` gives Unix seconds."""

    caller: Caller
    user_id: str
    access: Access
    clock: Callable[[], float]

    async def may_go_on(self) -> Ending | None:
        """Why not, None when nothing speaks against it."""
        if self.clock() >= self.caller.expires_at:
            return endings.TOKEN_EXPIRED
        try:
            sees = await self.access.sees(self.caller)
        except Refused:  # nobody can be asked; who was let in stays
            return None
        return None if sees(self.user_id) else endings.FORBIDDEN

    def patience(self, checked_at: float) -> float:
        """Seconds until the next look at the caller's rights."""
        now = self.clock()
        return max(0.0, min(checked_at + QUIET_SECONDS, self.caller.expires_at) - now)


async def pump(line: Line, watcher: Watcher, watching: Watching) -> Ending:
    """Send what the watcher has until it is closed; returns why.

    Raises ConnectionError when nobody takes it any more, TimeoutError when that takes too long.
    """
    checked_at = watching.clock()
    while True:
        try:
            async with asyncio.timeout(watching.patience(checked_at)):
                shown = await watcher.next()
        except TimeoutError:
            ending, checked_at = await watching.may_go_on(), watching.clock()
            if ending is not None:
                return ending
            async with asyncio.timeout(SEND_SECONDS):
                await line.live()
            continue
        if shown is None:
            return watcher.ending or endings.INTERNAL_ERROR
        async with asyncio.timeout(SEND_SECONDS):
            await line.send(shown)
