"""What was said in a conversation as the disk knows it: the journal and the store together."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from relay.interfaces import Earlier
from relay.realtime.records import Record, newest

READ_SECONDS: Final = 3.0
"""Within which the disk and the database must have answered; a coach waits for this."""
MOST_WAITING: Final = 10_000
"""Of one conversation's words in the journal; a session has no more items."""


class Undelivered(Protocol):
    """The journal, as far as it is read here."""

    async def of_conversation(self, conversation_id: str, limit: int) -> Sequence[Record]:
        """A conversation's committed words that wait for the store."""


class Stored(Protocol):
    """The store, as far as it is read here."""

    async def owner(self, conversation_id: str) -> str | None:
        """The user whose conversation this is, None when nobody has it."""

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """A conversation's stored words."""


class History:
    """All or nothing: half a conversation would be a gap that nobody sees."""

    def __init__(self, journal: Undelivered, store: Stored) -> None:
        self._journal = journal
        self._store = store

    async def read(self, conversation_id: str) -> Earlier:
        """Whose it is, and all that was committed when this was called, in conversation order.

        Raises what the journal or the store does, and TimeoutError when they take too long.
        """
        async with asyncio.timeout(READ_SECONDS):
            # The journal first: what moves on to the store meanwhile is then found there.
            waiting = await self._journal.of_conversation(conversation_id, MOST_WAITING)
            stored = await self._store.transcript(conversation_id)
            owner = await self._store.owner(conversation_id)
        said = newest((*stored, *waiting))
        if owner is None and said:  # the store has not heard of it yet
            owner = said[0].head.user_id
        return Earlier(owner, said)
