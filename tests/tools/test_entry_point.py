"""Python functions as tools."""

import asyncio
import json

import pytest

from relay.tools.call import ToolContext, ToolFailed, ToolInvocation, ToolMisconfigured
from relay.tools.python_tool import DaemonThreads, PythonTool, find
from tests.tools import shelf

ADA = ToolContext(user="ada", agent="coach", conversation="conv", session="s1")
SHELF = "tests.tools.shelf"


def tool(name: str, max_bytes: int = 1000) -> PythonTool:
    return PythonTool(find(f"{SHELF}:{name}"), DaemonThreads(), max_bytes)


def work(**arguments: object) -> ToolInvocation:
    return ToolInvocation("get_weather", "call_1", arguments, ADA)


async def test_a_coroutine_function_is_awaited() -> None:
    told = await tool("weather_later")(work(city="London"))
    assert told == "It is foggy in London, ada."


async def test_a_plain_function_runs_on_a_thread() -> None:
    assert await tool("whose_thread")(work()) == "tool"


async def test_an_object_whose_call_is_a_coroutine_is_awaited() -> None:
    assert await tool("called")(work()) == "called"


async def test_what_is_no_text_is_told_as_json() -> None:
    assert json.loads(await tool("weather")(work(city="Rome"))) == {"city": "Rome", "degrees": 12}


async def test_nothing_is_told_as_done() -> None:
    assert await tool("nothing")(work()) == '{"ok":true}'


async def test_all_its_bytes_are_told() -> None:
    assert await tool("long")(work(length=1000)) == "x" * 1000


@pytest.mark.parametrize("name", ["long", "long_in_bytes"])
async def test_more_than_its_bytes_is_no_answer(name: str) -> None:
    with pytest.raises(ToolFailed) as failed:
        await tool(name)(work(length=1001))
    assert failed.value.code == "too_big"


@pytest.mark.parametrize("name", ["odd", "half_a_letter"])
async def test_what_cannot_be_written_is_unreadable(name: str) -> None:
    with pytest.raises(ToolFailed) as failed:
        await tool(name)(work())
    assert failed.value.code == "unreadable"


@pytest.mark.parametrize("name", ["breaks", "breaks_later"])
async def test_what_it_raises_goes_on_to_the_bench(name: str) -> None:
    with pytest.raises(KeyError):
        await tool(name)(work())


async def test_a_blocking_function_does_not_block_the_loop() -> None:
    shelf.released.clear()
    hanging = asyncio.create_task(tool("hangs")(work()))
    try:
        assert await tool("weather_later")(work(city="Oslo")) == "It is foggy in Oslo, ada."
        assert not hanging.done()
    finally:
        shelf.released.set()
    assert await hanging == "at last"


@pytest.mark.parametrize(
    ("entry_point", "says"),
    [
        ("tests.tools.nowhere:weather", "No module named 'tests.tools.nowhere'"),
        (f"{SHELF}:wether", "has no attribute 'wether'"),
        (f"{SHELF}:NOT_A_FUNCTION", "is no function"),
        (f"{SHELF}:takes_one", "must take two arguments"),
        ("tests.tools.broken:weather", "its import raised ValueError"),
        ("os:system", "must take two arguments"),
    ],
)
def test_a_mistake_is_told_at_the_start(entry_point: str, says: str) -> None:
    with pytest.raises(ToolMisconfigured) as wrong:
        find(entry_point)
    assert entry_point in str(wrong.value)
    assert says in str(wrong.value)
    assert "sk-secret" not in str(wrong.value)
