"""What waits in connections, against a share of the machine's memory; gives read buffers back."""

import ctypes
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

WAITING_SHARE: Final = 0.25
"""The part of the memory that may wait in connections, all together; beyond it the largest end."""

REFUSING_SHARE: Final = 0.75
"""The part of that from which new callers are refused."""

KEPT_BYTES: Final = 64 * 1024
"""What a read buffer keeps: the greatest piece of audio that engines send fits in."""

FIRST_BUFFER_BYTES: Final = 8 * 1024
"""Size of a read buffer at first. picows doubles it when it is 91 % full, and never shrinks it."""

_SPARE: Final = 256
"""Bytes at its end that picows leaves to its parsers."""

_GIVE_BACK: Final = 4
"""MADV_DONTNEED of Linux: the pages are zero when they are used again."""

_MMAP_THRESHOLD: Final = -3
"""M_MMAP_THRESHOLD of glibc's mallopt: larger blocks are returned when they are freed."""

_UNLIMITED: Final = 1 << 60
"""Cgroups version 1 says "no limit" by a number above this."""

_libc = ctypes.CDLL(None)


def largest_holders(sizes: Sequence[int], bound: int) -> list[int]:
    """The indexes of the fewest that must go, largest first, until the rest is within `bound`."""
    excess = sum(sizes) - bound
    found: list[int] = []
    for index in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        found.append(index)
        excess -= sizes[index]
    return found


def most_unfinished(free: int, largest: int) -> int:
    """The most bytes of an unfinished frame in a read buffer with so many free ones.

    `largest` is what a frame and one read behind it may have. The size of the buffer is not known,
    but for its being the first one doubled some times, and less than 91 % full.
    """
    size = FIRST_BUFFER_BYTES - _SPARE
    while size < free:
        size *= 2
    if size == free:
        return 0
    while 100 * (2 * size - free) < 91 * 2 * size and 2 * size - free <= largest:
        size *= 2
    return size - free


def memory_bound(machine: int, limits: Sequence[str]) -> int:
    """Bytes that this process may use: the machine's, or less where one of its cgroups says so."""
    numbers = [int(limit) for limit in map(str.strip, limits) if limit.isdigit()]
    return min([machine, *(number for number in numbers if number < _UNLIMITED)])


def waiting_bound() -> int:
    """Bytes that may wait in all connections of this process."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(WAITING_SHARE * memory_bound(machine, _cgroup_limits()))


def _cgroup_limits() -> list[str]:
    """The texts of this process's memory limits, with those of the groups around it."""
    folders = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            inner = Path(line.rpartition(":")[2].lstrip("/"))
            folders += [folders[0] / group for group in (inner, *inner.parents)]
    limits = []
    for folder in folders:
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError):
                limits.append((folder / name).read_text())
    return limits


def return_freed_blocks() -> None:
    """Have freed blocks of a megabyte or more returned to the system at once, where glibc is used.

    By default it raises that bound with each such block that is freed, to 32 MiB, and then keeps
    them.
    """
    with suppress(AttributeError):  # another libc
        _libc.mallopt(_MMAP_THRESHOLD, 1024 * 1024)


def give_back(free: memoryview) -> None:
    """Return the pages of the free end of a read buffer, beyond the first `KEPT_BYTES` of it."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(free))
    page = mmap.PAGESIZE
    first = -(-(address + KEPT_BYTES) // page) * page
    last = (address + len(free)) // page * page
    if last > first:
        _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _GIVE_BACK)
