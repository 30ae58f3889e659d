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


class Crowding:
    """How much others had the CPU since this was made, as the thread that reads it knows."""

    def __init__(self) -> None:
        self._ran, self._waited = _scheduling()

    @property
    def share(self) -> float:
        """Of the time in which this thread had something to do, the part it waited for a CPU.

        What goes through several processes waits for one in each of them: where this is 0.3 or
        more, the time it takes says nothing of the relay.
        """
        ran, waited = _scheduling()
        ran, waited = ran - self._ran, waited - self._waited
        return waited / (ran + waited) if ran + waited else 0.0


def _scheduling() -> tuple[int, int]:
    """Nanoseconds that this thread ran, and that it waited for a CPU."""
    try:
        ran, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    except OSError:
        return 0, 0
    return int(ran), int(waited)


def _waited() -> float:
    nanoseconds = 0
    for thread in _THREADS.glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[1])
        except OSError:  # it has just ended
            continue
    return nanoseconds / 1e9
