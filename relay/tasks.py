"""Owned tasks, and the location of a fault."""

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """A set of running tasks: each has a name, and this owner cancels and awaits it.

    What a task raises goes to `on_fault` with its name, never to the others.
    """

    def __init__(self, on_fault: Callable[[str, BaseException], None]) -> None:
        self._on_fault = on_fault
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run it until it is done or `aclose` cancels it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start work whose result is not awaited."""
        _ = self.start(work, name)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(task.get_name(), fault)

    async def done(self) -> None:
        """Wait until no task runs."""
        while self._running:
            await asyncio.wait(self._running)

    async def aclose(self) -> None:
        """Cancel every running task and wait until all have stopped."""
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)


def where(fault: BaseException) -> str:
    """The type of a fault and the line it came from; never its text, which may quote a frame."""
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return type(fault).__name__ + place


def error_fields(error: Exception) -> dict[str, Any]:
    """What may be logged of a store's error: its class, HTTP status and code, never its text."""
    fields: dict[str, Any] = {"reason": type(error).__name__}
    for name in ("status", "code"):
        value = getattr(error, name, None)
        if value and isinstance(value, int | str):
            fields[name] = value
    return fields


def report_to_loop(fault: Exception) -> None:
    """Report to the event loop's exception handler, without the exception itself."""
    message = f"A fault ended one connection: {where(fault)}"
    asyncio.get_running_loop().call_exception_handler({"message": message})
