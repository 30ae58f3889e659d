"""Takes a new connection from its door through its session to its end, and counts it meanwhile."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from structlog.contextvars import bind_contextvars

from relay.interfaces import (
    Admission,
    Connection,
    ConversationHistory,
    EngineRequest,
    History,
    Journal,
)
from relay.realtime.billing.budget import BudgetHold
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import Deadlines, SessionLimits
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.endings import (
    FORBIDDEN,
    INTERNAL_ERROR,
    SERVICE_RESTART,
    Ending,
    SessionRefused,
)
from relay.realtime.events import encode
from relay.realtime.grant import Grant
from relay.realtime.opening import SessionSetup, seed_items
from relay.realtime.records import AnyRecord, SessionHead
from relay.session.billing import BudgetService
from relay.session.directory import SessionDirectory
from relay.session.handle import SessionHandle
from relay.session.links import ending_of
from relay.session.recorder import Recorder, TextlessJournal
from relay.session.session import CLOSE_SECONDS, Services, Session, SessionContext
from relay.tasks import Tasks
from relay.websocket.handshake import Handshake

# ---- Gives a caller who was let in a session of their own.


class Door(Protocol):
    """A way in."""

    name: str

    def answers(self, path: str) -> bool:
        """Whether a caller at this path means this door."""

    def view(self, handshake: Handshake) -> ClientDialect:
        """How this caller reads the protocol, also when it is refused."""

    async def admit(self, handshake: Handshake) -> Admission:
        """Who is calling and what they get; raises Refused."""


@dataclass(frozen=True, slots=True)
class SessionDefaults:
    """What every session is given: its limits in seconds and its input transcription."""

    engine_seconds: float
    session_seconds: float
    idle_seconds: float
    transcription: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServerContext:
    """Who is there: the doors in the order they are asked, and what sessions share.

    `live` lets feeds know of a session while its context lasts, `show` gives them words that are
    never written.
    """

    doors: Sequence[Door]
    registry: SessionDirectory
    shared: Services
    journal: Journal
    past: History
    purses: BudgetService
    rules: SessionDefaults
    live: Callable[[SessionHandle], AbstractContextManager[None]] = lambda _: nullcontext()
    show: Callable[[Sequence[AnyRecord]], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class PendingConnection:
    """One connection on its way in, and the name that its session will have."""

    session_id: str
    peer: Connection
    door: Door
    handshake: Handshake


@dataclass(frozen=True, slots=True)
class AdmittedCaller:
    """What is known of a caller who was let in."""

    admission: Admission
    earlier: ConversationHistory
    purse: BudgetHold | None


def create_session(
    house: ServerContext, arrival: PendingConnection, admitted: AdmittedCaller
) -> Session:
    """Make the session; nothing runs yet."""
    admission = admitted.admission
    grant, rules, now = admission.grant, house.rules, house.shared.clock()
    setup = SessionSetup(
        session_id=arrival.session_id,
        conversation_id=grant.conversation_id or str(uuid.uuid4()),
        grant=grant,
        dialect=admission.view,
        first_update=admission.first_update,
        first_update_shown=admission.first_shown,
        transcription=rules.transcription,
        truncates=admission.truncates,
        earlier_items=seed_items(admitted.earlier.said),
        prices=house.shared.prices,
    )
    limits = SessionLimits(
        engine_seconds=rules.engine_seconds,
        session_seconds=_least(grant.bounds.session_seconds, rules.session_seconds),
        idle_seconds=_least(grant.bounds.idle_seconds, rules.idle_seconds),
        expires_at=grant.caller.expires_at,
    )
    return Session(
        _context(house, arrival, setup, admitted),
        SessionCore(setup, Deadlines(limits, now)),
        Recorder(_journal(house, grant), _head(setup, now)),
        house.shared,
    )


def _journal(house: ServerContext, grant: Grant) -> Journal:
    """Where what the call leaves goes: not all of it to the disk, where the agent wants that."""
    return house.journal if grant.store_text else TextlessJournal(house.journal, house.show)


def _context(
    house: ServerContext, arrival: PendingConnection, setup: SessionSetup, admitted: AdmittedCaller
) -> SessionContext:
    admission, grant = admitted.admission, setup.grant
    return SessionContext(
        client=arrival.peer,
        view=admission.view,
        call=EngineRequest(
            session_id=setup.session_id, model=grant.model or "", user_id=grant.caller.sub
        ),
        caller=grant.caller,
        door=arrival.door.name,
        pace_ms=admission.pace_ms,
        tools=house.shared.tools(grant, setup.session_id, setup.conversation_id),
        purse=admitted.purse,
    )


def _head(setup: SessionSetup, now: float) -> SessionHead:
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


def _least(agents: float | None, ours: float) -> float:
    """The agent's own bound where it is the tighter one."""
    return ours if agents is None else min(agents, ours)


