"""The clock of a running relay."""

import time
from collections.abc import Callable

Clock = Callable[[], float]


def unix_clock() -> Clock:
    """Unix seconds that never go back, whatever happens to the machine's own clock."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()
