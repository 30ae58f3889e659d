"""A clock that stands still while a busy machine keeps this process waiting for a CPU.

A promise in milliseconds is a promise about the relay, not about what else its machine does: a
test that holds one to it in real time takes the difference of two readings of this clock.
"""

import time
from pathlib import Path

_THREADS = Path("/proc/self/task")


def own_time() -> float:
    """Seconds since some moment, without those that threads of this process waited for a CPU.

    Several threads may wait at once, so it may go back a little; it is for differences that have an
    upper bound. Where the kernel does not count (outside Linux) it is a plain clock.
    """
    return time.perf_counter() - _waited()


def _waited() -> float:
    nanoseconds = 0
    for thread in _THREADS.glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[1])
        except OSError:  # it has just ended
            continue
    return nanoseconds / 1e9
