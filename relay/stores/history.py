"""What was said and spent before: the store's memory, and what the journal still has to deliver."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from relay.interfaces import ConversationHistory
from relay.realtime.records import Record, newest

STORE_SECONDS: Final = 3.0
"""A caller waits for this; a store that takes longer counts as away."""
MAX_RECORDS: Final = 10_000
"""Of one conversation's undelivered words; a session has no more items."""


class UndeliveredRecords(Protocol):
    """What a journal has of a conversation that the store may not have yet."""

    async def of_conversation(self, conversation_id: str, limit: int) -> list[Record]:
        """Its words that wait, oldest first."""


class RememberingStore(Protocol):
    """What is asked of a store here."""

    async def owner(self, conversation_id: str) -> str | None:
        """As `Store.owner`."""

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """As `Store.transcript`."""

    async def spent(self, day: int, agent_id: str, user_id: str | None = None) -> int:
        """As `Store.spent`."""


class StoredHistory:
    """A `relay.interfaces.Past` over both.

    A conversation that goes on seconds after its first words, or while the store is away, is known
    from the journal alone.
    """

    def __init__(self, journal: UndeliveredRecords, store: RememberingStore) -> None:
        self._journal = journal
        self._store = store

    async def conversation(self, conversation_id: str) -> ConversationHistory:
        """Whose it is and what was said in it; raises what the store does, else the journal."""
        async with asyncio.timeout(STORE_SECONDS):
            waiting = await self._journal.of_conversation(conversation_id, MAX_RECORDS)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                owner = await self._store.owner(conversation_id)
                stored = await self._store.transcript(conversation_id) if owner is not None else ()
        except Exception:
            if not waiting:
                raise
            owner, stored = None, ()
        if owner is None and waiting:
            owner = waiting[0].head.user_id
        # The store will refuse what others say that they said in it.
        own = [record for record in waiting if record.head.user_id == owner]
        return ConversationHistory(owner, newest((*stored, *own)))

    async def spent(self, day: int, agent_id: str, user_id: str | None) -> int:
        """As the store knows it; this process knows what it spent itself."""
        return await self._store.spent(day, agent_id, user_id)
