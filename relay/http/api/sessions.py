"""Live sessions and transcripts, read once."""

import re
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

import msgspec
import structlog
from aiohttp import web

from relay.feed.feed import SessionFeed
from relay.feed.hub import FeedHub
from relay.feed.messages import (
    CommandAnswer,
    ConversationList,
    ConversationTranscript,
    SessionList,
    SessionTranscript,
    conversation_of,
    utterance_of,
)
from relay.http.api.auth import Authenticator, Authorizer
from relay.http.api.errors import (
    BAD_LIMIT,
    BAD_MODE,
    BAD_SINCE,
    BAD_TEXT,
    NAME_A_USER,
    NOT_A_COACH,
    NOT_FOUND,
    NOTHING_SAID,
    OVER,
    SILENT,
    TAKEN,
    UNAVAILABLE,
    ApiError,
    ApiErrorSpec,
    wait,
)
from relay.interfaces import ConversationHistory, ConversationSummary
from relay.realtime.coaching.control import MAX_WHISPER, Command, Mode, Outcome
from relay.realtime.grant import Caller
from relay.realtime.records import ActionRecord, CoachAction, Record
from relay.summary.extract import Summary
from relay.summary.summarizer import Summarizer, TooMany

LIMIT: Final = 200
"""Sessions of one answer, where nobody asks for another number."""
MOST: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode = msgspec.json.Encoder().encode
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class SessionHandlers:
    """The handlers of everything but feeds."""

    def __init__(self, hub: FeedHub, gate: Authenticator, access: Authorizer) -> None:
        self._hub = hub
        self._gate = gate
        self._access = access

    async def sessions(self, request: web.Request) -> web.Response:
        """GET /api/sessions: the live ones that this caller may see, the newest first."""
        caller = await self._gate.enter(request)
        limit = number(request.query.get("limit", str(LIMIT)))
        if limit is None or not 1 <= limit <= MOST:
            raise ApiError(BAD_LIMIT)
        sees = await self._access.sees(caller)
        seen = [feed for feed in reversed(self._hub.sessions()) if sees(feed.head.user_id)]
        shown = [feed.session() for feed in seen[:limit]]
        return json_answer(SessionList(sessions=shown, total=len(seen)))

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

    async def past(self, request: web.Request, caller: Caller) -> ConversationHistory:
        """The conversation that the address names, with its owner; else it is not found."""
        sees = await self._access.sees(caller)
        earlier = await read(self._hub.conversation(id_of(request)))
        if earlier.owner is None or not sees(earlier.owner):
            raise ApiError(NOT_FOUND)
        return earlier

    async def find(self, request: web.Request, caller: Caller) -> SessionFeed:
        """The session that the address names; one that the caller may not see is not found."""
        sees = await self._access.sees(caller)
        feed = self._hub.find(id_of(request))
        if feed is None or not sees(feed.head.user_id):
            raise ApiError(NOT_FOUND)
        return feed


async def read(question: Awaitable[Result]) -> Result:
    """Ask the disk; `ApiError` (503) when it does not answer, whatever it raised."""
    try:
        return await question
    except Exception as error:  # a store raises what its library does
        log.warning("words cannot be read", error=type(error).__name__)
        raise ApiError(UNAVAILABLE) from error


def number(text: str) -> int | None:
    """A whole number from 0 on, None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def since_of(request: web.Request) -> int:
    """Where the caller wants to go on from; raises `ApiError`."""
    since = number(request.query.get("since", "0"))
    if since is None:
        raise ApiError(BAD_SINCE)
    return since


def id_of(request: web.Request) -> str:
    """The id in the address; what cannot be one is not found."""
    given = request.match_info["id"]
    if not _ID.fullmatch(given):
        raise ApiError(NOT_FOUND)
    return given


def json_answer(shown: msgspec.Struct) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=_encode(shown), headers={"Content-Type": "application/json"})


# ---- What a coach does to a live session: one address a command.

ACTIONS: Final[tuple[CoachAction, ...]] = (
    *("pause", "resume", "whisper", "takeover", "release", "note", "end"),
)
"""Each is `POST /api/sessions/{id}/<action>`."""
NEEDS_TEXT: Final = frozenset({"whisper", "note"})
MAX_BODY: Final = 64 * 1024
"""Bytes of a request; the longest text in JSON's longest spelling is less."""
_REFUSALS: Final[dict[Outcome, ApiErrorSpec]] = {"busy": TAKEN, "muted": SILENT, "over": OVER}


