"""A thread that owns a database, and the share of the interpreter that it gets."""

import asyncio
import threading
from functools import partial

import pytest

from relay.stores.worker import MAX_YIELDS, YIELD_SECONDS, GilYielder, Worker


class Notebook:
    """Something to own: remembers what was done to it and on which thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.threads = {threading.get_ident()}
        self.closed = False

    def note(self, line: str) -> int:
        self.threads.add(threading.get_ident())
        self.lines.append(line)
        return len(self.lines)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True


async def test_jobs_run_in_order_on_one_thread_that_is_not_the_event_loops() -> None:
    notebook: list[Notebook] = []

    def opener() -> Notebook:
        notebook.append(Notebook())
        return notebook[0]

    worker = Worker("notes", opener)
    futures = [worker.submit(partial(Notebook.note, line=f"line {n}")) for n in range(100)]
    assert await worker.run(lambda book: book.note("last")) == 101
    assert [future.result() for future in futures] == list(range(1, 101))
    assert await worker.aclose()
    assert notebook[0].closed
    assert notebook[0].lines == [*(f"line {n}" for n in range(100)), "last"]
    assert len(notebook[0].threads) == 1
    assert threading.get_ident() not in notebook[0].threads


async def test_a_job_that_fails_harms_no_other() -> None:
    worker = Worker("notes", Notebook)

    def stumble(book: Notebook) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await worker.run(stumble)
    assert await worker.run(lambda book: book.note("on")) == 1
    await worker.aclose()


async def test_opening_is_tried_again_with_the_next_job() -> None:
    disks: list[OSError | Notebook] = [OSError("away"), Notebook()]

    def opener() -> Notebook:
        found = disks.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    worker = Worker("notes", opener)
    with pytest.raises(OSError, match="away"):
        await worker.run(lambda book: book.note("lost"))
    assert await worker.run(lambda book: book.note("kept")) == 1
    await worker.aclose()


async def test_after_the_close_nothing_is_taken_and_no_thread_is_left() -> None:
    worker = Worker("the thread to look for", Notebook)
    await worker.run(lambda book: book.note("one"))
    assert await worker.aclose()
    assert await worker.aclose(), "a second close is as good as the first"
    assert "the thread to look for" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(RuntimeError):
        worker.submit(lambda book: book.note("two"))


async def test_a_worker_without_work_has_no_thread() -> None:
    worker = Worker("idle", Notebook)
    assert "idle" not in {thread.name for thread in threading.enumerate()}
    assert await worker.aclose()


async def test_closing_does_not_wait_longer_than_it_was_told() -> None:
    worker = Worker("hanging", Notebook)
    released = threading.Event()
    hanging = worker.submit(lambda _: released.wait())
    assert not await worker.aclose(within=0)
    released.set()
    await asyncio.wrap_future(hanging)
    assert await worker.aclose()


async def test_a_job_whose_caller_gave_up_is_not_started() -> None:
    worker = Worker("notes", Notebook)
    released = threading.Event()
    worker.submit(lambda _: released.wait())
    given_up = worker.submit(lambda book: book.note("nobody wants this"))
    assert given_up.cancel()
    released.set()
    assert await worker.run(lambda book: book.note("wanted")) == 1
    await worker.aclose()


@pytest.fixture
def yields(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each yield; nothing sleeps or waits for real."""
    yields: list[float] = []
    monkeypatch.setattr("relay.stores.worker.YIELD_INTERVAL", 0)
    monkeypatch.setattr("relay.stores.worker.time.sleep", yields.append)
    return yields


async def _many_loop_iterations() -> None:
    for _ in range(10 * MAX_YIELDS):
        await asyncio.sleep(0)


async def test_a_job_that_is_done_in_time_costs_no_yield(yields: list[float]) -> None:
    GilYielder(lambda: 0).start()
    await _many_loop_iterations()
    assert yields == []


async def test_the_loop_yields_until_the_job_is_done(yields: list[float]) -> None:
    unfinished = [1, 1, 1, 0]
    GilYielder(lambda: unfinished.pop(0)).start()
    await _many_loop_iterations()
    assert yields == [YIELD_SECONDS] * 3
    assert unfinished == []


async def test_the_loop_stops_yielding_to_a_thread_that_waits_for_the_disk(
    yields: list[float],
) -> None:
    hanging = GilYielder(lambda: 1)
    hanging.start()
    await _many_loop_iterations()
    assert len(yields) == MAX_YIELDS
    hanging.start()
    await _many_loop_iterations()
    assert len(yields) == 2 * MAX_YIELDS, "a new job is a new chance"


async def test_progress_of_the_thread_earns_it_more_yields(yields: list[float]) -> None:
    counts = iter([3] * MAX_YIELDS + [2] * MAX_YIELDS + [1] * MAX_YIELDS + [0])
    GilYielder(lambda: next(counts)).start()
    await _many_loop_iterations()
    assert len(yields) > 2 * MAX_YIELDS


async def test_after_stop_there_is_no_yield(yields: list[float]) -> None:
    yielder = GilYielder(lambda: 1)
    yielder.start()
    yielder.stop()
    await _many_loop_iterations()
    assert yields == []
