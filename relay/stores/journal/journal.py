"""The journal: every utterance on this machine's disk before anyone is told that it is stored."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

import structlog

from relay.realtime.records import AnyRecord, Record
from relay.stores.database import looking_at
from relay.stores.journal.file import FILE_NAME, JournalFile, Tally
from relay.stores.worker import CLOSE_TIMEOUT, Worker

# ---- What the journal says of itself and how much it may hold; plain data.

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


# ---- What the journal has in memory: records that wait for the disk, or are on their way to it.


class Entry(NamedTuple):
    """A record since it was taken, in Unix seconds and by the journal's clock."""

    record: AnyRecord
    taken_at: float
    received: float


class JournalQueue:
    """Records in the order they came. The oldest form the batch, until that is on disk."""

    def __init__(self, limits: JournalLimits) -> None:
        self._limits = limits
        self._later: deque[Entry] = deque()
        self._characters = 0
        self.batch: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self._later) + len(self.batch)

    def add(self, entry: Entry) -> bool:
        """Queue it, or say that there is no room."""
        characters = self._characters + size_of(entry.record)
        many, much = self._limits.queued_records, self._limits.queued_characters
        if len(self) >= many or characters > much:
            return False
        self._characters = characters
        self._later.append(entry)
        return True

    def fill(self, most: int) -> tuple[Entry, ...]:
        """The batch, with what came after it as far as it holds `most`."""
        room = min(most - len(self.batch), len(self._later))
        self.batch += tuple(self._later.popleft() for _ in range(room))
        return self.batch

    def written(self) -> tuple[Entry, ...]:
        """The batch is on disk: let go of it."""
        batch, self.batch = self.batch, ()
        self._characters -= sum(size_of(entry.record) for entry in batch)
        return batch

    def said(self, conversation_id: str) -> list[Record]:
        """The words of a conversation."""
        records = [entry.record for entry in (*self.batch, *self._later)]
        words = [record for record in records if isinstance(record, Record)]
        return [record for record in words if record.head.conversation_id == conversation_id]

    def forget(self, user_id: str, spared: Collection[Entry]) -> int:
        """Drop what is one person's but for `spared` entries; returns how many there were."""
        before = len(self)
        kept = [e for e in (*self.batch, *self._later) if _keeps(e, user_id, spared)]
        first = sum(_keeps(entry, user_id, spared) for entry in self.batch)
        self.batch, self._later = tuple(kept[:first]), deque(kept[first:])
        self._characters = sum(size_of(entry.record) for entry in kept)
        return before - len(kept)


def _keeps(entry: Entry, user_id: str, spared: Collection[Entry]) -> bool:
    return entry.record.head.user_id != user_id or entry in spared


def merged(on_disk: Iterable[Record], queued: Sequence[Record]) -> list[Record]:
    """Each record once, in its newest version, in the order they came.

    `queued` was looked at first. What of it is not on disk is still to come there, or was stored
    meanwhile: then something behind it is on disk already.
    """
    disk = {record.id: record for record in on_disk}
    written = [r.id in disk and disk[r.id].seq >= r.seq for r in queued]
    settled = max((n for n, is_there in enumerate(written) if is_there), default=0)
    newest = {record.id: record for record in queued[:settled] if record.id not in disk} | disk
    for record in queued:
        known = newest.get(record.id)
        if known is None or known.seq < record.seq:
            newest[record.id] = record
    return list(newest.values())


BATCH = 256
"""Most records of one transaction; one fsync carries all that came while the last one ran."""
GATHER_SECONDS = 0.01
"""After the first record, until the thread is woken: that costs more than what it then does."""
RETRY_AFTER = 1.0
"""Seconds until a commit that failed (a full disk) is tried again."""
STALLED_AFTER = 5.0
"""Seconds after which a commit that has not come back counts as failing."""

Listener = Callable[[Sequence[AnyRecord]], None]
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class _Commit(NamedTuple):
    unwritable: list[AnyRecord]
    tally: Tally
    at: float  # by the journal's clock