class CommandHandlers:
    """The handlers. Every command may be repeated: what is so already changes nothing."""

    def __init__(self, gate: Authenticator, reading: SessionHandlers) -> None:
        self._gate = gate
        self._reading = reading

    def routes(self) -> Iterator[web.RouteDef]:
        """One a command."""
        for action in ACTIONS:
            yield web.post(f"/sessions/{{id}}/{action}", self._handler(action))

    def _handler(self, action: CoachAction) -> Any:
        async def handle(request: web.Request) -> web.Response:
            caller = await self._gate.enter(request)
            if caller.role == "learner":
                raise ApiError(NOT_A_COACH)
            feed = await self._reading.find(request, caller)
            outcome = feed.call.obey(_command(action, caller, await _body(request)))
            if outcome in _REFUSALS:
                raise ApiError(_REFUSALS[outcome])
            feed.beat(with_state=True)
            return json_answer(CommandAnswer(changed=outcome == "done", session=feed.session()))

        return handle


async def _body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; nothing at all is an empty one."""
    if (request.content_length or 0) > MAX_BODY:
        raise ApiError(BAD_TEXT)
    raw = await request.content.read(MAX_BODY + 1)
    if not raw.strip():
        return {}
    try:
        told = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(BAD_TEXT) from None
    if len(raw) > MAX_BODY or not isinstance(told, dict):
        raise ApiError(BAD_TEXT)
    return told


def _command(action: CoachAction, caller: Caller, told: dict[str, Any]) -> Command:
    text = told.get("reason" if action == "end" else "text", "")
    wanted = action in NEEDS_TEXT
    if not isinstance(text, str) or len(text) > MAX_WHISPER or (wanted and not text.strip()):
        raise ApiError(BAD_TEXT)
    mode = told.get("mode", "context")
    if mode not in get_args(Mode):
        raise ApiError(BAD_MODE)
    return Command(action, caller.sub, text, mode, is_admin=caller.role == "admin")


# ---- Past conversations: which there are, and what they come to.

CONVERSATIONS_LIMIT: Final = 50
"""Conversations of one answer, where nobody asks for another number."""
MOST_CONVERSATIONS: Final = 200
MOST_USERS: Final = 100
"""Learners that one question to the store may name: an address holds no more ids."""
BUSY_SECONDS: Final = 5
"""When to come again where as many summaries are being written as may be."""
_encode_summary = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ConversationArchive:
    """What is asked of the rest of the program.

    `conversations` lists those of some users (None: of all), `keep` queues a record for the disk,
    `clock` gives Unix seconds.
    """

    conversations: Callable[[Collection[str] | None, int], Awaitable[Sequence[ConversationSummary]]]
    keep: Callable[[ActionRecord], None]
    summariser: Summarizer
    clock: Callable[[], float]


class ConversationHandlers:
    """The handlers."""

    def __init__(
        self,
        archive: ConversationArchive,
        gate: Authenticator,
        access: Authorizer,
        reading: SessionHandlers,
    ) -> None:
        self._archive = archive
        self._gate = gate
        self._access = access
        self._reading = reading

    async def conversations(self, request: web.Request) -> web.Response:
        """GET /api/conversations?user_id=…&limit=…: those that this caller may see."""
        caller = await self._gate.enter(request)
        limit = number(request.query.get("limit", str(CONVERSATIONS_LIMIT)))
        if limit is None or not 1 <= limit <= MOST_CONVERSATIONS:
            raise ApiError(BAD_LIMIT)
        users: Collection[str] | None = await self._access.whose(caller)
        wanted = request.query.get("user_id")
        if wanted is not None:
            users = [wanted] if users is None or wanted in users else []
        if users is not None and len(users) > MOST_USERS:
            raise ApiError(NAME_A_USER)
        talks = await read(self._archive.conversations(users, limit)) if users != [] else ()
        return json_answer(
            ConversationList(conversations=[conversation_of(talk) for talk in talks])
        )

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
            raise ApiError(NOT_A_COACH)
        return caller

    async def _summary(
        self, conversation_id: str, session_id: str | None, said: Sequence[Record]
    ) -> Summary:
        if not said:
            raise ApiError(NOTHING_SAID)
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
