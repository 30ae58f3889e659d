"""The one place that starts tasks: each has a name and an owner that cancels and awaits it."""

import asyncio
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """A set of running tasks. What one of them raises goes to `on_fault`, never to the others."""

    def __init__(self, on_fault: Callable[[str, BaseException], None]) -> None:
        self._on_fault = on_fault
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run it until it is done or this owner closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """As `start`, for work that nobody waits for."""
        self._running.add(self.start(work, name))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(task.get_name(), fault)

    async def done(self) -> None:
        """Wait until none runs any more."""
        while self._running:
            await asyncio.wait(self._running)

    async def aclose(self) -> None:
        """Cancel what still runs and wait until it has stopped."""
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)


# ---- Tells of a receiver's fault without telling what a frame said.


def where(fault: BaseException) -> str:
    """The kind of a fault and the line it came from; never its text, which may quote a frame."""
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return type(fault).__name__ + place


def report_to_loop(fault: Exception) -> None:
    """Tell the loop's exception handler, without the exception itself."""
    message = f"A fault ended one connection: {where(fault)}"
    asyncio.get_running_loop().call_exception_handler({"message": message})


# ---- The clock of a running relay.

Clock = Callable[[], float]


def unix_clock() -> Clock:
    """Unix seconds that never go back, whatever happens to the machine's own clock."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()
