"""Calls a tool that is a Python function, named as `package.module:function`."""

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

MAX_THREADS: Final = 32  # of one process; a thread that hangs cannot be stopped

_EXAMPLE: Final[tuple[dict[str, Any], ToolContext]] = ({}, ToolContext("", "", "", ""))

Function = Callable[[dict[str, Any], ToolContext], Any]
"""Takes the arguments and the context; returns text, or a value that can be encoded as JSON."""

Outcome = tuple[Any, BaseException | None]
"""A function's return value, and its exception."""


def load_function(entry_point: str) -> Function:
    """Import the function; raises `ToolMisconfigured` if it is missing or cannot be called."""
    module, _, name = entry_point.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ToolMisconfigured(f"entry_point {entry_point!r}: {error}") from None
    except Exception as error:  # noqa: BLE001 - importing a module may raise anything
        kind = type(error).__name__
        raise ToolMisconfigured(f"entry_point {entry_point!r}: its import raised {kind}") from None
    if not callable(function):
        raise ToolMisconfigured(f"entry_point {entry_point!r}: is not a function")
    try:
        inspect.signature(function).bind(*_EXAMPLE)
    except (TypeError, ValueError):
        wanted = "must take two arguments, those of the call and the context"
        raise ToolMisconfigured(f"entry_point {entry_point!r}: {wanted}") from None
    found: Function = function
    return found


class PythonTool:
    """Awaits a coroutine function; calls any other function on a thread, where it may block."""

    def __init__(self, function: Function, threads: "DaemonThreads", max_bytes: int) -> None:
        self._function = function
        self._threads = threads
        self._max_bytes = max_bytes
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - the function may be an object
        )

    async def __call__(self, call: ToolInvocation) -> str:
        """Call the function; raises `ToolFailed`, and whatever the function raises."""
        if self._is_async:
            result = await self._function(call.arguments, call.context)
        else:
            result = await self._threads.run(self._function, call.arguments, call.context)
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


class DaemonThreads:
    """Runs blocking functions, each on a thread of its own that nothing waits for at the exit.

    A thread cannot be stopped: it counts towards `MAX_THREADS` until its function returns, also
    when the caller was cancelled.
    """

    def __init__(self) -> None:
        self._running = 0

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function` on a daemon thread; raises what it raises, and `ToolFailed` if busy.

        `SystemExit` and its like become `ToolFailed`: they would end more than the thread.
        """
        if self._running >= MAX_THREADS:
            raise ToolFailed("busy")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Outcome] = loop.create_future()
        call = partial(contextvars.copy_context().run, function, *arguments)

        def work() -> None:
            outcome = _outcome(call)
            with suppress(RuntimeError):  # the loop is closed, so nothing waits any more
                loop.call_soon_threadsafe(self._finish, answered, outcome)

        Thread(target=work, name="tool", daemon=True).start()
        self._running += 1
        result, error = await answered
        if error is None:
            return result
        raise error if isinstance(error, Exception) else ToolFailed("failed")

    def _finish(self, answered: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._running -= 1
        if not answered.done():
            answered.set_result(outcome)


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - `run` handles it
        return None, error
