"""The transcriber of the offline voice: hands turns to processes that decode them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Final, cast

from relay.parts.interfaces import SAMPLE_RATE, PartFailed, TranscriptionRequest
from relay.parts.stt_worker import read_message, write_message

WORKERS: Final = 2  # decoding processes at most; the second starts when two turns overlap
MOST_TURNS: Final = 16  # turns waiting or being decoded at once; one more is refused: PartFailed
LONGEST_TURN_SECONDS: Final = 30  # of a longer turn only the beginning is decoded
LONGEST_TURN_BYTES: Final = LONGEST_TURN_SECONDS * SAMPLE_RATE * 2
DECODE_SECONDS: Final = 30.0  # a process that takes longer for one turn is killed: PartFailed


class PocketsphinxTranscriber:
    """A `Transcriber` on pocketsphinx, in processes of its own.

    Each thread of a small pool owns one process. It is started by the thread's first turn or by
    `warm_up`, and one that died is replaced: that costs only the turn it was working on.
    """

    def __init__(self, workers: int = WORKERS) -> None:
        # Linux kills a decoding process when the thread that started it ends, not only with the
        # whole relay. The two end together here.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="transcriber")
        self._own = threading.local()
        self._lock = threading.Lock()  # guards what follows
        self._processes: list[DecodingProcess] = []
        self._turns = 0
        self._closed = False

    def warm_up(self) -> None:
        """Start the first process in the background unless there is one; returns at once."""
        with self._lock:
            needed = not (self._closed or self._processes or self._turns)
        if needed:
            self._submit(b"")

    name = "pocketsphinx"
    languages = ("en",)

    async def prepare(self) -> None:
        """Start the first process."""
        self.warm_up()

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        """Yield the words in one turn's audio, "" when nothing was understood.

        Raises `PartFailed` when `MOST_TURNS` are under way, when the decoding process died or took
        too long, and once closed.
        """
        yield await asyncio.wrap_future(self._submit(request.pcm[:LONGEST_TURN_BYTES]))

    async def aclose(self) -> None:
        """Kill the processes; turns under way or waiting fail."""
        with self._lock:
            self._closed = True
            processes = list(self._processes)
        for process in processes:
            process.kill()
        await asyncio.to_thread(self._threads.shutdown)
        for process in self._processes:
            process.forget()
        self._processes.clear()

    def _submit(self, pcm: bytes) -> Future[str]:
        with self._lock:
            if self._closed:
                raise PartFailed("transcriber", "failed", "the transcriber is closed")
            if self._turns >= MOST_TURNS:
                raise PartFailed("transcriber", "failed", "too many turns")
            self._turns += 1
            turn = self._threads.submit(self._decode, pcm)
        turn.add_done_callback(self._turn_done)
        return turn

    def _turn_done(self, turn: Future[str]) -> None:
        with self._lock:
            self._turns -= 1

    def _decode(self, pcm: bytes) -> str:
        process = self._process_of_this_thread()
        try:
            return process.decode(pcm)
        except PartFailed:
            # Now, not with this thread's next turn: another thread may get every turn from here on.
            self._discard(process)
            raise

    def _process_of_this_thread(self) -> DecodingProcess:
        process: DecodingProcess | None = getattr(self._own, "process", None)
        if process is not None and process.alive:
            return process
        if process is not None:
            self._discard(process)
        return self._start_process()

    def _discard(self, process: DecodingProcess) -> None:
        """Forget this thread's process, which died or is of no more use."""
        self._own.process = None
        with self._lock:
            self._processes.remove(process)
        process.forget()

    def _start_process(self) -> DecodingProcess:
        """Start this thread's process. Slow (some ms), so not while holding the lock."""
        try:
            self._own.process = process = DecodingProcess()
        except OSError as error:
            raise PartFailed("transcriber", "failed", "no process can be started") from error
        with self._lock:
            self._processes.append(process)
            closed = self._closed
        if closed:  # `aclose` did not see it in time
            process.kill()
        return process


class DecodingProcess:
    """One process of `stt_worker` and its two pipes. One thread uses it, any may kill it."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "relay.parts.stt_worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the relay; this process ends with it
        )
        self._calls = cast(IO[bytes], self._child.stdin)
        self._answers = cast(IO[bytes], self._child.stdout)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._child.poll() is None

    def decode(self, pcm: bytes, seconds: float = DECODE_SECONDS) -> str:
        """Return the words; raises `PartFailed` when the process dies or is killed for its time."""
        overdue = threading.Timer(seconds, self._child.kill)
        overdue.start()
        try:
            write_message(self._calls, pcm)
            answer = read_message(self._answers)
        except OSError as error:
            raise PartFailed("transcriber", "failed", "the decoding process is gone") from error
        finally:
            overdue.cancel()
        if answer is None:
            raise PartFailed("transcriber", "failed", "the process ended in a turn")
        return answer.decode()

    def kill(self) -> None:
        """End the process at once; a `decode` under way fails."""
        self._child.kill()

    def forget(self) -> None:
        """Kill the process and release its pipes; only when no thread uses it any more."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._calls, self._answers):
            try:
                pipe.close()
            except OSError:
                continue  # it held bytes for a reader that is gone
