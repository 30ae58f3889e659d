"""The live sessions of this process, and the limits to their number."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager

from relay.interfaces import LiveSession
from relay.realtime.endings import AT_CAPACITY, TOO_MANY_SESSIONS, Ending, SessionRefused

Observer = Callable[[LiveSession], AbstractContextManager[None]]


class MemorySessionDirectory:
    """A `SessionDirectory` in the memory of one process.

    `max_per_user` 0 means no limit. The context of each observer lasts as long as a session does.
    It is full, too, while `has_room` is False: too much memory is in use.
    """

    def __init__(
        self,
        max_connections: int,
        max_per_user: int,
        observers: Sequence[Observer] = (),
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.max_connections = max_connections
        self.active = 0
        self._has_room = has_room
        self._max_per_user = max_per_user
        self._observers = observers
        self._of_user: Counter[str] = Counter()
        self._live: dict[str, LiveSession] = {}

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more session."""
        return self.active >= self.max_connections or not self._has_room()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Hold one of the slots; raises `SessionRefused` (AT_CAPACITY) when there is none."""
        if self.active >= self.max_connections:
            raise SessionRefused(AT_CAPACITY)
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    @asynccontextmanager
    async def acquire_user(self, sub: str) -> AsyncIterator[None]:
        """Hold one of this user's slots; raises `SessionRefused` (TOO_MANY_SESSIONS)."""
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
    def track(self, session: LiveSession) -> Iterator[None]:
        """List the session, and let the observers follow it, while the context lasts."""
        session_id = session.head.session_id
        self._live[session_id] = session
        try:
            with ExitStack() as following:
                for observe in self._observers:
                    following.enter_context(observe(session))
                yield
        finally:
            del self._live[session_id]

    def find(self, session_id: str) -> LiveSession | None:
        """The live session of this id."""
        return self._live.get(session_id)

    def end_all(self, ending: Ending) -> None:
        """End every live session."""
        for session in list(self._live.values()):
            session.end(ending)
