"""The offline voice as an engine: whoever opens it gets a peer that listens and speaks."""

import structlog

from relay.engines.offline.delivery import Pace
from relay.engines.offline.ids import at_random, unix
from relay.engines.offline.machine import Machine, Opening
from relay.engines.offline.parts import Parts
from relay.engines.offline.peer import OfflinePeer, Rules
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
        return self.host(self.rules(self.opening(call.model)))

    def opening(self, model: str) -> Opening:
        """Return how a session that asks for this model begins."""
        return Opening(model, unix(), self._pace, servers=self._parts.servers)

    def rules(self, opening: Opening) -> Machine:
        """Return a session's rules, with an ear and a brain of its own."""
        parts = self._parts
        return Machine(opening, parts.make_ear(), parts.make_brain(), at_random(unix))

    def host(self, rules: Rules) -> Peer:
        """Return the peer of a session with these rules; raises `Refused`."""
        if len(self._peers) >= MAX_SESSIONS:
            raise Refused(AT_CAPACITY)
        peer = OfflinePeer(rules, self._parts, self._tasks)
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
