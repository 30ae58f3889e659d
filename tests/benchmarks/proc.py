"""CPU time and memory of a process with all its threads and children, as Linux counts them."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") / 1024
_SCHEDULED: Final = 2
"""The kernel's CPU clock of a process that counts nanoseconds (clock_getcpuclockid(3))."""


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of living and ended threads."""
    return sum(time.clock_gettime((~one << 3) | _SCHEDULED) for one in _family(pid))


def resident_kib(pid: int) -> float:
    """Memory that is in RAM."""
    pages = (Path(f"/proc/{one}/statm").read_text().split()[1] for one in _family(pid))
    return sum(map(int, pages)) * _PAGE_KIB


def proportional_kib(pid: int) -> float:
    """The same, with what several processes share divided among those that have it."""
    sizes = (Path(f"/proc/{one}/smaps_rollup").read_text() for one in _family(pid))
    return float(sum(int(size.split("\nPss:")[1].split()[0]) for size in sizes))


def _family(pid: int) -> Iterator[int]:
    """The process and all that came of it; a thread that ends meanwhile has no children."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
