"""Tells how busy this machine is, as the session API's capacity shows it."""

import os
from pathlib import Path

_MEMORY = Path("/proc/meminfo")
_GIB = 1024**3


def machine_figures() -> dict[str, str]:
    """The share of the processors' time in the last minute, and the memory in use."""
    busy = min(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)
    used, total = _memory()
    return {
        "cpuUsage": f"{round(busy * 100)}%",
        "memoryUsage": f"{used / _GIB:.1f}GB/{total / _GIB:.1f}GB",
    }


def _memory() -> tuple[int, int]:
    """Bytes in use and bytes there are."""
    try:
        lines = (line.split() for line in _MEMORY.read_text().splitlines())
        found = {parts[0].rstrip(":"): int(parts[1]) * 1024 for parts in lines}
        total = found["MemTotal"]
        return total - found["MemAvailable"], total
    except (OSError, KeyError):  # not Linux
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return 0, total
