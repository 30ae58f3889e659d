"""One thread that owns one database and does what it is given, in order."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

# ---- Gives a worker thread its share of the interpreter when the event loop never rests.

PATIENCE = 0.002
"""Seconds that a thread is left to itself before the loop rests for it."""
REST = 0.0001
"""Seconds of one rest: 5 % of the loop's time at most, unnoticed beside 20 ms of audio."""
RESTS = 50
"""Rests in a row without a job finished; then it is the disk that the thread waits for."""


class GilYielder:
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


CLOSE_TIMEOUT = 5.0
"""Seconds that `aclose` waits for work in hand before it leaves the (daemon) thread behind."""


class Closable(Protocol):
    """What a worker owns."""

    def close(self) -> None:
        """Let go of it; called on the worker's thread."""


Owned = TypeVar("Owned", bound=Closable)
Result = TypeVar("Result")


class Worker(Generic[Owned]):
    """Runs jobs one after the other on its own thread, against what `opener` returned there.

    The thread starts with the first job. When `opener` fails, the job that needed it fails with
    its error and the next job tries again. The queue has no bound of its own: every job has a
    caller that waits for it. Use it from one event loop.
    """

    def __init__(self, name: str, opener: Callable[[], Owned]) -> None:
        self._name = name
        self._opener = opener
        self._jobs: SimpleQueue[tuple[Callable[[Owned], Any], Future[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._ended: Future[None] = Future()
        self._closing = False
        self._submitted = self._finished = 0
        self._sharing = GilYielder(lambda: self._submitted - self._finished)

    def submit(self, job: Callable[[Owned], Result]) -> Future[Result]:
        """Queue a job without waiting; RuntimeError once the worker is closing."""
        if self._closing:
            raise RuntimeError(f"{self._name} is closed")
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: Future[Result] = Future()
        self._submitted += 1
        self._jobs.put((job, future))
        self._sharing.begin()
        return future

    async def run(self, job: Callable[[Owned], Result]) -> Result:
        """Queue a job and wait for its result or its error."""
        return await asyncio.wrap_future(self.submit(job))

    async def aclose(self, within: float = CLOSE_TIMEOUT) -> bool:
        """Finish what is queued, close what is owned; False when `within` seconds were too few."""
        self._closing = True
        if self._thread is None:
            return True
        self._jobs.put(None)
        await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=within)
        self._sharing.end()
        if not self._ended.done():
            return False
        self._thread.join()
        return True

    def _work(self) -> None:
        owned: Owned | None = None
        while (entry := self._jobs.get()) is not None:
            job, future = entry
            if future.set_running_or_notify_cancel():
                try:
                    owned = owned if owned is not None else self._opener()
                    future.set_result(job(owned))
                except BaseException as error:  # noqa: BLE001 - the waiting caller handles it
                    future.set_exception(error)
            self._finished += 1
            del entry, job, future  # an idle thread keeps nobody's words in memory
        try:
            if owned is not None:
                owned.close()
        finally:
            self._ended.set_result(None)
