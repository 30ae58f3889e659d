"""Gives a worker thread its share of the interpreter when the event loop never rests.

A thread gets the interpreter's lock when its holder has kept it for 5 ms, or rests. An event loop
under full load does neither: it drops the lock between callbacks and has it back before another
thread wakes up. Measured on such a loop (callbacks of 0.7 ms without a gap, 100 records/s): a
commit took 2 s (p50) without this and 3 ms (p50), 9 to 15 ms (p99) with it.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 0.002
"""Seconds that a thread is left to itself before the loop rests for it."""
REST = 0.0001
"""Seconds of one rest: 5 % of the loop's time at most, unnoticed beside 20 ms of audio."""
RESTS = 50
"""Rests in a row without a job finished; then it is the disk that the thread waits for."""


class Sharing:
    """Rests on the event loop now and then, while `unfinished()` counts jobs of a thread."""

    def __init__(self, unfinished: Callable[[], int]) -> None:
        self._unfinished = unfinished
        self._timer: asyncio.TimerHandle | None = None
        self._rests = 0
        self._before = 0

    def begin(self) -> None:
        """A job was given to the thread: look after it. Call it on the event loop."""
        self._rests = 0
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._look)

    def end(self) -> None:
        """Never mind the thread any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        unfinished = self._unfinished()
        if unfinished < self._before:
            self._rests = 0
        self._before = unfinished
        if unfinished and self._rests < RESTS:
            self._rests += 1
            time.sleep(REST)
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._look)
