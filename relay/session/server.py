"""Accepts connections: admits each caller, runs one session for them, and counts it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from math import inf
from typing import Final

import structlog
from structlog.contextvars import bind_contextvars

from relay.admission.reconnects import caller_name
from relay.auth.jwks import KeyUnknownYet
from relay.interfaces import (
    Admission,
    Connection,
    ConnectRequest,
    ConversationHistory,
    Door,
    Journal,
)
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.earlier import EarlierRecords, earlier_ids, seed_items
from relay.realtime.endings import (
    AT_CAPACITY,
    AUTH_UNAVAILABLE,
    FORBIDDEN,
    INTERNAL_ERROR,
    MISSING_PARAMETERS,
    SERVICE_RESTART,
    TOKEN_TOO_LONG,
    UNAUTHORIZED,
    UNKNOWN_PATH,
    UNSUPPORTED_CALL,
    UNSUPPORTED_INTENT,
    Ending,
    SessionRefused,
)
from relay.realtime.events import encode
from relay.realtime.grant import Caller, Grant
from relay.realtime.opening import SessionSetup
from relay.realtime.records import SessionHead
from relay.session.claims import Claim, ConversationClaims
from relay.session.links import CloseWaiter
from relay.session.recorder import Recorder, TextlessJournal
from relay.session.session import CLOSE_SECONDS, Services, Session, SessionContext
from relay.tasks import Tasks, error_fields

DATE_STEP: Final = 0.001
"""Seconds between two dates that every store can tell apart."""

TOKEN_SECONDS: Final = 4.5
"""Seconds the look-ups of a token and of an agent may take together: a little more than a token's
check, and less than the five after which a listener ends a newcomer without a word."""

STRANGERS: Final = (
    *(MISSING_PARAMETERS, TOKEN_TOO_LONG, UNAUTHORIZED, UNKNOWN_PATH),
    *(UNSUPPORTED_CALL, UNSUPPORTED_INTENT),
)
"""Endings of who has shown no valid token, by their own doing."""

log = structlog.get_logger(__name__)


class SessionServer:
    """Runs one task for each connection, from its acceptance until both its sides are closed.

    The doors are asked in their order. `limits` are what a session has where its agent sets no
    tighter ones.
    """

    def __init__(self, doors: Sequence[Door], services: Services, limits: SessionLimits) -> None:
        self._doors = doors
        self._services = services
        self._limits = limits
        self._claims = ConversationClaims()
        self._tasks = Tasks(_report)
        self._is_draining = False

    def receive(self, client: Connection, request: ConnectRequest) -> None:
        """Accept a client of the WebSocket listener at the door that its path belongs to."""
        self.accept(client, request, self._door(request))

    def accept(self, client: Connection, request: ConnectRequest, door: Door) -> None:
        """Start the session of a connected client; returns at once.

        While the server drains, the client is told so (1012).
        """
        self._tasks.run(self._run(client, request, door), "session")

    def farewell_frames(self, request: ConnectRequest, ending: Ending) -> list[bytes]:
        """Frames for a client who broke the WebSocket protocol, sent before the close frame."""
        told = self._door(request).dialect(request).farewell(ending)
        return [encode(event) for event in told.events]

    def _door(self, request: ConnectRequest) -> Door:
        return next(door for door in self._doors if door.matches(request))

    async def _run(self, client: Connection, request: ConnectRequest, door: Door) -> None:
        metrics, clock = self._services.metrics, self._services.clock.monotonic
        began, session_id = clock(), str(uuid.uuid4())
        cause: dict[str, str | int] = {}
        # On each log line of this task and its children.
        bind_contextvars(session_id=session_id, client=request.client_ip)
        async with AsyncExitStack() as slots:
            try:
                session = await self._admit(client, request, door, session_id, slots)
            except SessionRefused as refused:
                ending, cause = refused.ending, _cause(refused)
                metrics.caller_refused(str(cause.get("cause", ending.name)))
                await _reject(client, door.dialect(request), ending)
            except Exception as error:  # noqa: BLE001 - set-up may fail in any way: 1011, S3-10
                failed = error_fields(error)
                log.warning("session setup failed", error=failed.pop("reason"), **failed)
                ending = INTERNAL_ERROR
                await _reject(client, door.dialect(request), ending)
            else:
                metrics.session_started(door.name)
                ending = await session.run()
                cause = {} if session.client_code is None else {"code": session.client_code}
                name = _name(session.head.user_id, request, door)
                self._services.reconnects.ended(
                    name, ending, clock() - began, _now(), was_used=session.was_used
                )
        seconds = clock() - began
        metrics.session_ended(door.name, ending.name, seconds)
        fields = {"door": door.name, "ending": ending.name, **cause}
        log.info("session ended", **fields, seconds=round(seconds, 3))

    async def _admit(
        self,
        client: Connection,
        request: ConnectRequest,
        door: Door,
        session_id: str,
        slots: AsyncExitStack,
    ) -> Session:
        """Make the session of a client that may have one; raises `SessionRefused`.

        What the session holds is released when `slots` close.
        """
        if self._is_draining:
            raise SessionRefused(SERVICE_RESTART)
        self._check_room(request)
        until = _now() + TOKEN_SECONDS
        async with _in_time(until, AUTH_UNAVAILABLE):
            caller = await self._authenticate(request, door)
        name = _name(caller.sub, request, door)
        # Who has to wait does not use up what others behind the same address may.
        self._services.reconnects.check(name, _now())
        with self._counting_refusals(name):
            async with _in_time(until, INTERNAL_ERROR):
                admission = await door.admit(request, caller)
        self._services.addresses.connected(request.client_ip, _now())
        with self._counting_refusals(name):
            claim = await slots.enter_async_context(self._claim(session_id, admission.grant))
            await self._take_place(claim, caller, request)
            return await self._create(client, door.name, claim, admission, slots)

    def _check_room(self, request: ConnectRequest) -> None:
        """Refuse who can have no place, before anything is looked up, as S3 did.

        In a full house a place is left to who continues a conversation of this process: its session
        may be theirs, and then gives them its own.
        """
        continued = (request.parameter("conversation_id") or "").lower()
        if self._services.directory.is_full and not self._claims.is_held(continued):
            raise SessionRefused(AT_CAPACITY)

    async def _take_place(self, claim: Claim, caller: Caller, request: ConnectRequest) -> None:
        """Take what counts against the limits, after a session that is replaced gave it back."""
        services, place = self._services, claim.place
        place.enter_context(services.addresses.place(request.client_ip))
        await place.enter_async_context(services.directory.acquire())
        if caller.role == "learner":  # coaches and admins may have as many as they like
            await place.enter_async_context(services.directory.acquire_user(caller.sub))
        request.let_in()

    @contextmanager
    def _counting_refusals(self, name: str) -> Iterator[None]:
        """Tell the limits of a caller who is refused."""
        try:
            yield
        except SessionRefused as refused:
            self._services.reconnects.ended(name, refused.ending, 0.0, _now())
            raise

    async def _create(
        self,
        client: Connection,
        door: str,
        claim: Claim,
        admission: Admission,
        slots: AsyncExitStack,
    ) -> Session:
        """Make the session of a client who has a place; raises `SessionRefused`."""
        services, grant, session_id = self._services, admission.grant, claim.session_id
        earlier = await self._earlier(claim, grant)
        hold = await services.budgets.open(grant, session_id, services.clock.unix())
        if hold is not None:
            slots.callback(hold.release)
        setup = session_setup(services, session_id, admission, earlier)
        setup = replace(setup, conversation_id=claim.conversation_id)
        tools = services.tools(grant, session_id, setup.conversation_id)
        clock = services.clock.even(not_before=_next_date(earlier))
        context = SessionContext(
            client,
            clock,
            door,
            admission.pace_ms,
            admission.after_playback,
            tools,
            hold,
            claim.place.aclose,
            claim.settle,
            admission.client_update,
        )
        session = create_session(services, self._limits, setup, context)
        claim.begin(session.end)
        slots.enter_context(services.directory.track(session))
        return session

    def _claim(self, session_id: str, grant: Grant) -> AbstractAsyncContextManager[Claim]:
        """Claim the conversation that is continued or begins; ends the caller's older session."""
        conversation_id = grant.conversation_id or str(uuid.uuid4())
        return self._claims.claim(conversation_id, grant.caller.sub, session_id)

    async def _authenticate(self, request: ConnectRequest, door: Door) -> Caller:
        """The caller whose token was shown; raises `SessionRefused`.

        Who sends no valid one again and again is told to wait.
        """
        try:
            return await door.authenticate(request)
        except SessionRefused as refused:
            # A key that nobody knows may be new; whoever names such keys all the time invents them.
            is_unknown = isinstance(refused.__cause__, KeyUnknownYet)
            if refused.ending in STRANGERS or is_unknown:
                self._services.addresses.failed(request.client_ip, _now())
            raise

    async def _earlier(self, claim: Claim, grant: Grant) -> ConversationHistory:
        """What was said before in the conversation that is continued; only its owner may."""
        await self._claims.settled(claim)
        earlier = ConversationHistory()
        if grant.conversation_id is not None:
            earlier = await self._services.history.conversation(grant.conversation_id)
        if earlier.owner not in (None, grant.caller.sub):
            raise SessionRefused(FORBIDDEN)
        self._claims.own(claim)
        return earlier

    async def drain(self, seconds: float) -> None:
        """Admit no more clients; let sessions end for so many seconds, then end them with 1012."""
        self._is_draining = True
        try:
            async with asyncio.timeout(seconds):
                await self._tasks.done()
        except TimeoutError:
            self._services.directory.end_all(SERVICE_RESTART)

    async def aclose(self) -> None:
        """End what is left; every session has closed both its sides when this returns."""
        self._is_draining = True
        self._services.directory.end_all(SERVICE_RESTART)
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._tasks.done()
        except TimeoutError:
            log.warning("sessions did not end", count=len(self._tasks))
        await self._tasks.aclose()


