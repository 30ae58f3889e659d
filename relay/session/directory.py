"""Who is in the house: places are taken before anything else and given back exactly once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from relay.realtime.endings import AT_CAPACITY, TOO_MANY_SESSIONS, Ending, SessionRefused


class LiveEntry(Protocol):
    """What the registry knows of a session."""

    def end(self, ending: Ending) -> None:
        """End it; the first ending wins."""


class SessionDirectory:
    """Counts connections from their upgrade until both their sides are closed.

    `max_per_user` 0 means no limit.
    """

    def __init__(self, max_connections: int, max_per_user: int) -> None:
        self.max_connections = max_connections
        self._max_per_user = max_per_user
        self._of_user: Counter[str] = Counter()
        self._live: set[LiveEntry] = set()
        self.active = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places; Refused(AT_CAPACITY) when there is none, and then nothing counts."""
        if self.active >= self.max_connections:
            raise SessionRefused(AT_CAPACITY)
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    @contextmanager
    def user(self, sub: str) -> Iterator[None]:
        """One of this user's places; Refused(TOO_MANY_SESSIONS) when they have them all."""
        if 0 < self._max_per_user <= self._of_user[sub]:
            raise SessionRefused(TOO_MANY_SESSIONS)
        self._of_user[sub] += 1
        try:
            yield
        finally:
            self._of_user[sub] -= 1
            if not self._of_user[sub]:
                del self._of_user[sub]

    @contextmanager
    def live(self, session: LiveEntry) -> Iterator[None]:
        """Keep the session where `end_all` finds it."""
        self._live.add(session)
        try:
            yield
        finally:
            self._live.discard(session)

    def end_all(self, ending: Ending) -> None:
        """End every live session."""
        for session in list(self._live):
            session.end(ending)
