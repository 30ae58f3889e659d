"""One coach's line into a call: what the coach hears, and what of their voice comes in."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.listening import BYTES_PER_SECOND, Listening

MOST_PER_SECOND: Final = 2 * BYTES_PER_SECOND
"""Bytes of a coach's sound that are taken, on and on."""
MOST_AHEAD: Final = 20 * BYTES_PER_SECOND
"""… and at once, for a page that sends what it recorded."""


class Line:
    """A `relay.feed.voice.Line`. `said` takes the coach's sound, `left` is called once."""

    def __init__(
        self,
        clock: Callable[[], float],
        said: Callable[[bytes], None],
        left: Callable[["Line"], None],
    ) -> None:
        self._clock = clock
        self._said = said
        self._left = left
        self._listening = Listening()
        self._woken = asyncio.Event()
        self._room, self._fed_at = float(MOST_AHEAD), clock()
        self.ending: Ending | None = None

    def hear(self, pcm: bytes) -> None:
        """Sound of the coach's: PCM16 mono 24 kHz, heard while this coach has the word.

        What comes much faster than it can be heard is dropped.
        """
        now = self._clock()
        more = (now - self._fed_at) * MOST_PER_SECOND
        self._room, self._fed_at = min(MOST_AHEAD, self._room + more), now
        if self.ending is None and len(pcm) <= self._room:
            self._room -= len(pcm)
            self._said(pcm)

    async def next(self) -> bytes | None:
        """The next frame for the coach, None when the line was closed."""
        while self.ending is None:
            now = self._clock()
            frame = self._listening.take(now)
            if frame is not None:
                return frame
            self._woken.clear()
            wait = self._listening.next() - now
            try:
                async with asyncio.timeout(None if wait == inf else max(wait, 0.001)):
                    await self._woken.wait()
            except TimeoutError:
                continue
        return None

    def learner(self, pcm: bytes) -> None:
        """The learner said this."""
        self._listening.learner(pcm)
        self._woken.set()

    def model(self, pcm: bytes) -> None:
        """The model said this."""
        self._listening.model(pcm)
        self._woken.set()

    def flush(self) -> None:
        """The learner does not hear the rest."""
        self._listening.flush()

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """The coach leaves, or has to; the first ending counts."""
        if self.ending is None:
            self.ending = ending
            self._woken.set()
            self._left(self)
