"""Keeps the engine's side of a session whose client has left, until the learner's words came."""

import asyncio
from typing import Final

import structlog

from relay.interfaces import Connection, Frame
from relay.realtime.effects import Effect, ToEngine
from relay.realtime.events import sniff
from relay.session.links import SessionCallbacks

LAST_WORDS_SECONDS: Final = 3.0
"""Seconds a session without a client waits for the words of its last turn: most transcripts come
within one of the turn's end, long turns and slow engines take two."""
MAX_WAITING: Final = 64
"""Sessions of one process that wait so at once: they count against no other limit, and each has
one of the descriptors that are set aside. Beyond them a session ends at once."""

log = structlog.get_logger(__name__)


class LastWordsLimit:
    """Counts the sessions of one process that wait for last words."""

    def __init__(self) -> None:
        self.waiting = 0

    @property
    def is_reached(self) -> bool:
        """Whether no further session may wait."""
        return self.waiting >= MAX_WAITING


class LastWords:
    """Receives what an engine says once the client has left; the session performs what it means.

    `gone` is set when the engine's connection is closed.
    """

    def __init__(
        self, session: SessionCallbacks, connection: Connection, limit: LastWordsLimit
    ) -> None:
        self._session = session
        self._connection = connection
        self._limit = limit
        self._over = asyncio.Event()
        self._until = asyncio.get_running_loop().time() + LAST_WORDS_SECONDS
        self.gone = asyncio.Event()
        limit.waiting += 1

    def begin(self) -> None:
        """Record what is settled, and listen for the rest."""
        self._perform(self._session.core.client_left(self._session.clock()))
        self._connection.attach(self)
        self._connection.resume()  # a slow client may have paused it

    async def come(self) -> None:
        """Wait until the words have come, nobody needs them, or the time is over."""
        try:
            async with asyncio.timeout_at(self._until):
                await self._over.wait()
        except TimeoutError:
            log.info("the words of the last turn did not come")

    def stop(self) -> None:
        """Wait no longer."""
        self._over.set()

    def close(self) -> None:
        """Close the engine's connection; what it says from now on is lost."""
        self._limit.waiting -= 1
        self._connection.close(1000, "Client disconnected")

    def frame(self, frame: Frame) -> None:
        """Take an event of the engine."""
        session, now = self._session, self._session.clock()
        try:
            self._perform(session.core.last_words(frame, sniff(frame), now))
            if not session.core.awaits_words(now):
                self.stop()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this session alone
            session.fail(error)

    def writable(self, ready: bool) -> None:
        """Nothing is sent but a few short events."""

    def closed(self, code: int, reason: str) -> None:
        """The engine is gone."""
        self.gone.set()
        self.stop()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ToEngine):  # the session has let go of this engine
                self._connection.send(effect.frame)
        self._session.perform([one for one in effects if not isinstance(one, ToEngine)])
