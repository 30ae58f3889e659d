"""The pool of worker processes: streams, queues, cancels, and outlives the death of any of them."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from relay.parts import worker as worker_module
from relay.parts.interfaces import PartFailed
from relay.parts.worker import MOST_REQUESTS, WorkerPool, WorkerProgram
from relay.parts.worker_process import (
    CANCEL,
    END,
    FAILED,
    HEAD,
    PIECE,
    READY,
    UNUSABLE,
    WORK,
    Inbox,
    read_message,
    serve,
    write_message,
)
from tests.parts import example_worker
from tests.parts.loop_gaps import longest_gap

PROGRAM = WorkerProgram("responder", "tests.parts.example_worker", ("a", "b"))


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(PROGRAM)
    yield pool
    await pool.aclose()


async def reply(pool: WorkerPool, request: bytes, **bounds: float) -> list[bytes]:
    return [piece async for piece in pool.work(request, **bounds)]


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def gone(pid: int) -> bool:
    """Whether the process has ended, waited for by its parent or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def pid_of(pool: WorkerPool) -> int:
    return int((await reply(pool, b"pid"))[0])


class TestWork:
    async def test_it_is_done_without_preparation(self, pool):
        assert await reply(pool, b"echo hello") == [b"hello"]

    async def test_preparing_starts_all_processes_and_tells_what_they_found(self):
        pool = WorkerPool(PROGRAM, workers=2)
        assert pool.found == {}
        await pool.prepare()
        assert [worker.at_leisure for worker in pool._workers] == [True, True]
        assert pool.found == {"arguments": "a b"}
        await pool.aclose()

    async def test_a_reply_comes_piece_by_piece_while_it_is_made(self, pool):
        await pool.prepare()
        async with aclosing(pool.work(b"count 500")) as pieces:
            assert await anext(pieces) == b"0"
            assert pool.requests == 1

    @pytest.mark.parametrize("size", [0, 1, 5_800_000])
    async def test_messages_of_any_length_pass(self, pool, size):
        assert await reply(pool, b"echo " + bytes(size)) == [bytes(size)]

    async def test_requests_are_done_in_the_order_in_which_they_came(self, pool):
        order: list[int] = []

        async def one(number: int) -> None:
            await reply(pool, b"sleep 0.01")
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(one(number))
        assert order == list(range(6))

    async def test_two_processes_work_at_once(self):
        pool = WorkerPool(PROGRAM, workers=2)
        async with aclosing(pool.work(b"wait")) as waiting:
            assert await anext(waiting) == b"waiting"
            assert await reply(pool, b"echo other") == [b"other"]
        await pool.aclose()

    async def test_work_that_fails_costs_one_request_and_quotes_nothing(self, pool):
        with pytest.raises(PartFailed) as failure:
            await reply(pool, b"quote what-was-said")
        assert (failure.value.part, failure.value.code) == ("responder", "failed")
        assert "ValueError in work" in failure.value.detail
        assert "what-was-said" not in str(failure.value)
        assert await reply(pool, b"echo on") == [b"on"]

    async def test_work_can_say_why_it_refuses(self, pool):
        with pytest.raises(PartFailed, match="responder rejected: too long"):
            await reply(pool, b"refuse")

    async def test_large_messages_do_not_hold_up_the_event_loop(self, pool):
        """The loop turns in 20 ms of the process's own CPU time, in one of five tries."""
        await pool.prepare()
        gaps: list[float] = []
        while len(gaps) < 5 and (not gaps or min(gaps) >= 0.020):
            gaps.append(await longest_gap(reply(pool, b"echo " + bytes(5_800_000))))
        assert min(gaps) < 0.020


