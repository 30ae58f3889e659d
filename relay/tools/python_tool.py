"""A tool that is a Python function, named as `package.module:function`."""

import asyncio
import contextvars
import importlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final

import msgspec

from relay.tools.call import DONE, ToolContext, ToolFailed, ToolInvocation, ToolMisconfigured

# ---- Functions that block, each on a thread of its own that nothing waits for at the end.

MAX_THREADS: Final = 32  # in one process; a thread that hangs is never got rid of


Outcome = tuple[Any, BaseException | None]


class DaemonThreads:
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


Function = Callable[[dict[str, Any], ToolContext], Any]
"""Takes the arguments and for whom it works; returns text, or what can be written as JSON."""

_EXAMPLE: Final[tuple[dict[str, Any], ToolContext]] = ({}, ToolContext("", "", "", ""))


def find(entry_point: str) -> Function:
    """The function of that name; raises `ToolMisconfigured` for one that cannot be called."""
    module, _, name = entry_point.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ToolMisconfigured(f"entry_point {entry_point!r}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported
        kind = type(error).__name__
        raise ToolMisconfigured(f"entry_point {entry_point!r}: its import raised {kind}") from None
    if not callable(function):
        raise ToolMisconfigured(f"entry_point {entry_point!r}: is no function")
    try:
        inspect.signature(function).bind(*_EXAMPLE)
    except (TypeError, ValueError):
        wanted = "must take two arguments, the call's and the context"
        raise ToolMisconfigured(f"entry_point {entry_point!r}: {wanted}") from None
    found: Function = function
    return found


class PythonTool:
    """Awaits a coroutine function; calls any other on a thread, where it may block."""

    def __init__(self, function: Function, threads: DaemonThreads, max_bytes: int) -> None:
        self._function = function
        self._threads = threads
        self._max_bytes = max_bytes
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - of an object that is called
        )

    async def __call__(self, work: ToolInvocation) -> str:
        """Call it; raises `ToolFailed`, and whatever the function raises."""
        if self._is_async:
            result = await self._function(work.arguments, work.context)
        else:
            result = await self._threads.run(self._function, work.arguments, work.context)
        text = _text(result)
        if len(text.encode(errors="replace")) > self._max_bytes:
            raise ToolFailed("too_big")
        return text


def _text(result: Any) -> str:
    if result is None:
        return DONE
    try:
        text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
        text.encode()
    except (TypeError, ValueError, RecursionError):  # lone surrogates are a ValueError too
        raise ToolFailed("unreadable") from None
    return text.strip() or DONE
