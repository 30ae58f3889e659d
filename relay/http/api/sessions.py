"""Handlers for live sessions, commands to them, past conversations and summaries."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from relay.feed.feed import SessionFeed
from relay.feed.hub import FeedHub
from relay.feed.messages import (
    CommandAnswer,
    ConversationList,
    ConversationTranscript,
    SessionList,
    SessionTranscript,
    conversation_info,
    utterance_info,
)
from relay.http.api.auth import Authenticator, Authorizer
from relay.http.api.errors import (
    BAD_LIMIT,
    BAD_MODE,
    BAD_REQUEST,
    BAD_SINCE,
    BAD_TEXT,
    NOT_FOUND,
    NOTHING_SAID,
    OVER,
    SILENT,
    TAKEN,
    UNAVAILABLE,
    USER_ID_MISSING,
    ApiError,
    ApiErrorSpec,
    too_many_requests,
)
from relay.http_body import BodyTooLarge, read_body
from relay.interfaces import ConversationHistory, ConversationSummary, SessionDirectory
from relay.realtime.coaching.control import MAX_WHISPER, Command, Mode, Outcome
from relay.realtime.grant import Caller
from relay.realtime.records import ActionRecord, CoachAction, Record
from relay.summary.summarizer import Summarizer, Summary, TooManySummaries
from relay.tasks import error_fields

SESSIONS_LIMIT: Final = 200
"""Default `limit` of a list of sessions."""
MAX_SESSIONS: Final = 1000
CONVERSATIONS_LIMIT: Final = 50
"""Default `limit` of a list of conversations."""
MAX_CONVERSATIONS: Final = 200
MAX_USERS: Final = 100
"""Users in one query to the store: a URL holds no more ids."""
MAX_BODY: Final = 64 * 1024
"""Bytes of a request; the longest text, escaped in JSON, is shorter."""
BODY_SECONDS: Final = 10.0
"""Seconds that the whole body of a command may take to arrive."""
BUSY_SECONDS: Final = 5
"""`Retry-After` while the maximum of summaries is being written."""

ACTIONS: Final[tuple[CoachAction, ...]] = (
    *("pause", "resume", "whisper", "takeover", "release", "note", "end"),
)
"""Each is `POST /api/sessions/{id}/<action>`."""
NEEDS_TEXT: Final = frozenset({"whisper", "note"})
_ERRORS: Final[dict[Outcome, ApiErrorSpec]] = {"busy": TAKEN, "muted": SILENT, "over": OVER}
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_encode = msgspec.json.Encoder().encode
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class SessionHandlers:
    """Live sessions and their transcripts."""

    def __init__(self, hub: FeedHub, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._authorizer = authorizer

    async def list_sessions(self, request: web.Request) -> web.Response:
        """GET /api/sessions?limit=…: the live ones that this caller may see, newest first."""
        caller = await self._authenticator.authenticate(request)
        limit = parse_limit(request, SESSIONS_LIMIT, MAX_SESSIONS)
        is_visible = await self._authorizer.visible_to(caller)
        feeds = [feed for feed in reversed(self._hub.live_feeds()) if is_visible(feed.head.user_id)]
        listed = [feed.info() for feed in feeds[:limit]]
        return json_response(SessionList(sessions=listed, total=len(feeds)))

    async def get_session(self, request: web.Request) -> web.Response:
        """GET /api/sessions/{id}."""
        caller = await self._authenticator.authenticate(request)
        return json_response((await self.find(request, caller)).info())

    async def get_transcript(self, request: web.Request) -> web.Response:
        """GET /api/sessions/{id}/transcript?since=SEQ."""
        caller = await self._authenticator.authenticate(request)
        since = parse_since(request)
        feed = await self.find(request, caller)
        records, seq = await read_stored(feed.utterances(since))
        return json_response(
            SessionTranscript(
                session_id=feed.head.session_id,
                conversation_id=feed.head.conversation_id,
                seq=seq,
                utterances=[utterance_info(record) for record in records],
            )
        )

    async def find(self, request: web.Request, caller: Caller) -> SessionFeed:
        """The session of the path; raises `ApiError` (404) also where the caller may not see it."""
        is_visible = await self._authorizer.visible_to(caller)
        feed = self._hub.find(path_id(request))
        if feed is None or not is_visible(feed.head.user_id):
            raise ApiError(NOT_FOUND)
        return feed


class CommandHandlers:
    """A coach's commands to a live session. Repeating one changes nothing."""

    def __init__(
        self,
        directory: SessionDirectory,
        authenticator: Authenticator,
        sessions: SessionHandlers,
    ) -> None:
        self._directory = directory
        self._authenticator = authenticator
        self._sessions = sessions

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield one route for each command."""
        for action in ACTIONS:
            yield web.post(f"/sessions/{{id}}/{action}", self._handler(action))

    def _handler(self, action: CoachAction) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            caller = await self._authenticator.authenticate_coach(request)
            feed = await self._sessions.find(request, caller)
            command = _command(action, caller, await _json_object(request))
            session = self._directory.find(feed.head.session_id)
            outcome = "over" if session is None else session.execute(command)
            if outcome in _ERRORS:
                raise ApiError(_ERRORS[outcome])
            feed.tick(with_state=True)
            return json_response(CommandAnswer(changed=outcome == "done", session=feed.info()))

        return handle


async def _json_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object, empty where there is no body; raises `ApiError`."""
    if (request.content_length or 0) > MAX_BODY:
        raise ApiError(BAD_TEXT)
    raw = await _body(request)
    if not raw.strip():
        return {}
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(BAD_TEXT) from None
    if not isinstance(decoded, dict):
        raise ApiError(BAD_TEXT)
    return decoded


