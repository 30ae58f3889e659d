"""Live sessions and transcripts, read once."""

import re
from collections.abc import Awaitable
from typing import Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from relay.feed.feed import Feed
from relay.feed.hub import Hub
from relay.feed.shapes import ConversationTranscript, Sessions, SessionTranscript, utterance_of
from relay.http.api.access import Access
from relay.http.api.faults import BAD_LIMIT, BAD_SINCE, NOT_FOUND, UNAVAILABLE, Refused
from relay.http.api.gate import Gate
from relay.interfaces import Earlier
from relay.realtime.grant import Caller

LIMIT: Final = 200
"""Sessions of one answer, where nobody asks for another number."""
MOST: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode = msgspec.json.Encoder().encode
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class Reading:
    """The handlers of everything but feeds."""

    def __init__(self, hub: Hub, gate: Gate, access: Access) -> None:
        self._hub = hub
        self._gate = gate
        self._access = access

    async def sessions(self, request: web.Request) -> web.Response:
        """GET /api/sessions: the live ones that this caller may see, the newest first."""
        caller = await self._gate.enter(request)
        limit = number(request.query.get("limit", str(LIMIT)))
        if limit is None or not 1 <= limit <= MOST:
            raise Refused(BAD_LIMIT)
        sees = await self._access.sees(caller)
        seen = [feed for feed in reversed(self._hub.sessions()) if sees(feed.head.user_id)]
        shown = [feed.session() for feed in seen[:limit]]
        return json_answer(Sessions(sessions=shown, total=len(seen)))

    async def session(self, request: web.Request) -> web.Response:
        """GET /api/sessions/{id}."""
        caller = await self._gate.enter(request)
        return json_answer((await self.find(request, caller)).session())

    async def transcript(self, request: web.Request) -> web.Response:
        """GET /api/sessions/{id}/transcript?since=SEQ."""
        caller = await self._gate.enter(request)
        since = since_of(request)
        feed = await self.find(request, caller)
        said, top = await read(feed.utterances(since))
        return json_answer(
            SessionTranscript(
                session_id=feed.head.session_id,
                conversation_id=feed.head.conversation_id,
                seq=top,
                utterances=[utterance_of(record) for record in said],
            )
        )

    async def conversation(self, request: web.Request) -> web.Response:
        """GET /api/conversations/{id}/transcript."""
        caller = await self._gate.enter(request)
        earlier = await self.past(request, caller)
        return json_answer(
            ConversationTranscript(
                conversation_id=id_of(request),
                user_id=earlier.owner or "",
                utterances=[utterance_of(record) for record in earlier.said],
            )
        )

    async def past(self, request: web.Request, caller: Caller) -> Earlier:
        """The conversation that the address names, with its owner; else it is not found."""
        sees = await self._access.sees(caller)
        earlier = await read(self._hub.conversation(id_of(request)))
        if earlier.owner is None or not sees(earlier.owner):
            raise Refused(NOT_FOUND)
        return earlier

    async def find(self, request: web.Request, caller: Caller) -> Feed:
        """The session that the address names; one that the caller may not see is not found."""
        sees = await self._access.sees(caller)
        feed = self._hub.find(id_of(request))
        if feed is None or not sees(feed.head.user_id):
            raise Refused(NOT_FOUND)
        return feed


async def read(question: Awaitable[Result]) -> Result:
    """Ask the disk; `Refused` (503) when it does not answer, whatever it raised."""
    try:
        return await question
    except Exception as error:  # a store raises what its library does
        log.warning("words cannot be read", error=type(error).__name__)
        raise Refused(UNAVAILABLE) from error


def number(text: str) -> int | None:
    """A whole number from 0 on, None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def since_of(request: web.Request) -> int:
    """Where the caller wants to go on from; raises `Refused`."""
    since = number(request.query.get("since", "0"))
    if since is None:
        raise Refused(BAD_SINCE)
    return since


def id_of(request: web.Request) -> str:
    """The id in the address; what cannot be one is not found."""
    given = request.match_info["id"]
    if not _ID.fullmatch(given):
        raise Refused(NOT_FOUND)
    return given


def json_answer(shown: msgspec.Struct) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=_encode(shown), headers={"Content-Type": "application/json"})
