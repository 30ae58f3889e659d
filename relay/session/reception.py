"""Takes a new connection from its door through its session to its end, and counts it meanwhile."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from structlog.contextvars import bind_contextvars

from relay.interfaces import Admission, Call, Journal, Peer
from relay.realtime.conversation import Conversation
from relay.realtime.deadlines import Deadlines, Limits
from relay.realtime.endings import FORBIDDEN, INTERNAL_ERROR, SERVICE_RESTART, Ending, Refused
from relay.realtime.events import encode
from relay.realtime.setup import Setup
from relay.realtime.utterance import Head
from relay.realtime.view import View
from relay.session.recorder import Recorder
from relay.session.registry import Registry
from relay.session.seats import Seats, Surroundings
from relay.session.session import CLOSE_SECONDS, Session
from relay.session.sides import ending_of
from relay.tasks import Tasks
from relay.wire.handshake import Handshake

log = structlog.get_logger(__name__)


class Door(Protocol):
    """A way in."""

    name: str

    def answers(self, path: str) -> bool:
        """Whether a caller at this path means this door."""

    def view(self, handshake: Handshake) -> View:
        """How this caller reads the protocol, also when it is refused."""

    async def admit(self, handshake: Handshake) -> Admission:
        """Who is calling and what they get; raises Refused."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What every session is given: its limits in seconds and its input transcription."""

    engine_seconds: float
    session_seconds: float
    idle_seconds: float
    transcription: dict[str, Any]


@dataclass(frozen=True, slots=True)
class House:
    """Who is there: the doors in the order they are asked, and what sessions share."""

    doors: Sequence[Door]
    registry: Registry
    shared: Surroundings
    journal: Journal
    owner: Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One connection on its way in, and the name that its session will have."""

    session_id: str
    peer: Peer
    door: Door
    handshake: Handshake


class Reception:
    """Owns the task of every connection. `receive` is what the listener calls."""

    def __init__(self, house: House, rules: Rules) -> None:
        self._house = house
        self._rules = rules
        self._tasks = Tasks(_report)

    def receive(self, peer: Peer, handshake: Handshake) -> None:
        """A caller finished its upgrade."""
        self._tasks.run(self._receive(peer, handshake), "session")

    def last_words(self, handshake: Handshake, ending: tuple[int, str]) -> list[bytes]:
        """What a caller who broke the protocol is told before the close of the wire's own."""
        told = self._door(handshake).view(handshake).farewell(ending_of(ending[0]))
        return [encode(event) for event in told.events]

    def _door(self, handshake: Handshake) -> Door:
        return next(door for door in self._house.doors if door.answers(handshake.path))

    async def _receive(self, peer: Peer, handshake: Handshake) -> None:
        door = self._door(handshake)
        metrics, began = self._house.shared.metrics, self._house.shared.clock()
        session_id = str(uuid.uuid4())
        # Every line of this task and of those it starts says whose call it is.
        bind_contextvars(session_id=session_id)
        with ExitStack() as places:
            try:
                places.enter_context(self._house.registry.place())
                session = await self._admit(Arrival(session_id, peer, door, handshake), places)
            except Refused as refused:
                ending = refused.ending
                await _turn_away(peer, door.view(handshake), ending)
            except Exception as error:  # noqa: BLE001 - set-up may fail in any way: 1011, S3-10
                log.warning("set-up failed", error=type(error).__name__, door=door.name)
                ending = INTERNAL_ERROR
                await _turn_away(peer, door.view(handshake), ending)
            else:
                metrics.session_started(door.name)
                ending = await session.run()
        seconds = self._house.shared.clock() - began
        metrics.session_ended(door.name, ending.name, seconds)
        log.info("session ended", door=door.name, ending=ending.name, seconds=round(seconds, 3))

    async def _admit(self, arrival: Arrival, places: ExitStack) -> Session:
        admission = await arrival.door.admit(arrival.handshake)
        grant = admission.grant
        places.enter_context(self._house.registry.user(grant.caller.sub))
        if grant.conversation_id is not None:
            owner = await self._house.owner(grant.conversation_id)
            if owner not in (None, grant.caller.sub):
                raise Refused(FORBIDDEN)
        session = self._session(arrival, admission)
        places.enter_context(self._house.registry.live(session))
        return session

    def _session(self, arrival: Arrival, admission: Admission) -> Session:
        grant, rules, clock = admission.grant, self._rules, self._house.shared.clock
        session_id = arrival.session_id
        conversation_id = grant.conversation_id or str(uuid.uuid4())
        setup = Setup(
            session_id=session_id,
            conversation_id=conversation_id,
            grant=grant,
            view=admission.view,
            first_update=admission.first_update,
            first_shown=admission.first_shown,
            transcription=rules.transcription,
            truncates=admission.truncates,
        )
        limits = Limits(
            engine_seconds=rules.engine_seconds,
            session_seconds=_least(grant.bounds.session_seconds, rules.session_seconds),
            idle_seconds=_least(grant.bounds.idle_seconds, rules.idle_seconds),
            expires_at=grant.caller.expires_at,
        )
        head = Head(
            session_id=session_id,
            conversation_id=conversation_id,
            user_id=grant.caller.sub,
            agent_id=grant.agent_id,
            model=grant.model or "",
            voice=_voice_of(admission),
            started_at=clock(),
        )
        call = Call(session_id=session_id, model=grant.model or "", user_id=grant.caller.sub)
        tools = self._house.shared.tools(grant, session_id, conversation_id)
        return Session(
            Seats(arrival.peer, admission.view, call, grant.caller, admission.pace_ms, tools),
            Conversation(setup, Deadlines(limits, clock())),
            Recorder(self._house.journal, head),
            self._house.shared,
        )

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


def _least(agents: float | None, ours: float) -> float:
    """The agent's own bound where it is the tighter one."""
    return ours if agents is None else min(agents, ours)


def _voice_of(admission: Admission) -> str:
    audio = admission.first_update["session"].get("audio", {})
    return str(audio.get("output", {}).get("voice", ""))


class _Deaf:
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


async def _turn_away(peer: Peer, view: View, ending: Ending) -> None:
    """Tell a caller why not, after the handshake and never by HTTP (S3-7)."""
    deaf = _Deaf()
    peer.attach(deaf)
    farewell = view.farewell(ending)
    for event in farewell.events:
        peer.send(encode(event))
    peer.close(farewell.code, farewell.reason)
    async with asyncio.timeout(CLOSE_SECONDS):
        await deaf.gone.wait()


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)
