"""A tool that is a Python function, named as `package.module:function`."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, Final

import msgspec

from relay.tools.threads import Threads
from relay.tools.work import DONE, Context, ToolFailed, ToolMisconfigured, Work

Function = Callable[[dict[str, Any], Context], Any]
"""Takes the arguments and for whom it works; returns text, or what can be written as JSON."""

_EXAMPLE: Final[tuple[dict[str, Any], Context]] = ({}, Context("", "", "", ""))


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


class EntryPoint:
    """Awaits a coroutine function; calls any other on a thread, where it may block."""

    def __init__(self, function: Function, threads: Threads, max_bytes: int) -> None:
        self._function = function
        self._threads = threads
        self._max_bytes = max_bytes
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - of an object that is called
        )

    async def __call__(self, work: Work) -> str:
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
