import asyncio
import threading
from functools import partial

import pytest

from relay.stores.worker import Worker


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


async def test_a_job_whose_caller_gave_up_is_not_begun() -> None:
    worker = Worker("notes", Notebook)
    released = threading.Event()
    worker.submit(lambda _: released.wait())
    given_up = worker.submit(lambda book: book.note("nobody wants this"))
    assert given_up.cancel()
    released.set()
    assert await worker.run(lambda book: book.note("wanted")) == 1
    await worker.aclose()