def session_setup(
    services: Services, session_id: str, admission: Admission, earlier: ConversationHistory
) -> SessionSetup:
    """What the rules of an admitted caller's session start from."""
    engine = services.engine.capabilities
    return SessionSetup(
        session_id=session_id,
        conversation_id=admission.grant.conversation_id or str(uuid.uuid4()),
        grant=admission.grant,
        dialect=admission.dialect,
        first_update=admission.first_update,
        first_update_shown=admission.first_shown,
        transcription=services.transcription,
        truncates=admission.truncates and engine.truncation,
        earlier_items=seed_items(earlier.said),
        earlier_ids=earlier_ids(earlier.said),
        earlier=EarlierRecords(earlier.said),
        prices=services.prices if engine.billed else None,
        conceal=engine.conceal,
    )


def create_session(
    services: Services, limits: SessionLimits, setup: SessionSetup, context: SessionContext
) -> Session:
    """Make a session; nothing runs yet. The tighter of `limits` and its agent's bounds count."""
    grant, now = setup.grant, context.clock()
    limits = replace(
        limits,
        session_seconds=_tighter(grant.bounds.session_seconds, limits.session_seconds),
        idle_seconds=_tighter(grant.bounds.idle_seconds, limits.idle_seconds),
        expires_at=now + grant.caller.expires_at - services.clock.unix(),
    )
    core = SessionCore(setup, Deadlines(limits, now))
    recorder = Recorder(_journal(services, grant), session_head(setup, now))
    return Session(context, core, recorder, services)