class TestCancelling:
    async def test_work_under_way_is_told_and_the_process_lives_on(self, pool):
        pid = await pid_of(pool)
        async with aclosing(pool.work(b"wait")) as pieces:
            assert await anext(pieces) == b"waiting"
        assert await pid_of(pool) == pid

    async def test_a_stream_ends_soon_after_nobody_reads_it(self, pool):
        async with aclosing(pool.work(b"count 100000")) as pieces:
            await anext(pieces)
        async with asyncio.timeout(30):  # of 1,000 s
            await until(lambda: pool.requests == 0)

    async def test_what_cannot_be_interrupted_is_waited_for_and_its_reply_dropped(self, pool):
        await pool.prepare()
        task = asyncio.create_task(reply(pool, b"sleep 0.2"))
        await until(lambda: pool.requests == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reply(pool, b"echo next") == [b"next"]

    async def test_one_that_waits_leaves_the_queue(self, pool):
        await pool.prepare()
        async with aclosing(pool.work(b"wait")) as first:
            await anext(first)
            second = asyncio.create_task(reply(pool, b"die"))
            await until(lambda: pool.requests == 2)
            second.cancel()
            await until(lambda: pool.requests == 1)
        assert await reply(pool, b"echo third") == [b"third"]


class TestBounds:
    async def test_the_predicted_wait_is_what_the_work_before_it_will_take(self, pool):
        await pool.prepare()
        assert pool.predicted_wait == 0
        await reply(pool, b"sleep 0.1", units=2)
        assert 0.05 <= pool._seconds_per_unit < 0.9  # 1.0 was the guess
        pool._seconds_per_unit = 1.0
        async with aclosing(pool.work(b"wait", units=3)) as first:
            await anext(first)
            waiting = asyncio.create_task(reply(pool, b"echo", units=4))
            await until(lambda: pool.requests == 2)
            assert 6 < pool.predicted_wait <= 7
            with pytest.raises(PartFailed, match=r"busy: predicted wait \d\.\d s"):
                await reply(pool, b"echo", max_wait=5)
            patient = asyncio.create_task(reply(pool, b"echo", max_wait=10))
        assert await waiting == [b""]
        assert await patient == [b""]

    async def test_a_request_for_a_process_at_leisure_is_never_refused(self, pool):
        await pool.prepare()
        pool._seconds_per_unit = 1000.0
        assert await reply(pool, b"echo", units=1000, max_wait=0) == [b""]

    async def test_a_request_waits_no_longer_for_a_model_that_loads_than_it_may(self):
        loading = WorkerPool(WorkerProgram("transcriber", "tests.parts.slow_worker"))
        try:
            with pytest.raises(PartFailed, match="busy: not begun in time"):
                await reply(loading, b"echo", max_wait=0.2)
        finally:
            await loading.aclose()

    async def test_what_was_stopped_does_not_count_as_done(self, pool):
        await pool.prepare()
        pool._seconds_per_unit, pool._measured = 1.0, True
        async with aclosing(pool.work(b"count 100", 100.0)) as pieces:
            await anext(pieces)
        await until(lambda: pool.requests == 0)
        assert pool._seconds_per_unit == 1.0

    async def test_one_request_too_many_is_refused_and_room_comes_back(self, pool):
        many = [asyncio.create_task(reply(pool, b"echo", max_wait=99)) for _ in range(64)]
        await until(lambda: pool.requests == MOST_REQUESTS)
        with pytest.raises(PartFailed, match="busy: 64 requests"):
            await reply(pool, b"echo", max_wait=99)
        assert await asyncio.gather(*many) == [[b""]] * 64
        assert await reply(pool, b"echo") == [b""]

    async def test_a_process_that_takes_too_long_is_killed_and_replaced(self):
        pool = WorkerPool(WorkerProgram("responder", PROGRAM.module, work_seconds=0.2))
        pid = await pid_of(pool)
        with pytest.raises(PartFailed, match="responder timeout"):
            await reply(pool, b"sleep 60")
        await until(lambda: gone(pid))
        assert await pid_of(pool) != pid
        await pool.aclose()

    async def test_a_reply_that_nobody_takes_ends_at_a_bound(self, pool, monkeypatch):
        await pool.prepare()
        monkeypatch.setattr(worker_module, "MOST_REPLY_BYTES", 10)
        async with aclosing(pool.work(b"count 100")) as pieces:
            await anext(pieces)
            await until(lambda: pool.requests == 0)
            with pytest.raises(PartFailed, match="too long a reply"):
                _ = [piece async for piece in pieces]
        monkeypatch.undo()
        assert await reply(pool, b"echo on") == [b"on"]


class TestProcesses:
    async def test_one_that_dies_costs_its_own_request_only(self, pool):
        await pool.prepare()
        async with aclosing(pool.work(b"wait")) as first:
            await anext(first)
            next_one = asyncio.create_task(reply(pool, b"echo next"))
            await until(lambda: pool.requests == 2)
            os.kill(pool._workers[0].pid, signal.SIGKILL)
            with pytest.raises(PartFailed, match="responder failed: its process died"):
                await anext(first)
        assert await next_one == [b"next"]

    async def test_one_that_ends_by_itself_is_replaced(self, pool):
        with pytest.raises(PartFailed, match="died"):
            await reply(pool, b"die")
        await until(lambda: any(worker.at_leisure for worker in pool._workers))
        assert await reply(pool, b"echo on") == [b"on"]

    async def test_one_that_dies_between_requests_costs_nothing(self, pool):
        pid = await pid_of(pool)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: [w.pid for w in pool._workers if w.at_leisure] not in ([], [pid]))
        assert await pid_of(pool) != pid

    @pytest.mark.parametrize(
        ("argument", "reason"),
        [
            ("unusable", "responder unavailable: FileNotFoundError: there is no model"),
            ("stillborn", "responder failed: its process died"),
        ],
    )
    async def test_one_that_cannot_load_fails_what_waits_and_is_tried_again_later(
        self, argument, reason
    ):
        pool = WorkerPool(WorkerProgram("responder", PROGRAM.module, (argument,)))
        for _ in range(2):
            with pytest.raises(PartFailed, match=reason):
                await reply(pool, b"echo")
        with pytest.raises(PartFailed, match=reason):
            await pool.prepare()
        await until(lambda: pool._workers == [])
        await pool.aclose()

    async def test_closing_kills_them_and_fails_what_was_under_way(self):
        pool = WorkerPool(PROGRAM, workers=2)
        await pool.prepare()
        pids = [worker.pid or 0 for worker in pool._workers]
        tasks = [asyncio.create_task(reply(pool, b"wait")) for _ in range(3)]
        await until(lambda: pool.requests == 3)
        await pool.aclose()
        assert all(gone(pid) for pid in pids)
        for task in tasks:
            with pytest.raises(PartFailed, match="unavailable: closed"):
                await task
        with pytest.raises(PartFailed, match="unavailable: closed"):
            await reply(pool, b"echo")
        with pytest.raises(PartFailed, match="unavailable: closed"):
            await pool.prepare()
        await pool.aclose()

    async def test_closing_while_they_load_fails_the_preparation(self):
        pool = WorkerPool(PROGRAM)
        preparing = asyncio.create_task(pool.prepare())
        await until(lambda: pool._workers)
        await pool.aclose()
        with pytest.raises(PartFailed, match="closed"):
            await preparing

    async def test_they_run_in_the_background_and_no_interrupt_is_theirs(self, pool):
        pid = await pid_of(pool)
        assert os.getpgid(pid) != os.getpgid(0)
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent")
    def test_they_die_with_a_killed_parent_in_the_middle_of_their_work(self):
        """Held still, so that they cannot end by themselves when their input does."""
        command = [sys.executable, "-c", KILLED_PARENT]
        parent = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        assert parent.returncode == -signal.SIGKILL
        pids = [int(pid) for pid in parent.stdout.split()]
        try:
            assert len(pids) == 2
            asyncio.run(until(lambda: all(gone(pid) for pid in pids)))
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


