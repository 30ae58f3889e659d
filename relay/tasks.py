"""The one place that starts tasks: each has a name and an owner that cancels and awaits it."""

import asyncio
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
