"""Keeps each conversation to one user, and to the newest of their sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from relay.realtime.endings import FORBIDDEN, REPLACED, Ending, SessionRefused

REPLACE_SECONDS: Final = 4.0
"""Seconds a session waits for the last words of the one that it replaces. They are recorded at
once, unless the transcript of a turn is to come: that may take three."""

log = structlog.get_logger(__name__)


class Claim:
    """One session's claim to a conversation, from its admission to its end.

    `place` holds what counts against the limits, until the claim ends or a newer session of the
    same user replaces this one. `earlier` are the claims that this one replaces.
    """

    def __init__(
        self, conversation_id: str, sub: str, session_id: str, earlier: "Sequence[Claim]"
    ) -> None:
        self.conversation_id = conversation_id
        self.sub = sub
        self.session_id = session_id
        self.earlier = earlier
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

    def is_held(self, conversation_id: str) -> bool:
        """Whether a session has a claim to this conversation now."""
        return conversation_id in self._claims

    @asynccontextmanager
    async def claim(self, conversation_id: str, sub: str, session_id: str) -> AsyncIterator[Claim]:
        """Claim a conversation for a user's session while the context lasts.

        Earlier sessions of the same user in it are ended, and have given their places when the
        context begins; `settled` waits for what they said.
        """
        claims = self._claims.setdefault(conversation_id, [])
        earlier = [one for one in claims if one.sub == sub]
        claim = Claim(conversation_id, sub, session_id, earlier)
        claims.append(claim)
        try:
            for one in earlier:
                one.replace()
                await one.place.aclose()
            yield claim
        finally:
            claim.settle()
            claims.remove(claim)
            if not claims:
                del self._claims[conversation_id]
            await claim.place.aclose()

    async def settled(self, claim: Claim) -> None:
        """Wait until all that is known of the conversation can be read.

        What the sessions before this one said is in the journal then, or `REPLACE_SECONDS` have
        passed. Raises `SessionRefused`: REPLACED where a newer session came meanwhile, FORBIDDEN
        while another user talks in it, whose words are not in the journal yet.
        """
        try:
            async with asyncio.timeout(REPLACE_SECONDS):
                for earlier in claim.earlier:
                    await earlier.settled()
        except TimeoutError:
            log.warning("a replaced session did not settle in time")
        claim.earlier = ()
        claim.check()
        self._keep_out(claim)

    def own(self, claim: Claim) -> None:
        """Keep other users out of the conversation; raises `SessionRefused` (FORBIDDEN).

        To be called once the history knows of no other owner.
        """
        self._keep_out(claim)
        claim.is_owner = True

    def _keep_out(self, claim: Claim) -> None:
        for other in self._claims[claim.conversation_id]:
            if other.sub != claim.sub and other.is_owner and not other.is_settled:
                raise SessionRefused(FORBIDDEN)
