"""Keeps each conversation to one user, and to the newest of their sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from relay.realtime.endings import FORBIDDEN, REPLACED, Ending, SessionRefused

REPLACE_SECONDS: Final = 3.0
"""Seconds a session waits for the last words of the one that it replaces. They are recorded at
once, unless a coach spoke: the transcript of that may take two."""

log = structlog.get_logger(__name__)


class Claim:
    """One session's claim to a conversation, from its admission to its end.

    `place` holds what counts against the caller's limits, until the claim ends or a newer session
    of the same user replaces this one.
    """

    def __init__(self, conversation_id: str, sub: str) -> None:
        self.conversation_id = conversation_id
        self.sub = sub
        self.place = AsyncExitStack()
        self.is_owner = False
        self._settled = asyncio.Event()
        self._end: Callable[[Ending], None] | None = None
        self._is_replaced = False

    @property
    def is_settled(self) -> bool:
        """Whether everything said in the session is in the journal."""
        return self._settled.is_set()

    def check(self) -> None:
        """Raise `SessionRefused` (REPLACED) where a newer session has replaced this one."""
        if self._is_replaced:
            raise SessionRefused(REPLACED)

    def begin(self, end: Callable[[Ending], None]) -> None:
        """The session is made: `end` is how a newer one ends it. Raises as `check`."""
        self.check()
        self._end = end

    def settle(self) -> None:
        """Everything said in the session is in the journal; repeatable."""
        self._settled.set()

    def replace(self) -> None:
        """End the session with 4009; one that is still being set up is refused with it."""
        self._is_replaced = True
        if self._end is None:
            self.settle()
        else:
            self._end(REPLACED)

    async def settled(self) -> None:
        """Wait until everything said in the session is in the journal."""
        await self._settled.wait()


class ConversationClaims:
    """The claims of this process's sessions. Other processes' sessions are not known here."""

    def __init__(self) -> None:
        self._claims: dict[str, list[Claim]] = {}

    @asynccontextmanager
    async def claim(self, conversation_id: str, sub: str) -> AsyncIterator[Claim]:
        """Claim a conversation for a session while the context lasts.

        Earlier sessions of the same user in it are ended and give their places; what they said is
        in the journal when the context begins, or `REPLACE_SECONDS` have passed. Raises
        `SessionRefused` (REPLACED) where a newer session came meanwhile.
        """
        claim = Claim(conversation_id, sub)
        claims = self._claims.setdefault(conversation_id, [])
        earlier = [one for one in claims if one.sub == sub]
        claims.append(claim)
        try:
            await _replace(earlier)
            claim.check()
            yield claim
        finally:
            claim.settle()
            claims.remove(claim)
            if not claims:
                del self._claims[conversation_id]
            await claim.place.aclose()

    def own(self, claim: Claim) -> None:
        """Keep other users out of the conversation; raises `SessionRefused` (FORBIDDEN).

        To be called once the history knows of no other owner.
        """
        for other in self._claims[claim.conversation_id]:
            if other.sub != claim.sub and other.is_owner and not other.is_settled:
                raise SessionRefused(FORBIDDEN)
        claim.is_owner = True


async def _replace(earlier: Sequence[Claim]) -> None:
    """End these sessions, wait for what they record, and free their places."""
    for claim in earlier:
        claim.replace()
    try:
        async with asyncio.timeout(REPLACE_SECONDS):
            for claim in earlier:
                await claim.settled()
    except TimeoutError:
        log.warning("a replaced session did not settle in time")
    for claim in earlier:
        await claim.place.aclose()
