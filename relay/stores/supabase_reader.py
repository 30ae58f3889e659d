"""Reading a project's conversations from another process than the relay's."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from relay.realtime.records import Record
from relay.stores.supabase import SupabaseStore

if TYPE_CHECKING:
    from relay.stores.supabase_rest import Rest

LOOK_AGAIN_AFTER: Final = 1.0
"""Seconds between two looks, each of which reads the whole conversation."""


async def _pause() -> None:
    await asyncio.sleep(LOOK_AGAIN_AFTER)


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation in a list of them."""

    conversation_id: str


class SupabaseReader:
    """Looks into a project's tables, as service role. Every method raises `DatabaseTrouble`."""

    def __init__(self, rest: "Rest") -> None:
        self._rest = rest
        self._store = SupabaseStore(rest)

    async def recent(self, limit: int) -> Sequence[Talk]:
        """The conversations that were active last, newest first."""
        question = self._rest.select("conversation_sessions", "conversation_id")
        rows = await self._rest.rows(question.order("last_active", desc=True).limit(limit))
        return [Talk(str(row.get("conversation_id"))) for row in rows]

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order; empty when nobody has the conversation."""
        return await self._store.transcript(conversation_id)

    async def follow(
        self, conversation_id: str, pause: Callable[[], Awaitable[None]] = _pause
    ) -> AsyncGenerator[Record, None]:
        """What was said so far, then what is stored from now on, without an end.

        A correction comes as the same record with a higher `seq`. Each look gives what is new in
        conversation order, so something late may belong before what was given already.
        """
        shown: dict[str, int] = {}
        while True:
            for record in await self.transcript(conversation_id):
                if shown.get(record.id, 0) < record.seq:
                    shown[record.id] = record.seq
                    yield record
            await pause()

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._store.aclose()
