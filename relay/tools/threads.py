"""Functions that block, each on a thread of its own that nothing waits for at the end."""

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final

from relay.tools.work import ToolFailed

MAX_THREADS: Final = 32  # in one process; a thread that hangs is never got rid of


Outcome = tuple[Any, BaseException | None]


class Threads:
    """A thread cannot be stopped. Who gives up waiting leaves it, and it keeps its place."""

    def __init__(self) -> None:
        self._running = 0

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it on a daemon thread; raises what it raises, and `ToolFailed` when all are taken.

        `SystemExit` and its like are told as `ToolFailed`: they would end more than the thread.
        """
        if self._running >= MAX_THREADS:
            raise ToolFailed("busy")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Outcome] = loop.create_future()
        call = partial(contextvars.copy_context().run, function, *arguments)

        def work() -> None:
            outcome = _outcome(call)
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._settle, answered, outcome)

        Thread(target=work, name="tool", daemon=True).start()
        self._running += 1
        result, error = await answered
        if error is None:
            return result
        raise error if isinstance(error, Exception) else ToolFailed("failed")

    def _settle(self, answered: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._running -= 1
        if not answered.done():
            answered.set_result(outcome)


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - whoever waits handles it
        return None, error