async def _body(request: web.Request) -> bytes:
    """The whole body, in however many segments it comes; raises `ApiError`."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_body(request, MAX_BODY)
    except BodyTooLarge:
        raise ApiError(BAD_TEXT) from None
    except (TimeoutError, web.RequestPayloadError, OSError):
        raise ApiError(BAD_REQUEST) from None


def _command(action: CoachAction, caller: Caller, body: dict[str, Any]) -> Command:
    text = body.get("reason" if action == "end" else "text", "")
    needs_text = action in NEEDS_TEXT
    if not isinstance(text, str) or len(text) > MAX_WHISPER or (needs_text and not text.strip()):
        raise ApiError(BAD_TEXT)
    mode = body.get("mode", "context")
    if mode not in get_args(Mode):
        raise ApiError(BAD_MODE)
    return Command(action, caller.sub, text, mode, is_admin=caller.role == "admin")


@dataclass(frozen=True, slots=True)
class ConversationArchive:
    """The rest of the program as the handlers of past conversations see it.

    `conversations` lists those of some users (None: of all), up to a limit. `record` queues a
    summary for the journal, `clock` gives Unix seconds.
    """

    conversations: Callable[[Collection[str] | None, int], Awaitable[Sequence[ConversationSummary]]]
    record: Callable[[ActionRecord], None]
    summarizer: Summarizer
    clock: Callable[[], float]


class ConversationHandlers:
    """Past conversations, and summaries of them and of live sessions."""

    def __init__(
        self,
        archive: ConversationArchive,
        hub: FeedHub,
        authenticator: Authenticator,
        authorizer: Authorizer,
        sessions: SessionHandlers,
    ) -> None:
        self._archive = archive
        self._hub = hub
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._sessions = sessions

    async def list_conversations(self, request: web.Request) -> web.Response:
        """GET /api/conversations?user_id=…&limit=…: those that this caller may see."""
        caller = await self._authenticator.authenticate(request)
        limit = parse_limit(request, CONVERSATIONS_LIMIT, MAX_CONVERSATIONS)
        users: Collection[str] | None = await self._authorizer.visible_users(caller)
        wanted = request.query.get("user_id")
        if wanted is not None:
            users = [wanted] if users is None or wanted in users else []
        if users is not None and len(users) > MAX_USERS:
            raise ApiError(USER_ID_MISSING)
        found = await read_stored(self._archive.conversations(users, limit)) if users != [] else ()
        return json_response(
            ConversationList(conversations=[conversation_info(one) for one in found])
        )

    async def get_transcript(self, request: web.Request) -> web.Response:
        """GET /api/conversations/{id}/transcript."""
        caller = await self._authenticator.authenticate(request)
        history = await self._find(request, caller)
        return json_response(
            ConversationTranscript(
                conversation_id=path_id(request),
                user_id=history.owner or "",
                utterances=[utterance_info(record) for record in history.said],
            )
        )

    async def summarize_conversation(self, request: web.Request) -> web.Response:
        """POST /api/conversations/{id}/summary."""
        caller = await self._authenticator.authenticate_coach(request)
        history = await self._find(request, caller)
        summary = await self._summarize(path_id(request), None, history.said)
        self._record(caller, history.said, summary)
        return json_response(summary)

    async def summarize_session(self, request: web.Request) -> web.Response:
        """POST /api/sessions/{id}/summary."""
        caller = await self._authenticator.authenticate_coach(request)
        feed = await self._sessions.find(request, caller)
        records, _ = await read_stored(feed.utterances(0))
        head = feed.head
        summary = await self._summarize(head.conversation_id, head.session_id, records)
        self._record(caller, records, summary)
        return json_response(summary)

    async def _find(self, request: web.Request, caller: Caller) -> ConversationHistory:
        """The conversation of the path; raises `ApiError`."""
        is_visible = await self._authorizer.visible_to(caller)
        history = await read_stored(self._hub.conversation(path_id(request)))
        if history.owner is None or not is_visible(history.owner):
            raise ApiError(NOT_FOUND)
        return history

    async def _summarize(
        self, conversation_id: str, session_id: str | None, records: Sequence[Record]
    ) -> Summary:
        if not records:
            raise ApiError(NOTHING_SAID)
        try:
            return await self._archive.summarizer.summary(conversation_id, session_id, records)
        except TooManySummaries:
            raise too_many_requests(BUSY_SECONDS) from None

    def _record(self, caller: Caller, records: Sequence[Record], summary: Summary) -> None:
        """Store the summary as a coach's action; a conversation's goes with its last session."""
        self._archive.record(
            ActionRecord(
                id=str(uuid.uuid4()),
                head=records[-1].head,
                coach_id=caller.sub,
                action="summary",
                at=self._archive.clock(),
                details={"summary": _encode(summary).decode()},
            )
        )


async def read_stored(reading: Awaitable[Result]) -> Result:
    """Await a read from journal and store; raises `ApiError` (503) where it fails."""
    try:
        return await reading
    except Exception as error:  # a store raises what its library does
        log.warning("could not read stored utterances", **error_fields(error))
        raise ApiError(UNAVAILABLE) from error


def parse_number(text: str) -> int | None:
    """A whole number, 0 or more; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def parse_limit(request: web.Request, default: int, maximum: int) -> int:
    """The `limit` of the query; raises `ApiError`."""
    limit = parse_number(request.query.get("limit", str(default)))
    if limit is None or not 1 <= limit <= maximum:
        raise ApiError(BAD_LIMIT)
    return limit


def parse_since(request: web.Request) -> int:
    """The `since` of the query, 0 without one; raises `ApiError`."""
    since = parse_number(request.query.get("since", "0"))
    if since is None:
        raise ApiError(BAD_SINCE)
    return since


def path_id(request: web.Request) -> str:
    """The id in the path; raises `ApiError` (404) where it is not a UUID."""
    given = request.match_info["id"]
    if not _ID.fullmatch(given):
        raise ApiError(NOT_FOUND)
    return given


def json_response(body: msgspec.Struct) -> web.Response:
    """A successful response."""
    return web.Response(body=_encode(body), headers={"Content-Type": "application/json"})
