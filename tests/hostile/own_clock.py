"""Clocks for a busy machine, where programs wait for their turn and a virtual one for its host.

`own_clock` leaves out too much where several wait at once, `work_clock` counts what one process
computes and nothing else: what is long by either of them is long.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

_STEAL: Final = 8
"""Where a line of /proc/stat has the time that the host gave to others, its name counted."""

_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


def own_clock(pids: Iterable[int], cores: Iterable[int]) -> Callable[[], float]:
    """Seconds, without those that the first threads of these processes and these cores waited.

    Several may wait at once, so it may go back a little; it is for differences that have an upper
    bound. Where the kernel does not count, or a process has ended, nothing is left out.
    """
    waits = [Path(f"/proc/{pid}/task/{pid}/schedstat") for pid in pids]
    names = {f"cpu{core}" for core in cores}
    last = dict.fromkeys(waits, 0.0)  # what one that has ended had waited stays

    def now() -> float:
        for wait in waits:
            with suppress(OSError, IndexError):
                last[wait] = int(wait.read_text().split()[1]) / 1e9
        return time.monotonic() - sum(last.values()) - _stolen(names)

    return now


def work_clock(pid: int) -> Callable[[], float]:
    """CPU seconds of the first thread of a process; 0 where the kernel does not count them."""
    counted = Path(f"/proc/{pid}/task/{pid}/schedstat")

    def now() -> float:
        try:
            return int(counted.read_text().split()[0]) / 1e9
        except (OSError, IndexError):
            return 0.0

    return now


def _stolen(names: set[str]) -> float:
    stolen = 0
    with suppress(OSError, IndexError):
        for line in Path("/proc/stat").read_text().splitlines():
            fields = line.split()
            if fields[0] in names:
                stolen += int(fields[_STEAL])
    return stolen * _TICK


@asynccontextmanager
async def own_timeout(seconds: float, clock: Callable[[], float]) -> AsyncIterator[None]:
    """Raise TimeoutError in the block once it has taken so long by this clock."""
    loop, until = asyncio.get_running_loop(), clock() + seconds
    async with asyncio.timeout(None) as limit:
        timer = loop.call_later(seconds, lambda: look())  # noqa: PLW0108 - it is defined below

        def look() -> None:
            nonlocal timer
            left = until - clock()
            if left > 0:
                timer = loop.call_later(left, look)
            else:
                limit.reschedule(loop.time())

        try:
            yield
        finally:
            timer.cancel()


def children(pid: int) -> list[int]:
    """The processes that this one has started and that live."""
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []
