"""Past conversations: which there are, and what they come to."""

import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from relay.feed.shapes import Conversations, conversation_of
from relay.http.api.access import Access
from relay.http.api.faults import BAD_LIMIT, NAME_A_USER, NOT_A_COACH, NOTHING_SAID, Refused, wait
from relay.http.api.gate import Gate
from relay.http.api.reading import Reading, id_of, json_answer, number, read
from relay.interfaces import Talk
from relay.realtime.grant import Caller
from relay.realtime.records import ActionRecord, Record
from relay.summary.shapes import Summary
from relay.summary.summariser import Summariser, TooMany

LIMIT: Final = 50
"""Conversations of one answer, where nobody asks for another number."""
MOST: Final = 200
MOST_USERS: Final = 100
"""Learners that one question to the store may name: an address holds no more ids."""
BUSY_SECONDS: Final = 5
"""When to come again where as many summaries are being written as may be."""
_encode_summary = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Archive:
    """What is asked of the rest of the program.

    `conversations` lists those of some users (None: of all), `keep` queues a record for the disk,
    `clock` gives Unix seconds.
    """

    conversations: Callable[[Collection[str] | None, int], Awaitable[Sequence[Talk]]]
    keep: Callable[[ActionRecord], None]
    summariser: Summariser
    clock: Callable[[], float]


class Archives:
    """The handlers."""

    def __init__(self, archive: Archive, gate: Gate, access: Access, reading: Reading) -> None:
        self._archive = archive
        self._gate = gate
        self._access = access
        self._reading = reading

    async def conversations(self, request: web.Request) -> web.Response:
        """GET /api/conversations?user_id=…&limit=…: those that this caller may see."""
        caller = await self._gate.enter(request)
        limit = number(request.query.get("limit", str(LIMIT)))
        if limit is None or not 1 <= limit <= MOST:
            raise Refused(BAD_LIMIT)
        users: Collection[str] | None = await self._access.whose(caller)
        wanted = request.query.get("user_id")
        if wanted is not None:
            users = [wanted] if users is None or wanted in users else []
        if users is not None and len(users) > MOST_USERS:
            raise Refused(NAME_A_USER)
        talks = await read(self._archive.conversations(users, limit)) if users != [] else ()
        return json_answer(Conversations(conversations=[conversation_of(talk) for talk in talks]))

    async def of_session(self, request: web.Request) -> web.Response:
        """POST /api/sessions/{id}/summary."""
        caller = await self._coach(request)
        feed = await self._reading.find(request, caller)
        said, _ = await read(feed.utterances(0))
        head = feed.head
        summary = await self._summary(head.conversation_id, head.session_id, said)
        self._keep(caller, said, summary)
        return json_answer(summary)

    async def of_conversation(self, request: web.Request) -> web.Response:
        """POST /api/conversations/{id}/summary."""
        caller = await self._coach(request)
        earlier = await self._reading.past(request, caller)
        summary = await self._summary(id_of(request), None, earlier.said)
        self._keep(caller, earlier.said, summary)
        return json_answer(summary)

    async def _coach(self, request: web.Request) -> Caller:
        caller = await self._gate.enter(request)
        if caller.role == "learner":
            raise Refused(NOT_A_COACH)
        return caller

    async def _summary(
        self, conversation_id: str, session_id: str | None, said: Sequence[Record]
    ) -> Summary:
        if not said:
            raise Refused(NOTHING_SAID)
        try:
            return await self._archive.summariser.summary(conversation_id, session_id, said)
        except TooMany:
            raise wait(BUSY_SECONDS) from None

    def _keep(self, caller: Caller, said: Sequence[Record], summary: Summary) -> None:
        """Store it with what else coaches did; a conversation's is kept with its last session."""
        self._archive.keep(
            ActionRecord(
                id=str(uuid.uuid4()),
                head=said[-1].head,
                coach_id=caller.sub,
                action="summary",
                at=self._archive.clock(),
                details={"summary": _encode_summary(summary).decode()},
            )
        )
