"""One thread that owns one database and runs jobs on it, in order."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Generic, Protocol, TypeVar

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that `aclose` waits for the jobs before it leaves the (daemon) thread behind."""
YIELD_INTERVAL: Final = 0.002
"""Seconds between two moments at which the event loop yields the GIL to the thread."""
YIELD_SECONDS: Final = 0.0001
"""Of one yield: 5 % of the loop's time at most, unnoticed beside 20 ms of audio."""
MAX_YIELDS: Final = 50
"""In a row without a job finished; then the thread waits for the disk, not for the GIL."""


class Closable(Protocol):
    """What a worker owns."""

    def close(self) -> None:
        """Close it; called on the worker's thread."""


Owned = TypeVar("Owned", bound=Closable)
Result = TypeVar("Result")


class Worker(Generic[Owned]):
    """Runs jobs one after the other on its own thread, on the object that `opener` returned there.

    The thread starts with the first job. When `opener` fails, the job that needed it fails with
    its error and the next job tries again. The queue is unbounded: every job has a caller that
    waits for it. Use it from one event loop.
    """

    def __init__(self, name: str, opener: Callable[[], Owned]) -> None:
        self._name = name
        self._opener = opener
        self._jobs: SimpleQueue[tuple[Callable[[Owned], Any], Future[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._ended: Future[None] = Future()
        self._closing = False
        self._submitted = self._finished = 0
        self._gil_yielder = GilYielder(lambda: self._submitted - self._finished)

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
        self._gil_yielder.start()
        return future

    async def run(self, job: Callable[[Owned], Result]) -> Result:
        """Queue a job and wait for its result or its error."""
        return await asyncio.wrap_future(self.submit(job))

    async def aclose(self, within: float = CLOSE_TIMEOUT) -> bool:
        """Finish the queue, then close the owned object; False after `within` seconds."""
        self._closing = True
        if self._thread is None:
            return True
        self._jobs.put(None)
        await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=within)
        self._gil_yielder.stop()
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
            del entry, job, future  # an idle thread keeps no spoken words in memory
        try:
            if owned is not None:
                owned.close()
        finally:
            self._ended.set_result(None)


class GilYielder:
    """Gives a thread its share of the interpreter while the event loop is busy.

    Sleeps on the event loop now and then, as long as `unfinished()` counts jobs of the thread.
    """

    def __init__(self, unfinished: Callable[[], int]) -> None:
        self._unfinished = unfinished
        self._timer: asyncio.TimerHandle | None = None
        self._yields = 0
        self._before = 0

    def start(self) -> None:
        """Start yielding: the thread has a new job. Call it on the event loop."""
        self._yields = 0
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(YIELD_INTERVAL, self._yield)

    def stop(self) -> None:
        """Stop yielding."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _yield(self) -> None:
        self._timer = None
        unfinished = self._unfinished()
        if unfinished < self._before:
            self._yields = 0
        self._before = unfinished
        if unfinished and self._yields < MAX_YIELDS:
            self._yields += 1
            time.sleep(YIELD_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(YIELD_INTERVAL, self._yield)