KILLED_PARENT = """
import asyncio, os, signal
from relay.parts.worker import WorkerPool, WorkerProgram

async def main():
    pool = WorkerPool(WorkerProgram("responder", "tests.parts.example_worker"), workers=2)
    await pool.prepare()
    streams = [pool.work(b"wait") for _ in range(2)]
    for stream in streams:
        await anext(stream)
    for worker in pool._workers:
        os.kill(worker.pid, signal.SIGSTOP)
    print(*(worker.pid for worker in pool._workers), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class BrokenPipe(io.BytesIO):
    """What is left of a pipe when its reader is gone."""

    def write(self, _):
        raise BrokenPipeError


def messages(*sent: tuple[int, bytes]) -> io.BytesIO:
    pipe = io.BytesIO()
    for kind, body in sent:
        write_message(pipe, kind, body)
    pipe.seek(0)
    return pipe


def inbox(*sent: tuple[int, bytes]) -> Inbox:
    inbox = Inbox(messages(*sent))
    inbox.read(lambda: None)
    return inbox


class TestInside:
    @pytest.mark.parametrize("body", [b"", b"words", bytes(100_000)])
    def test_a_message_arrives_as_it_was_sent(self, body):
        pipe = messages((WORK, body), (PIECE, b"next"))
        assert read_message(pipe) == (WORK, body)
        assert read_message(pipe) == (PIECE, b"next")
        assert read_message(pipe) is None

    @pytest.mark.parametrize("rest", [b"", b"\0\0", HEAD.pack(4, 1), HEAD.pack(4, 1) + b"wor"])
    def test_a_message_cut_short_means_that_the_other_end_is_gone(self, rest):
        assert read_message(io.BytesIO(rest)) is None

    def test_every_request_is_answered_until_the_other_end_is_gone(self):
        replies = io.BytesIO()
        serve(example_worker.load, [], inbox((WORK, b"echo 1"), (WORK, b"odd")), replies)
        replies.seek(0)
        kinds = [message[0] for message in iter(lambda: read_message(replies), None)]
        assert kinds == [READY, PIECE, END, FAILED]

    def test_a_cancellation_that_came_too_late_is_not_the_next_requests(self):
        replies = io.BytesIO()
        came = inbox((WORK, b"echo 1"), (CANCEL, b""), (WORK, b"echo 2"))
        serve(example_worker.load, [], came, replies)
        assert replies.getvalue().endswith(HEAD.pack(1, PIECE) + b"2" + HEAD.pack(0, END))

    def test_a_model_that_cannot_be_loaded_is_told(self):
        replies = io.BytesIO()
        serve(example_worker.load, ["unusable"], inbox(), replies)
        replies.seek(0)
        assert read_message(replies) == (UNUSABLE, b"FileNotFoundError: there is no model")

    def test_it_ends_when_nobody_reads_its_replies(self):
        came = inbox((WORK, b"echo 1"), (WORK, b"never done"))
        serve(example_worker.load, [], came, BrokenPipe())
        assert came.next() == b"echo 1"

    def test_the_process_ends_with_its_standard_input(self):
        ended = run_process(os.getpid())
        assert ended.returncode == 0

    def test_the_process_of_a_parent_that_is_gone_ends_at_once(self):
        ended = run_process(1_000_000_000)
        assert (ended.returncode, ended.stdout) == (0, b"")


def run_process(parent: int) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", PROGRAM.module, str(parent)]
    return subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