class DiskJournal:
    """A `relay.interfaces.Journal` in a folder of its own (mode 0700), with one writer thread.

    `append` hands records to the thread and returns; the thread commits all that gathered in one
    fsynced transaction, and only then are the listeners told. Use it on one event loop.
    """

    def __init__(
        self,
        folder: Path,
        limits: JournalLimits | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        limits = limits or JournalLimits()
        self._worker = Worker("journal", lambda: JournalFile(folder, limits.disk_bytes))
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None  # None: not open, nothing is written
        self._listeners: list[Listener] = []
        self._queue = JournalQueue(limits)
        self._handed_over_at: float | None = None  # None: the thread is not writing
        self._retry: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None  # set: the thread will be woken soon
        self._committed = self._lost = 0
        self._tally = Tally(0, 0, None)
        self._failing: str | None = None
        self.latencies = Latencies()
        self._settled = asyncio.Event()
        self._settled.set()
        self._closed = False

    async def start(self) -> None:
        """Open and lock the folder; what was appended before is written now.

        Raises JournalInUse, JournalDamaged, OSError or sqlite3.Error, and holds nothing then.
        """
        try:
            self._tally = await self._worker.run(JournalFile.tally)
        except BaseException:
            await self._worker.aclose()
            raise
        self._loop = asyncio.get_running_loop()
        self._hand_over()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(records)` on the event loop after every commit, in the order appended.

        A record may be told twice (a repeat, a commit tried again): mind its `seq`.
        """
        self._listeners.append(listener)

    def append(self, record: AnyRecord) -> None:
        """Queue a record for the disk; never blocks, never raises (`state` tells of trouble)."""
        if self._closed:
            self._lose(1, "closed")
        elif not self._queue.add(Entry(record, datetime.now(UTC).timestamp(), self._clock())):
            self._lose(1, "queue_full")
        else:
            self._settled.clear()
            if not self._queue.batch and self._gathering is None and self._loop is not None:
                self._gathering = self._loop.call_later(GATHER_SECONDS, self._hand_over)

    async def pending(self, limit: int) -> list[AnyRecord]:
        """The oldest records on disk that wait for the store."""
        return await self._ask(lambda file: file.pending(limit))

    async def of_conversation(self, conversation_id: str, limit: int) -> list[Record]:
        """The latest `limit` words of a conversation that wait for the disk or the store.

        In the order appended, at every moment between `append` and the end of `mark_delivered`: the
        queue is looked at first, so that what moves to the disk is seen twice rather than never.
        """
        queued = self._queue.said(conversation_id)
        on_disk = await self._worker.run(lambda file: file.of_conversation(conversation_id, limit))
        return merged(on_disk, queued)[-limit:]

    async def erase(self, user_id: str) -> int:
        """Delete all of one person, from the files' bytes too; returns how many records it was.

        Where a delivery runs use `Delivery.erase`. Raises sqlite3.Error, OSError: ask again then.
        """
        erased = 0
        while True:
            # What is being written is erased behind that, or in another round where that fails.
            writing = self._queue.batch if self._handed_over_at is not None else ()
            erased += self._queue.forget(user_id, spared=writing)
            erased += await self._ask(lambda file: file.erase(user_id))
            if not any(entry in self._queue.batch for entry in writing):
                asyncio.get_running_loop().call_soon(self._settle)
                return erased

    async def mark_delivered(self, records: Sequence[AnyRecord]) -> None:
        """Delete what the store has; a correction that came meanwhile stays and waits."""
        await self._ask(lambda file: file.delete(records))
        self._hand_over()  # a disk that was full may have room again

    async def set_aside(self, records: Sequence[AnyRecord], reasons: Mapping[str, str]) -> None:
        """Keep records on disk but out of delivery until the next start; `reasons` by id."""
        await self._ask(lambda file: file.set_aside(records, reasons))

    async def settled(self) -> None:
        """Wait until everything appended is on disk and the listeners were told."""
        self._hand_over()
        await self._settled.wait()

    async def aclose(self, within: float = CLOSE_TIMEOUT) -> bool:
        """Write what is queued and let go of the folder; False when the disk was too slow.

        Waits `within` seconds for what is queued and as long again for what the disk is doing.
        """
        self._closed = True
        if self._loop is not None:
            self._hand_over()
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._settled.wait()
        self._loop = None
        if self._retry is not None:
            self._retry.cancel()
        if self._queue:
            self._lose(len(self._queue), "disk_too_slow")
        return await self._worker.aclose(within) and not self._queue

    @property
    def state(self) -> JournalState:
        """How the journal is right now."""
        since = self._handed_over_at
        stalled = since is not None and self._clock() - since > STALLED_AFTER
        return JournalState(
            queued=len(self._queue),
            waiting=self._tally.waiting,
            set_aside=self._tally.set_aside,
            oldest_at=self._tally.oldest_at,
            committed=self._committed,
            lost=self._lost,
            failing=self._failing or ("stalled" if stalled else None),
            commit_p50_ms=self.latencies.percentile_ms(0.50),
            commit_p99_ms=self.latencies.percentile_ms(0.99),
        )

    async def _ask(self, job: Callable[[JournalFile], Result]) -> Result:
        """Run a job on the file and take note of what is on disk after it."""
        result, self._tally = await self._worker.run(lambda file: (job(file), file.tally()))
        return result

    def _hand_over(self) -> None:
        """Give the thread the next batch (or the failed one again), unless it is writing."""
        for timer in (self._gathering, self._retry):
            if timer is not None:
                timer.cancel()
        self._gathering = self._retry = None
        if self._loop is None or self._handed_over_at is not None:
            return
        if batch := self._queue.fill(BATCH):
            self._handed_over_at = self._clock()
            job = partial(_write, entries=batch, clock=self._clock)
            tell = self._loop.call_soon_threadsafe
            self._worker.submit(job).add_done_callback(lambda future: tell(self._written, future))

    def _written(self, future: Future[_Commit]) -> None:
        """The thread is done with the batch, one way or the other."""
        self._handed_over_at = None
        if self._loop is None:
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            self._retry = self._loop.call_later(RETRY_AFTER, self._hand_over)
            return
        self._failing = None
        records = self._take_note(future.result())
        for listener in self._listeners:
            self._loop.call_soon(listener, records)  # one that raises harms no other
        self._loop.call_soon(self._settle)  # after the listeners
        self._hand_over()

    def _take_note(self, commit: _Commit) -> list[AnyRecord]:
        """The batch is on disk: count it; returns its records."""
        batch = self._queue.written()
        self._tally = commit.tally
        for entry in batch:
            self.latencies.add(commit.at - entry.received)
        if commit.unwritable:
            self._lose(len(commit.unwritable), "not_unicode")
        records = [entry.record for entry in batch if entry.record not in commit.unwritable]
        self._committed += len(records)
        return records

    def _settle(self) -> None:
        if not self._queue:
            self._settled.set()

    def _fail(self, error: BaseException) -> None:
        """Name the trouble, and log it once."""
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if name != self._failing:
            log.error("journal is failing", reason=name, queued=len(self._queue))
        self._failing = name

    def _lose(self, count: int, reason: str) -> None:
        """Count words that will not reach the disk, and log the first of them."""
        if not self._lost:
            log.error("journal is losing records", reason=reason, queued=len(self._queue))
        self._lost += count


def _write(file: JournalFile, entries: Sequence[Entry], clock: Callable[[], float]) -> _Commit:
    """On the thread: one transaction."""
    unwritable = file.commit([(entry.record, entry.taken_at) for entry in entries])
    return _Commit(unwritable, file.tally(), clock())


# ---- What the journal still has of one person: told while a relay runs, erased while none does.

_OF: Final = "SELECT body FROM records WHERE user_id = ? ORDER BY number"
_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'records'"


def waiting_of(folder: Path, user_id: str) -> list[dict[str, Any]]:
    """Every record of theirs that waits for the store or was set aside; raises sqlite3.Error."""
    if not (folder / FILE_NAME).is_file():
        return []
    with looking_at(folder / FILE_NAME) as connection:
        if connection.execute(_TABLE).fetchone() is None:
            return []
        return [_plain(json.loads(body)) for (body,) in connection.execute(_OF, (user_id,))]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's JSON with its door's present name, as `JournalFile.pending` does."""
    return record | {"door": "browser"} if record.get("door") == "s3" else record


@asynccontextmanager
async def emptied_of(folder: Path, user_id: str) -> AsyncIterator[int]:
    """Erase them, and keep relays from starting here while the context lasts.

    Gives how many records it was. Raises JournalInUse while a relay runs, JournalDamaged, OSError
    or sqlite3.Error.
    """
    if not (folder / FILE_NAME).is_file():
        yield 0
        return
    journal = DiskJournal(folder)
    await journal.start()
    try:
        yield await journal.erase(user_id)
    finally:
        await journal.aclose()
