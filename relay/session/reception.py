"""Takes a new connection from its door through its session to its end, and counts it meanwhile."""

import asyncio
import uuid
from contextlib import ExitStack
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars

from relay.interfaces import Earlier, Peer
from relay.realtime.dialects.client import View
from relay.realtime.endings import FORBIDDEN, INTERNAL_ERROR, SERVICE_RESTART, Ending, Refused
from relay.realtime.events import encode
from relay.session.seating import Admitted, Arrival, Door, House, seat
from relay.session.session import CLOSE_SECONDS, Session
from relay.session.sides import ending_of
from relay.tasks import Tasks
from relay.websocket.handshake import Handshake

log = structlog.get_logger(__name__)


class Reception:
    """Owns the task of every connection. `receive` is what the listener calls."""

    def __init__(self, house: House) -> None:
        self._house = house
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
        grant, house = admission.grant, self._house
        places.enter_context(house.registry.user(grant.caller.sub))
        earlier = Earlier()
        if grant.conversation_id is not None:
            earlier = await house.past.conversation(grant.conversation_id)
            if earlier.owner not in (None, grant.caller.sub):
                raise Refused(FORBIDDEN)
        purse = await house.purses.open(grant, arrival.session_id, house.shared.clock())
        if purse is not None:
            places.callback(purse.release)
        session = seat(house, arrival, Admitted(admission, earlier, purse))
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
