"""The offline voice as an engine: whoever opens it gets a peer that listens and speaks."""

import structlog

from relay.engines.offline.delivery import Pace
from relay.engines.offline.ids import at_random, unix
from relay.engines.offline.machine import Machine, Opening
from relay.engines.offline.parts import Parts
from relay.engines.offline.peer import OfflinePeer
from relay.interfaces import Call, Peer
from relay.realtime.endings import AT_CAPACITY, Refused
from relay.tasks import Tasks

log = structlog.get_logger(__name__)

MAX_SESSIONS = 1000
"""Sessions of one engine that may be open at once."""


class OfflineVoice:
    """A `relay.interfaces.Engine` made of `Parts`; it owns them and lets go of them."""

    def __init__(self, parts: Parts, pace: Pace | None = None) -> None:
        self.name = parts.name
        self._parts = parts
        self._pace = pace or Pace()
        self._tasks = Tasks(_fault)
        self._peers: set[OfflinePeer] = set()

    async def open(self, call: Call) -> Peer:
        """Return a new session's peer; raises `Refused` when there are too many."""
        if len(self._peers) >= MAX_SESSIONS:
            raise Refused(AT_CAPACITY)
        opening = Opening(call.model, unix(), self._pace)
        parts = self._parts
        machine = Machine(opening, parts.make_ear(), parts.make_brain(), at_random(unix))
        peer = OfflinePeer(machine, parts, self._tasks)
        peer.on_closed = self._peers.discard
        self._peers.add(peer)
        return peer

    async def aclose(self) -> None:
        """Close the open peers, wait for the work that they had begun, and let go of the parts."""
        for peer in list(self._peers):
            peer.close(1001, "Going away")
        await self._tasks.aclose()
        await self._parts.recogniser.aclose()
        await self._parts.mouth.aclose()


def _fault(name: str, fault: BaseException) -> None:
    log.error("a task of the offline voice failed", task=name, error=type(fault).__name__)
