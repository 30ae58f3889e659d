"""Tests of Python functions as tools, and of the threads that blocking ones run on."""

import asyncio
import contextvars
import json
import threading

import pytest

from relay.tools.call import ToolContext, ToolFailed, ToolInvocation, ToolMisconfigured
from relay.tools.python_tool import MAX_THREADS, DaemonThreads, PythonTool, load_function
from tests.tools import example_tools

ADA = ToolContext(user="ada", agent="coach", conversation="conv", session="s1")
EXAMPLES = "tests.tools.example_tools"


def tool(name: str, max_bytes: int = 1000) -> PythonTool:
    return PythonTool(load_function(f"{EXAMPLES}:{name}"), DaemonThreads(), max_bytes)


def work(**arguments: object) -> ToolInvocation:
    return ToolInvocation("get_weather", "call_1", arguments, ADA)


async def test_a_coroutine_function_is_awaited() -> None:
    told = await tool("weather_later")(work(city="London"))
    assert told == "It is foggy in London, ada."


async def test_a_plain_function_runs_on_a_thread() -> None:
    assert await tool("whose_thread")(work()) == "tool"


async def test_an_object_whose_call_is_a_coroutine_is_awaited() -> None:
    assert await tool("called")(work()) == "called"


async def test_a_value_that_is_not_text_is_encoded_as_json() -> None:
    assert json.loads(await tool("weather")(work(city="Rome"))) == {"city": "Rome", "degrees": 12}


async def test_a_function_that_returns_nothing_is_reported_as_done() -> None:
    assert await tool("nothing")(work()) == '{"ok":true}'


async def test_an_answer_of_exactly_the_limit_is_returned() -> None:
    assert await tool("long")(work(length=1000)) == "x" * 1000


@pytest.mark.parametrize("name", ["long", "long_in_bytes"])
async def test_an_answer_over_the_limit_fails(name: str) -> None:
    with pytest.raises(ToolFailed) as failed:
        await tool(name)(work(length=1001))
    assert failed.value.code == "too_big"


@pytest.mark.parametrize("name", ["odd", "half_a_letter"])
async def test_an_answer_that_cannot_be_encoded_is_unreadable(name: str) -> None:
    with pytest.raises(ToolFailed) as failed:
        await tool(name)(work())
    assert failed.value.code == "unreadable"


@pytest.mark.parametrize("name", ["breaks", "breaks_later"])
async def test_an_error_of_the_function_is_raised(name: str) -> None:
    with pytest.raises(KeyError):
        await tool(name)(work())


async def test_a_blocking_function_does_not_block_the_loop() -> None:
    example_tools.released.clear()
    hanging = asyncio.create_task(tool("hangs")(work()))
    try:
        assert await tool("weather_later")(work(city="Oslo")) == "It is foggy in Oslo, ada."
        assert not hanging.done()
    finally:
        example_tools.released.set()
    assert await hanging == "at last"


@pytest.mark.parametrize(
    ("entry_point", "says"),
    [
        ("tests.tools.nowhere:weather", "No module named 'tests.tools.nowhere'"),
        (f"{EXAMPLES}:wether", "has no attribute 'wether'"),
        (f"{EXAMPLES}:NOT_A_FUNCTION", "is not a function"),
        (f"{EXAMPLES}:takes_one", "must take two arguments"),
        ("tests.tools.unimportable:weather", "its import raised ValueError"),
        ("os:system", "must take two arguments"),
    ],
)
def test_a_function_that_cannot_be_called_is_misconfigured(entry_point: str, says: str) -> None:
    with pytest.raises(ToolMisconfigured) as wrong:
        load_function(entry_point)
    assert entry_point in str(wrong.value)
    assert says in str(wrong.value)
    assert "sk-secret" not in str(wrong.value)


async def until_idle(threads: DaemonThreads) -> None:
    async with asyncio.timeout(10):
        while threads._running:
            await asyncio.sleep(0.001)


async def test_a_function_runs_on_a_daemon_thread() -> None:
    threads = DaemonThreads()
    thread = await threads.run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon
    await until_idle(threads)


async def test_a_thread_has_the_callers_context_variables() -> None:
    asked_by: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by")
    asked_by.set("ada")
    assert await DaemonThreads().run(asked_by.get) == "ada"


@pytest.mark.parametrize("error", [KeyError("k"), TimeoutError(), ToolFailed("too_big")])
async def test_an_error_on_the_thread_is_raised(error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        await DaemonThreads().run(work)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_an_exit_on_the_thread_is_a_failure(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(ToolFailed):
        await DaemonThreads().run(work)


async def test_a_hanging_thread_counts_until_it_returns() -> None:
    threads, released = DaemonThreads(), threading.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    try:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(threads.run(released.wait)) for _ in range(MAX_THREADS)]
            await asyncio.sleep(0)
            with pytest.raises(ToolFailed) as failed:
                await threads.run(int)
            assert failed.value.code == "busy"
            for task in waiting:
                task.cancel()
        assert all(task.cancelled() for task in waiting)
        with pytest.raises(ToolFailed):
            await threads.run(int)
    finally:
        released.set()
    await until_idle(threads)
    assert await threads.run(int) == 0
    assert complaints == []


def test_a_thread_may_return_after_the_loop_is_closed() -> None:
    released, ended = threading.Event(), threading.Event()
    threads = DaemonThreads()
    before = set(threading.enumerate())  # one of another test may be about to end

    def work() -> None:
        released.wait(60)
        ended.set()

    async def give_up() -> None:
        task = asyncio.create_task(threads.run(work))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    (thread,) = set(threading.enumerate()) - before
    released.set()
    thread.join(30)
    assert ended.is_set()
    assert not thread.is_alive()