log = structlog.get_logger(__name__)


class SessionServer:
    """Owns the task of every connection. `receive` is what the listener calls."""

    def __init__(self, house: ServerContext) -> None:
        self._house = house
        self._tasks = Tasks(_report)

    def receive(self, peer: Connection, handshake: Handshake) -> None:
        """A caller finished its upgrade."""
        self._tasks.run(self._receive(peer, handshake), "session")

    def last_words(self, handshake: Handshake, ending: tuple[int, str]) -> list[bytes]:
        """What a caller who broke the protocol is told before the close of the wire's own."""
        told = self._door(handshake).view(handshake).farewell(ending_of(ending[0]))
        return [encode(event) for event in told.events]

    def _door(self, handshake: Handshake) -> Door:
        return next(door for door in self._house.doors if door.answers(handshake.path))

    async def _receive(self, peer: Connection, handshake: Handshake) -> None:
        door = self._door(handshake)
        metrics, began = self._house.shared.metrics, self._house.shared.clock()
        session_id = str(uuid.uuid4())
        # Every line of this task and of those it starts says whose call it is.
        bind_contextvars(session_id=session_id)
        with ExitStack() as places:
            try:
                places.enter_context(self._house.registry.place())
                session = await self._admit(
                    PendingConnection(session_id, peer, door, handshake), places
                )
            except SessionRefused as refused:
                ending = refused.ending
                await _reject(peer, door.view(handshake), ending)
            except Exception as error:  # noqa: BLE001 - set-up may fail in any way: 1011, S3-10
                log.warning("set-up failed", error=type(error).__name__, door=door.name)
                ending = INTERNAL_ERROR
                await _reject(peer, door.view(handshake), ending)
            else:
                metrics.session_started(door.name)
                ending = await session.run()
        seconds = self._house.shared.clock() - began
        metrics.session_ended(door.name, ending.name, seconds)
        log.info("session ended", door=door.name, ending=ending.name, seconds=round(seconds, 3))

    async def _admit(self, arrival: PendingConnection, places: ExitStack) -> Session:
        admission = await arrival.door.admit(arrival.handshake)
        grant, house = admission.grant, self._house
        places.enter_context(house.registry.user(grant.caller.sub))
        earlier = ConversationHistory()
        if grant.conversation_id is not None:
            earlier = await house.past.conversation(grant.conversation_id)
            if earlier.owner not in (None, grant.caller.sub):
                raise SessionRefused(FORBIDDEN)
        purse = await house.purses.open(grant, arrival.session_id, house.shared.clock())
        if purse is not None:
            places.callback(purse.release)
        session = create_session(house, arrival, AdmittedCaller(admission, earlier, purse))
        places.enter_context(house.registry.live(session))
        places.enter_context(house.live(session.live_call()))
        return session

    async def drain(self, seconds: float) -> None:
        """Let sessions end by themselves for so long, then end them with 1012."""
        try:
            async with asyncio.timeout(seconds):
                await self._tasks.done()
        except TimeoutError:
            self._house.registry.end_all(SERVICE_RESTART)

    async def aclose(self) -> None:
        """End what is left; every session has closed both its sides when this returns."""
        self._house.registry.end_all(SERVICE_RESTART)
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._tasks.done()
        except TimeoutError:
            log.warning("sessions did not end", count=len(self._tasks))
        await self._tasks.aclose()


class _CloseWaiter:
    """Hears only that its peer is gone."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def frame(self, frame: Any) -> None:
        """Nothing of a refused caller is read."""

    def writable(self, ready: bool) -> None:
        """A refusal is short."""

    def closed(self, code: int, reason: str) -> None:
        """The caller is gone."""
        self.gone.set()


async def _reject(peer: Connection, view: ClientDialect, ending: Ending) -> None:
    """Tell a caller why not, after the handshake and never by HTTP (S3-7)."""
    deaf = _CloseWaiter()
    peer.attach(deaf)
    farewell = view.farewell(ending)
    for event in farewell.events:
        peer.send(encode(event))
    peer.close(farewell.code, farewell.reason)
    async with asyncio.timeout(CLOSE_SECONDS):
        await deaf.gone.wait()


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)
