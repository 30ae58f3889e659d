"""One coach's line into a call: what the coach hears, and what of their voice comes in."""

import asyncio
from collections.abc import Callable
from math import inf

from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.listening import Listening


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
        self.ending: Ending | None = None

    def hear(self, pcm: bytes) -> None:
        """Sound of the coach's: PCM16 mono 24 kHz, heard while this coach has the word."""
        if self.ending is None:
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
