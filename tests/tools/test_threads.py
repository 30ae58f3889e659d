"""Functions that block hold up nobody, also when they never return."""

import asyncio
import contextvars
import threading

import pytest

from relay.tools.call import ToolFailed
from relay.tools.python_tool import MAX_THREADS, DaemonThreads


async def until_idle(threads: DaemonThreads) -> None:
    async with asyncio.timeout(10):
        while threads._running:
            await asyncio.sleep(0.001)


async def test_a_function_runs_on_a_thread_that_keeps_nobody_alive() -> None:
    threads = DaemonThreads()
    thread = await threads.run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon
    await until_idle(threads)


async def test_it_knows_for_whom_it_works() -> None:
    asked_by: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by")
    asked_by.set("ada")
    assert await DaemonThreads().run(asked_by.get) == "ada"


@pytest.mark.parametrize("error", [KeyError("k"), TimeoutError(), ToolFailed("too_big")])
async def test_what_it_raises_is_raised(error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        await DaemonThreads().run(work)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_what_would_end_more_than_a_thread_is_a_failure(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(ToolFailed):
        await DaemonThreads().run(work)


async def test_threads_that_hang_keep_their_places_until_they_return() -> None:
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


def test_a_thread_that_returns_after_the_loop_is_gone_disturbs_nobody() -> None:
    released, ended = threading.Event(), threading.Event()
    threads = DaemonThreads()

    def work() -> None:
        released.wait(10)
        ended.set()

    async def give_up() -> None:
        task = asyncio.create_task(threads.run(work))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "tool"]
    released.set()
    thread.join(10)
    assert ended.is_set()
    assert not thread.is_alive()
