"""Reads a conversation's earlier utterances and past spend from the journal and the store."""

import asyncio
from typing import Final

from relay.interfaces import ConversationHistory, StoreReader, UndeliveredRecords
from relay.realtime.records import newest

STORE_SECONDS: Final = 3.0
"""A caller waits this long; a store that takes longer counts as unavailable."""
MAX_RECORDS: Final = 10_000
"""Of one conversation's undelivered utterances; a session has no more items."""


class StoredHistory:
    """A `relay.interfaces.History` over both.

    A conversation that continues seconds after its first words, or while the store is unavailable,
    is known from the journal alone.
    """

    def __init__(self, journal: UndeliveredRecords, store: StoreReader) -> None:
        self._journal = journal
        self._store = store

    async def conversation(self, conversation_id: str) -> ConversationHistory:
        """The conversation's user and utterances.

        Raises what the journal raises, and what the store raises unless the journal has something.
        """
        async with asyncio.timeout(STORE_SECONDS):
            undelivered = await self._journal.of_conversation(conversation_id, MAX_RECORDS)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                owner = await self._store.owner(conversation_id)
                stored = await self._store.transcript(conversation_id) if owner is not None else ()
        except Exception:
            if not undelivered:
                raise
            owner, stored = None, ()
        if owner is None and undelivered:
            owner = undelivered[0].head.user_id
        # The store will refuse what other users say that they said in it.
        own = [record for record in undelivered if record.head.user_id == owner]
        return ConversationHistory(owner, newest((*stored, *own)))

    async def spent(self, day: int, agent_id: str, user_id: str | None) -> int:
        """Micro-dollars by the store alone: this process counts what it spends itself."""
        return await self._store.spent(day, agent_id, user_id)