def session_head(setup: SessionSetup, now: float) -> SessionHead:
    """What every record of the session carries; `now` (Unix seconds) is when it started."""
    audio = setup.first_update["session"].get("audio", {})
    return SessionHead(
        session_id=setup.session_id,
        conversation_id=setup.conversation_id,
        user_id=setup.grant.caller.sub,
        agent_id=setup.grant.agent_id,
        model=setup.grant.model or "",
        voice=str(audio.get("output", {}).get("voice", "")),
        started_at=now,
    )


def _journal(services: Services, grant: Grant) -> Journal:
    """The journal, or one that withholds spoken words where the agent stores none."""
    journal = services.journal
    return journal if grant.store_text else TextlessJournal(journal, services.show)


def _next_date(earlier: ConversationHistory) -> float:
    """The first date that is after all of a conversation's until now, in Unix seconds.

    Conversations are read in the order of their dates: a clock that was set back between two of
    their sessions must not put the later one first.
    """
    dates = [max(said.head.started_at, said.utterance.created_at) for said in earlier.said]
    return max(dates) + DATE_STEP if dates else -inf


@asynccontextmanager
async def _in_time(until: float, ending: Ending) -> AsyncIterator[None]:
    """Bound look-ups about a caller, in the loop's seconds; raises `SessionRefused`."""
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError:
        raise SessionRefused(ending) from None


def _name(sub: str, request: ConnectRequest, door: Door) -> str:
    """A caller as the limits know them: what they ask for belongs to it."""
    asked = [request.parameter(name) for name in ("agent_id", "conversation_id")]
    return caller_name(sub, door.name, *asked)


def _now() -> float:
    """Seconds of a clock that is never set."""
    return asyncio.get_running_loop().time()


def _tighter(bound: float | None, limit: float) -> float:
    return limit if bound is None else min(bound, limit)


async def _reject(client: Connection, dialect: ClientDialect, ending: Ending) -> None:
    """Tell a client why it is refused: after the handshake, never by an HTTP status (S3-7)."""
    bind_contextvars(refused=True)  # on its lines from now on: the log counts refusals together
    waiter = CloseWaiter()
    client.attach(waiter)
    farewell = dialect.farewell(ending)
    for event in farewell.events:
        client.send(encode(event))
    client.close(farewell.code, farewell.reason)
    async with asyncio.timeout(CLOSE_SECONDS):
        await waiter.gone.wait()


def _cause(refused: SessionRefused) -> dict[str, str | int]:
    """Why a caller was refused, where the door knows more than the ending says; safe to log."""
    return {"cause": str(refused.__cause__)} if refused.__cause__ is not None else {}


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)
