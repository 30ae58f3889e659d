"""What the journal says of itself and how much it may hold; plain data."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from relay.realtime.records import AnyRecord, Record

LATENCIES_KEPT = 1000
"""Receipt-to-commit times that the reported percentiles look back on."""


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How much may wait, in memory for the disk and on the disk for the store.

    Memory at its bound: the newest record is refused and counted as lost. Disk at its bound: as a
    full disk, so records wait in memory. What is already kept is never given up for what comes.
    """

    queued_records: int = 10_000
    queued_characters: int = 64 * 1024 * 1024
    disk_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalState:
    """How the journal is, for /ready and /metrics.

    `queued` records wait for the disk, `waiting` ones on disk for the store, the oldest since
    `oldest_at` (Unix seconds). `committed` and `lost` count since the start; lost are records
    beyond the limits or after the close, and text that is not Unicode. `failing` names why nothing
    reaches the disk, None when all is well. The times are receipt to commit, of the last thousand.
    """

    queued: int
    waiting: int
    set_aside: int
    oldest_at: float | None
    committed: int
    lost: int
    failing: str | None
    commit_p50_ms: float
    commit_p99_ms: float


class Latencies:
    """The last receipt-to-commit times, in seconds; `observe` is told of each."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.observe: Callable[[float], None] = lambda _: None

    def add(self, seconds: float) -> None:
        """Note one."""
        self._seconds.append(seconds)
        self.observe(seconds)

    def percentile_ms(self, share: float) -> float:
        """What `share` of them (0 to 1) did not exceed, in ms; 0 when there is none."""
        ordered = sorted(self._seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


def size_of(record: AnyRecord) -> int:
    """Characters of what was said; every other record is short."""
    if not isinstance(record, Record):
        return 0
    return len(record.utterance.text) + len(record.utterance.heard_text)
