"""Processes of their own for work that would hold up the event loop: speech and language models."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from relay.parts.interfaces import TURN_WAIT_SECONDS, FailureCode, PartFailed, PartKind
from relay.parts.worker_process import CANCEL, END, FAILED, HEAD, PIECE, READY, UNUSABLE, WORK
from relay.tasks import Tasks, where

Device = Literal["auto", "cpu", "cuda"]
"""Where a model computes; `auto` is a graphics card where there is one that works."""

MOST_REQUESTS: Final = 64  # waiting or being done at once; one more is refused as busy
MOST_REPLY_BYTES: Final = 32 << 20  # of one request, not yet taken; more than any sane answer
LOAD_SECONDS: Final = 900.0  # a model that is fetched from a hub takes minutes
PIPE_BYTES: Final = 1 << 20  # read ahead of one process
NEWEST_SHARE: Final = 0.2  # of the last request in the moving average of what one costs


@dataclass(frozen=True, slots=True)
class WorkerProgram:
    """What the processes of a pool run, and what their work costs.

    `module` is run as `python -m module PARENT_PID *arguments` and calls `run_worker`. A request is
    expected to take its `units` times `seconds_per_unit` until there is a measurement. A process
    that takes more than `work_seconds` for one is killed.
    """

    part: PartKind
    module: str
    arguments: tuple[str, ...] = ()
    seconds_per_unit: float = 1.0
    work_seconds: float = 60.0


class WorkerPool:
    """A stated number of processes for one part's work, and the queue before them.

    All of them start with `prepare`, else one when a request finds none at leisure. A process does
    one request at a time. One that dies costs the request that it was doing, and is replaced.
    """

    def __init__(self, program: WorkerProgram, workers: int = 1) -> None:
        self._program = program
        self._most = workers
        self._tasks = Tasks(_report)
        self._workers: list[WorkerProcess] = []
        self._waiting: deque[WorkerRequest] = deque()
        self._seconds_per_unit = program.seconds_per_unit
        self._measured = False
        self._found: Mapping[str, str] = {}
        self._closed = False

    @property
    def found(self) -> Mapping[str, str]:
        """Return what the last process to be ready said of itself; {} until there was one."""
        return self._found

    @property
    def requests(self) -> int:
        """Return how many requests are waiting or being done."""
        return len(self._waiting) + sum(worker.request is not None for worker in self._workers)

    @property
    def predicted_wait(self) -> float:
        """Return the seconds until a request that came now would be begun, by what others took."""
        leisure = self._most - len(self._workers) + sum(w.at_leisure for w in self._workers)
        if leisure > len(self._waiting):
            return 0.0
        waiting = sum(request.units for request in self._waiting) * self._seconds_per_unit
        now = time.monotonic()
        begun = sum(
            max(0.0, request.units * self._seconds_per_unit - (now - request.begun))
            for request in (worker.request for worker in self._workers)
            if request is not None
        )
        return (waiting + begun) / self._most

    async def prepare(self) -> None:
        """Start all processes and wait until they have loaded.

        Raises `PartFailed` (`unavailable`) when one cannot.
        """
        if self._closed:
            self._refuse("unavailable", "closed")
        self._start_workers(self._most)
        for worker in list(self._workers):
            failure = await asyncio.shield(worker.loaded)
            if failure is not None:
                raise failure

    async def work(
        self, body: bytes, units: float = 1.0, max_wait: float = TURN_WAIT_SECONDS
    ) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of the reply to one request, which costs so many units of work.

        Raises `PartFailed`: `busy` where `predicted_wait` is more than `max_wait` seconds, where it
        was not begun in as many, or where `MOST_REQUESTS` are under way; `timeout`; `unavailable`
        where no process can be started or the pool is closed; else what the work failed with. Who
        stops iterating before the end cancels the request: one that waits leaves the queue, one
        that is being done is told so, and its process takes the next when it has stopped.
        """
        request = self._submit(body, units, max_wait)
        try:
            while (piece := await request.next()) is not None:
                yield piece
        finally:
            self._leave(request)

    async def aclose(self) -> None:
        """Kill the processes; requests under way or waiting fail."""
        self._closed = True
        closed = PartFailed(self._program.part, "unavailable", "closed")
        self._fail_waiting(closed)
        for worker in self._workers:
            worker.fail(closed)
            worker.kill()
        await self._tasks.done()  # not cancelled: one may be releasing a process just now

    def _submit(self, body: bytes, units: float, max_wait: float) -> WorkerRequest:
        if self._closed:
            self._refuse("unavailable", "closed")
        if self.requests >= MOST_REQUESTS:
            self._refuse("busy", f"{MOST_REQUESTS} requests are under way")
        if (wait := self.predicted_wait) > max_wait:
            self._refuse("busy", f"predicted wait {wait:.1f} s")
        request = WorkerRequest(body, units)
        request.patience = asyncio.get_running_loop().call_later(max_wait, self._give_up, request)
        self._waiting.append(request)
        self._start_workers(min(self._most, self.requests))
        self._hand_out()
        return request

    def _give_up(self, request: WorkerRequest) -> None:
        """Refuse a request that has waited too long after all, for a model to load perhaps."""
        if request in self._waiting:
            self._waiting.remove(request)
            request.put(PartFailed(self._program.part, "busy", "not begun in time"))

    def _refuse(self, code: FailureCode, detail: str) -> NoReturn:
        raise PartFailed(self._program.part, code, detail)

    def _leave(self, request: WorkerRequest) -> None:
        """Cancel a request unless it is done."""
        request.left = True
        if request.patience is not None:
            request.patience.cancel()
        with suppress(ValueError):
            self._waiting.remove(request)
        for worker in self._workers:
            if worker.request is request:
                worker.cancel()

    def _start_workers(self, count: int) -> None:
        while len(self._workers) < count:
            worker = WorkerProcess(self._program)
            self._workers.append(worker)
            self._tasks.run(self._own(worker), f"worker of the {self._program.part}")

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.at_leisure and self._waiting:
                worker.begin(self._waiting.popleft())

    async def _own(self, worker: WorkerProcess) -> None:
        """Run one process until it dies, and see to what it leaves."""
        try:
            self._found = await worker.start()
            self._hand_out()
            while True:
                done = await worker.request_done()
                if not done.left:  # else it was stopped before its end
                    self._measure(done.units, time.monotonic() - done.begun)
                self._hand_out()
        except PartFailed as failure:
            self._bury(worker, failure)
        except Exception as fault:  # noqa: BLE001 - a dead worker must not stay in the list
            self._bury(worker, PartFailed(self._program.part, "failed", where(fault)))
        finally:
            await worker.end()

    def _measure(self, units: float, seconds: float) -> None:
        share = NEWEST_SHARE if self._measured else 1.0
        self._measured = True
        self._seconds_per_unit += share * (seconds / units - self._seconds_per_unit)

    def _bury(self, worker: WorkerProcess, failure: PartFailed) -> None:
        self._workers.remove(worker)
        was_used = worker.request is not None or worker.requests_done > 0
        worker.fail(failure)
        if self._closed:
            return
        if was_used:  # else it may never live: the next request tries again
            self._start_workers(len(self._workers) + 1)
        elif not self._workers:
            self._fail_waiting(failure)

    def _fail_waiting(self, failure: PartFailed) -> None:
        while self._waiting:
            self._waiting.popleft().put(failure)


