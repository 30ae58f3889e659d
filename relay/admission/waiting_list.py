"""Decides which waiting connection has to go: the one whose time is up, or one of too many."""

from typing import Final, Protocol

LEAST_SECONDS: Final = 0.25
"""Seconds that a connection may wait before it is dropped for another one: many callers who come
back at once wait to be accepted, while 800 silent connections a second make room for others."""


class Abortable(Protocol):
    """A connection that can be closed at once, in whatever state it is."""

    def abort(self) -> None:
        """Close the socket and discard what is not written."""


class WaitingList:
    """Connections that wait, each with a deadline, and the address of the peer that opened it.

    Beyond the limit the peer with the most waiting connections loses its oldest: a flood from one
    address pushes out its own. Times are in seconds of any clock that never goes back.
    """

    def __init__(self) -> None:
        self._of_peer: dict[str, dict[Abortable, tuple[float, float]]] = {}  # since, deadline
        self._peers: dict[Abortable, str] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def room_in(self, limit: int, now: float) -> float:
        """Seconds until one more may enter: 0 where fewer than `limit` wait.

        Else until the one that would have to go has waited for `LEAST_SECONDS`.
        """
        if len(self) < limit or limit < 1:
            return 0.0
        oldest = self._next_to_go()
        since, _ = self._of_peer[self._peers[oldest]][oldest]
        return max(0.0, since + LEAST_SECONDS - now)

    def enter(
        self, connection: Abortable, peer: str, times: tuple[float, float], limit: int
    ) -> list[Abortable]:
        """Add a connection; returns those that have to go so that no more than `limit` wait.

        `times` are now and its deadline. Where the limit leaves no room at all, it goes itself.
        """
        self.leave(connection)
        if limit < 1:
            return [connection]
        gone = []
        while len(self) >= limit:
            oldest = self._next_to_go()
            self.leave(oldest)
            gone.append(oldest)
        self._of_peer.setdefault(peer, {})[connection] = times
        self._peers[connection] = peer
        return gone

    def _next_to_go(self) -> Abortable:
        fullest = max(self._of_peer, key=lambda peer: len(self._of_peer[peer]))
        return next(iter(self._of_peer[fullest]))

    def leave(self, connection: Abortable) -> None:
        """Remove a connection, if it waits."""
        peer = self._peers.pop(connection, None)
        if peer is None:
            return
        of_peer = self._of_peer[peer]
        del of_peer[connection]
        if not of_peer:
            del self._of_peer[peer]

    def rename(self, connection: Abortable, peer: str) -> None:
        """It turned out whose it is, if it waits: it counts as this peer's, and as their newest."""
        before = self._peers.get(connection)
        if before is None or before == peer:
            return
        times = self._of_peer[before][connection]
        self.leave(connection)
        self._of_peer.setdefault(peer, {})[connection] = times
        self._peers[connection] = peer

    def due(self, now: float) -> list[Abortable]:
        """Remove and return those whose deadline has come."""
        due = [
            connection
            for of_peer in self._of_peer.values()
            for connection, (_, deadline) in of_peer.items()
            if deadline <= now
        ]
        for connection in due:
            self.leave(connection)
        return due
