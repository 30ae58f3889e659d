"""Functions as tools: some as they should be, some with every fault."""

import asyncio
import sys
import threading
from dataclasses import dataclass
from typing import Any

from relay.tools.call import ToolContext

NOT_A_FUNCTION = "get_weather"
Arguments = dict[str, Any]

released = threading.Event()
"""Ends the tools that hang."""


@dataclass
class Weather:
    city: str
    degrees: int


def weather(arguments: Arguments, context: ToolContext) -> Weather:
    return Weather(arguments["city"], 12)


async def weather_later(arguments: Arguments, context: ToolContext) -> str:
    await asyncio.sleep(0)
    return f"It is foggy in {arguments['city']}, {context.user}."


def whose_thread(arguments: Arguments, context: ToolContext) -> str:
    return threading.current_thread().name


def nothing(arguments: Arguments, context: ToolContext) -> None:
    return None


def hangs(arguments: Arguments, context: ToolContext) -> str:
    released.wait(30)
    return "at last"


async def hangs_later(arguments: Arguments, context: ToolContext) -> str:
    await asyncio.Event().wait()
    return "never"


def breaks(arguments: Arguments, context: ToolContext) -> str:
    raise KeyError("sk-secret")


async def breaks_later(arguments: Arguments, context: ToolContext) -> str:
    raise KeyError("sk-secret")


def leaves(arguments: Arguments, context: ToolContext) -> str:
    sys.exit("sk-secret")


async def leaves_later(arguments: Arguments, context: ToolContext) -> str:
    sys.exit("sk-secret")


async def waits_for_what_was_cancelled(arguments: Arguments, context: ToolContext) -> str:
    other: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    other.cancel()
    return await other


def times_out(arguments: Arguments, context: ToolContext) -> str:
    raise TimeoutError("the database")


def long(arguments: Arguments, context: ToolContext) -> str:
    return "x" * int(arguments["length"])


def long_in_bytes(arguments: Arguments, context: ToolContext) -> str:
    return "ü" * (int(arguments["length"]) // 2 + 1)


def odd(arguments: Arguments, context: ToolContext) -> Any:
    return object()


def half_a_letter(arguments: Arguments, context: ToolContext) -> str:
    return "\ud83d"


def takes_one(arguments: Arguments) -> str:
    return "no"


class Called:
    """An object that is called, and must be awaited."""

    async def __call__(self, arguments: Arguments, context: ToolContext) -> str:
        return "called"


called = Called()