class WorkerRequest:
    """One request, and the pieces of its reply that have come and not been taken."""

    def __init__(self, body: bytes, units: float) -> None:
        self.body = body
        self.units = max(units, 1e-6)
        self.begun = 0.0
        self.left = False
        self.patience: asyncio.TimerHandle | None = None
        self._pieces: asyncio.Queue[bytes | PartFailed | None] = asyncio.Queue()
        self._bytes = 0

    async def next(self) -> bytes | None:
        """Return the next piece, None at the end; raises `PartFailed`."""
        piece = await self._pieces.get()
        if isinstance(piece, PartFailed):
            raise piece
        self._bytes -= len(piece or b"")
        return piece

    def put(self, piece: bytes | PartFailed | None) -> bool:
        """Add a piece, a failure or None, the end; False when too much has not been taken."""
        if self.left:
            return True
        if isinstance(piece, bytes):
            self._bytes += len(piece)
            if self._bytes > MOST_REPLY_BYTES:
                return False
        self._pieces.put_nowait(piece)
        return True


class WorkerProcess:
    """One process and its two pipes."""

    def __init__(self, program: WorkerProgram) -> None:
        self._program = program
        self._child: asyncio.subprocess.Process | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._is_late = False
        self._is_killed = False
        self._ready = False
        self.loaded: asyncio.Future[PartFailed | None] = asyncio.get_running_loop().create_future()
        self.request: WorkerRequest | None = None
        self.requests_done = 0

    @property
    def at_leisure(self) -> bool:
        """Tell whether the process waits for a request."""
        return self._ready and self.request is None

    @property
    def pid(self) -> int | None:
        """Return the id of the process, None before it has been started."""
        return self._child.pid if self._child else None

    async def start(self) -> Mapping[str, str]:
        """Start the process and wait until it has loaded; return what it says of itself.

        Raises `PartFailed`, as all below.
        """
        try:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", self._program.module, str(os.getpid()), *self._program.arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # libraries write there what was said
                start_new_session=True,  # Ctrl-C is for the relay; this process ends with it
                limit=PIPE_BYTES,
            )
        except OSError as error:
            raise self._failure("unavailable", type(error).__name__) from error
        if self._is_killed:
            self.kill()
        self._call_after(LOAD_SECONDS)
        kind, body = await self._read()
        self._call_after(None)
        if kind == UNUSABLE:
            raise self._failure("unavailable", body.decode(errors="replace"))
        if kind != READY:
            raise self._failure("failed", "out of step")
        self._ready = True
        self.loaded.set_result(None)
        return {str(key): str(value) for key, value in json.loads(body).items()}

    def begin(self, request: WorkerRequest) -> None:
        """Hand a request to the process, which must be at leisure."""
        request.begun = time.monotonic()
        self.request = request
        self._call_after(self._program.work_seconds)
        self._send(WORK, request.body)
        request.body = b""

    def cancel(self) -> None:
        """Tell the process that nobody waits for its request any more."""
        self._send(CANCEL)

    async def request_done(self) -> WorkerRequest:
        """Wait until a request has been done, or stopped, and return it."""
        while True:
            kind, body = await self._read()
            request = self.request
            if request is None or kind not in (PIECE, END, FAILED):
                raise self._failure("failed", "out of step")
            if kind == PIECE:
                if not request.put(body):
                    raise self._failure("failed", "too long a reply")
                continue
            self._call_after(None)
            self.request = None
            self.requests_done += 1
            request.put(None if kind == END else self._failure(*json.loads(body)))
            return request

    def fail(self, failure: PartFailed) -> None:
        """Fail what was under way."""
        if not self.loaded.done():
            self.loaded.set_result(failure)
        if self.request is not None:
            self.request.put(failure)
            self.request = None

    def kill(self) -> None:
        """Kill the process, at once or as soon as it has been started."""
        self._is_killed = True
        if self._child is not None and self._child.returncode is None:
            # Not `Popen.kill`: it would reap a dead child, for which the loop itself waits.
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill the process and release its pipes."""
        self._ready = False
        self._call_after(None)
        self.kill()
        if self._child is None:
            return
        if self._child.stdin is not None:
            self._child.stdin.close()
        await self._child.communicate()  # to the end of what it wrote, else its pipe stays open

    def _failure(self, code: FailureCode, detail: str) -> PartFailed:
        return PartFailed(self._program.part, code, detail)

    def _send(self, kind: int, body: bytes = b"") -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.writelines((HEAD.pack(len(body), kind), body))

    async def _read(self) -> tuple[int, bytes]:
        pipe = self._child.stdout if self._child is not None else None
        if pipe is None:
            raise self._failure("unavailable", "not started")
        try:
            length, kind = HEAD.unpack(await pipe.readexactly(HEAD.size))
            if length > MOST_REPLY_BYTES:
                raise self._failure("failed", "too long a reply")
            return kind, await pipe.readexactly(length)
        except asyncio.IncompleteReadError:
            if self._is_late:
                raise self._failure("timeout", "its process was killed") from None
            raise self._failure("failed", "its process died") from None

    def _call_after(self, seconds: float | None) -> None:
        """Kill the process when it has not answered within so many seconds; None: any time."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if seconds is not None:
            self._overdue = asyncio.get_running_loop().call_later(seconds, self._kill_late)

    def _kill_late(self) -> None:
        self._is_late = True
        self.kill()


def _report(name: str, fault: BaseException) -> None:
    context = {"message": f"The {name} failed: {where(fault)}"}
    asyncio.get_running_loop().call_exception_handler(context)
