"""Runs a Python program on a machine whose clock can be set, without setting this machine's.

`python -m tests.hostile.other_clock FILE python -m MODULE ARGUMENTS…`: FILE holds the seconds by
which the program's clock is ahead, and may change while it runs. Only clocks of the day are moved;
the monotonic one stays, as it does when a real clock is set.
"""

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

_true_time, _true_gettime = time.time, time.clock_gettime


def move(ahead: Callable[[], float]) -> None:
    """Have `time` tell another time from now on."""

    def gettime(clock: int) -> float:
        return _true_gettime(clock) + (ahead() if clock == time.CLOCK_REALTIME else 0.0)

    def now() -> float:
        return _true_time() + ahead()

    time.time, time.clock_gettime = now, gettime
    time.time_ns = lambda: int(now() * 1e9)
    time.clock_gettime_ns = lambda clock: int(gettime(clock) * 1e9)


def main(file: str, _python: str, _m: str, module: str, *arguments: str) -> None:
    """Become that program."""
    path = Path(file)
    move(lambda: float(path.read_text()))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
