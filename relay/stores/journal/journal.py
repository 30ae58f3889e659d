"""The write-ahead journal: every record is on this machine's disk before it counts as committed."""

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
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import structlog

from relay.realtime.records import AnyRecord, Record
from relay.stores.database import open_readonly
from relay.stores.journal.file import FILE_NAME, JournalFile, Tally
from relay.stores.worker import CLOSE_TIMEOUT, Worker

BATCH: Final = 256
"""Most records of one transaction; one fsync carries all that came while the last one ran."""
FLUSH_INTERVAL: Final = 0.01
"""Seconds from the first record until the thread is woken: a wake-up costs more than the write."""
RETRY_AFTER: Final = 1.0
"""Seconds until a failed commit (a full disk) is retried."""
STALLED_AFTER: Final = 5.0
"""Seconds after which a commit in progress counts as failing."""
WATCH_SECONDS: Final = 1.0
"""Seconds between two looks whether the file is still in its place."""
DELETED: Final = "deleted: restart the relay"
"""Why the journal fails once its file was deleted or replaced. It is still written to and delivered
from, but the next start will not find it."""
LATENCIES_KEPT: Final = 1000
"""Receipt-to-commit times that the reported percentiles cover."""

Listener = Callable[[Sequence[AnyRecord]], None]
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How much may wait, in memory for the disk and on the disk for the store.

    Memory full: the newest record is refused and counted as lost. `disk_bytes` reached: as a full
    disk, so records wait in memory. Records already kept are never dropped for new ones.
    """

    queued_records: int = 10_000
    queued_characters: int = 64 * 1024 * 1024
    disk_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalState:
    """State of the journal, for /ready and /metrics.

    `queued` records wait for the disk, `waiting` ones on disk for the store, the oldest since
    `oldest_at` (Unix seconds). `committed` and `lost` count since the start; lost are records
    beyond the limits or after the close, and text that is not Unicode. `failing` names why nothing
    reaches the disk, or would be found there, None while it works. The percentiles are of receipt
    to commit.
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


class Entry(NamedTuple):
    """A record with its time of receipt, in Unix seconds and by the journal's clock."""

    record: AnyRecord
    taken_at: float
    received: float


class _Commit(NamedTuple):
    unwritable: list[AnyRecord]
    tally: Tally
    at: float  # by the journal's clock


class DiskJournal:
    """A `relay.interfaces.Journal` in a folder of its own (mode 0700), with one writer thread.

    `append` hands records to the thread and returns; the thread commits all that gathered in one
    fsynced transaction, and only then calls the listeners. Use it on one event loop.
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
        self._commit_started_at: float | None = None  # None: the thread is not writing
        self._flush_timer: asyncio.TimerHandle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._committed = self._lost = 0
        self._tally = Tally(0, 0, None)
        self._failing: str | None = None
        self._is_in_place = True
        self.latencies = Latencies()
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._closed = False

    async def start(self) -> None:
        """Open and lock the folder, and write what was appended before.

        Raises JournalInUse, JournalDamaged, OSError or sqlite3.Error, and holds nothing then.
        """
        try:
            self._tally = await self._worker.run(JournalFile.tally)
        except BaseException:
            await self._worker.aclose()
            raise
        self._loop = asyncio.get_running_loop()
        self._start_commit()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(records)` on the event loop after every commit, in the order appended.

        A record may come twice (a repeat, a commit that was retried): compare `seq`.
        """
        self._listeners.append(listener)

    def append(self, record: AnyRecord) -> None:
        """Queue a record for the disk; never blocks, never raises (`state` reports failures)."""
        if self._closed:
            self._lose(1, "closed")
        elif not self._queue.add(Entry(record, datetime.now(UTC).timestamp(), self._clock())):
            self._lose(1, "queue_full")
        else:
            self._flushed.clear()
            if not self._queue.batch and self._flush_timer is None and self._loop is not None:
                self._flush_timer = self._loop.call_later(FLUSH_INTERVAL, self._start_commit)

    async def pending(self, limit: int) -> list[AnyRecord]:
        """The oldest records on disk that wait for the store."""
        return await self._run(lambda file: file.pending(limit))

    async def of_conversation(self, conversation_id: str, limit: int) -> list[Record]:
        """The latest `limit` utterances of a conversation that wait for the disk or the store.

        In the order appended. Complete at every moment between `append` and the end of
        `mark_delivered`: the queue is read first, so a record that moves to the disk meanwhile is
        seen twice rather than never.
        """
        queued = self._queue.of_conversation(conversation_id)
        on_disk = await self._worker.run(lambda file: file.of_conversation(conversation_id, limit))
        return merge_versions(on_disk, queued)[-limit:]

    async def erase(self, user_id: str) -> int:
        """Erase one person, from the files' bytes too; returns the number of their records.

        Where delivery runs use `Delivery.erase`. Raises sqlite3.Error, OSError: call it again then.
        """
        erased = 0
        while True:
            # A batch being written is erased after that, or in another round if the write fails.
            writing = self._queue.batch if self._commit_started_at is not None else ()
            erased += self._queue.erase(user_id, spared=writing)
            erased += await self._run(lambda file: file.erase(user_id))
            if not any(entry in self._queue.batch for entry in writing):
                asyncio.get_running_loop().call_soon(self._notify_flushed)
                return erased

    async def mark_delivered(self, records: Sequence[AnyRecord]) -> None:
        """Delete records that are stored; a correction appended meanwhile stays and waits."""
        await self._run(lambda file: file.delete(records))
        self._start_commit()  # a disk that was full may have room again

    async def set_aside(self, records: Sequence[AnyRecord], reasons: Mapping[str, str]) -> None:
        """Keep records on disk but out of delivery until the next start; `reasons` by id."""
        await self._run(lambda file: file.set_aside(records, reasons))

    async def watch(self) -> NoReturn:
        """Look every `WATCH_SECONDS` whether the file is in its place, until cancelled."""
        while True:
            was = self._is_in_place
            self._is_in_place = await self._worker.run(JournalFile.is_in_place)
            if was and not self._is_in_place:
                log.error("journal is failing", reason=DELETED, queued=len(self._queue))
            await asyncio.sleep(WATCH_SECONDS)

    async def flush(self) -> None:
        """Wait until everything appended is on disk and the listeners were called."""
        self._start_commit()
        await self._flushed.wait()

    async def aclose(self, within: float = CLOSE_TIMEOUT) -> bool:
        """Write what is queued and release the folder; False when the disk was too slow.

        Waits up to `within` seconds for the queue and as long again for the write in progress.
        """
        self._closed = True
        if self._loop is not None:
            self._start_commit()
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._flushed.wait()
        self._loop = None
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._queue:
            self._lose(len(self._queue), "disk_too_slow")
        return await self._worker.aclose(within) and not self._queue

    @property
    def state(self) -> JournalState:
        """The state right now."""
        since = self._commit_started_at
        stalled = since is not None and self._clock() - since > STALLED_AFTER
        missing = None if self._is_in_place else DELETED
        return JournalState(
            queued=len(self._queue),
            waiting=self._tally.waiting,
            set_aside=self._tally.set_aside,
            oldest_at=self._tally.oldest_at,
            committed=self._committed,
            lost=self._lost,
            failing=self._failing or ("stalled" if stalled else missing),
            commit_p50_ms=self.latencies.percentile_ms(0.50),
            commit_p99_ms=self.latencies.percentile_ms(0.99),
        )

    async def _run(self, job: Callable[[JournalFile], Result]) -> Result:
        """Run a job on the file and update the tally."""
        result, self._tally = await self._worker.run(lambda file: (job(file), file.tally()))
        return result

    def _start_commit(self) -> None:
        """Give the thread the next batch (or the failed one again), unless it is writing."""
        for timer in (self._flush_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = self._retry_timer = None
        if self._loop is None or self._commit_started_at is not None:
            return
        if batch := self._queue.fill_batch(BATCH):
            self._commit_started_at = self._clock()
            job = partial(_write, entries=batch, clock=self._clock)
            call = self._loop.call_soon_threadsafe
            self._worker.submit(job).add_done_callback(
                lambda future: call(self._on_commit_done, future)
            )

    def _on_commit_done(self, future: Future[_Commit]) -> None:
        self._commit_started_at = None
        if self._loop is None:
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            self._retry_timer = self._loop.call_later(RETRY_AFTER, self._start_commit)
            return
        self._failing = None
        records = self._account(future.result())
        for listener in self._listeners:
            self._loop.call_soon(listener, records)  # one that raises harms no other
        self._loop.call_soon(self._notify_flushed)  # after the listeners
        self._start_commit()

    def _account(self, commit: _Commit) -> list[AnyRecord]:
        """Count a batch that is on disk; returns its records."""
        batch = self._queue.remove_batch()
        self._tally = commit.tally
        for entry in batch:
            self.latencies.add(commit.at - entry.received)
        if commit.unwritable:
            self._lose(len(commit.unwritable), "not_unicode")
        records = [entry.record for entry in batch if entry.record not in commit.unwritable]
        self._committed += len(records)
        return records

    def _notify_flushed(self) -> None:
        if not self._queue:
            self._flushed.set()

    def _fail(self, error: BaseException) -> None:
        """Note why commits fail, and log each new reason once."""
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if name != self._failing:
            log.error("journal is failing", reason=name, queued=len(self._queue))
        self._failing = name

    def _lose(self, count: int, reason: str) -> None:
        """Count records that will not reach the disk, and log the first loss."""
        if not self._lost:
            log.error("journal is losing records", reason=reason, queued=len(self._queue))
        self._lost += count


def _write(file: JournalFile, entries: Sequence[Entry], clock: Callable[[], float]) -> _Commit:
    """One transaction, on the worker's thread."""
    unwritable = file.commit([(entry.record, entry.taken_at) for entry in entries])
    return _Commit(unwritable, file.tally(), clock())


class JournalQueue:
    """Records in memory, in the order taken. The oldest form the batch, until that is on disk."""

    def __init__(self, limits: JournalLimits) -> None:
        self._limits = limits
        self._later: deque[Entry] = deque()
        self._characters = 0
        self.batch: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self._later) + len(self.batch)

    def add(self, entry: Entry) -> bool:
        """Queue a record; False when there is no room."""
        characters = self._characters + text_size(entry.record)
        limits = self._limits
        if len(self) >= limits.queued_records or characters > limits.queued_characters:
            return False
        self._characters = characters
        self._later.append(entry)
        return True

    def fill_batch(self, size: int) -> tuple[Entry, ...]:
        """The batch, filled up to `size` with what came after it."""
        room = min(size - len(self.batch), len(self._later))
        self.batch += tuple(self._later.popleft() for _ in range(room))
        return self.batch

    def remove_batch(self) -> tuple[Entry, ...]:
        """Remove and return the batch, once it is on disk."""
        batch, self.batch = self.batch, ()
        self._characters -= sum(text_size(entry.record) for entry in batch)
        return batch

    def of_conversation(self, conversation_id: str) -> list[Record]:
        """The utterances of a conversation."""
        return [
            entry.record
            for entry in (*self.batch, *self._later)
            if isinstance(entry.record, Record)
            and entry.record.head.conversation_id == conversation_id
        ]

    def erase(self, user_id: str, spared: Collection[Entry]) -> int:
        """Remove one person's records except `spared`; returns how many there were."""

        def stays(entry: Entry) -> bool:
            return entry.record.head.user_id != user_id or entry in spared

        before = len(self)
        self.batch = tuple(entry for entry in self.batch if stays(entry))
        self._later = deque(entry for entry in self._later if stays(entry))
        self._characters = sum(text_size(e.record) for e in (*self.batch, *self._later))
        return before - len(self)


def text_size(record: AnyRecord) -> int:
    """Characters of an utterance's text; other records are short and count as 0."""
    if not isinstance(record, Record):
        return 0
    return len(record.utterance.text) + len(record.utterance.heard_text)


class Latencies:
    """The latest receipt-to-commit times, in seconds; `observe` is called with each."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.observe: Callable[[float], None] = lambda _: None

    def add(self, seconds: float) -> None:
        """Add one."""
        self._seconds.append(seconds)
        self.observe(seconds)

    def percentile_ms(self, share: float) -> float:
        """The time that a `share` (0 to 1) of them did not exceed, in ms; 0 without any."""
        ordered = sorted(self._seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


def merge_versions(on_disk: Iterable[Record], queued: Sequence[Record]) -> list[Record]:
    """Each record once, in its newest version, in the order taken.

    `queued` was read first. A record of it that is not on disk is either still to be written, or
    was delivered meanwhile: then a later one of the queue is on disk already.
    """
    disk = {record.id: record for record in on_disk}
    written = [r.id in disk and disk[r.id].seq >= r.seq for r in queued]
    last_written = max((n for n, is_written in enumerate(written) if is_written), default=0)
    newest = {record.id: record for record in queued[:last_written] if record.id not in disk} | disk
    for record in queued:
        known = newest.get(record.id)
        if known is None or known.seq < record.seq:
            newest[record.id] = record
    return list(newest.values())


# ------------------------------------------------- one person's records, for export and erase

_OF_USER: Final = "SELECT body FROM records WHERE user_id = ? ORDER BY number"
_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'records'"


def undelivered_of(folder: Path, user_id: str) -> list[dict[str, Any]]:
    """One person's records that wait for the store or were set aside, as JSON.

    A relay may run meanwhile. Raises sqlite3.Error.
    """
    if not (folder / FILE_NAME).is_file():
        return []
    with open_readonly(folder / FILE_NAME) as connection:
        if connection.execute(_TABLE).fetchone() is None:
            return []
        return [_plain(json.loads(body)) for (body,) in connection.execute(_OF_USER, (user_id,))]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's JSON with its door's present name, as `JournalFile.pending` does."""
    return record | {"door": "browser"} if record.get("door") == "s3" else record


@asynccontextmanager
async def erase_undelivered(folder: Path, user_id: str) -> AsyncIterator[int]:
    """Erase one person's records, and keep relays from starting here while the context lasts.

    Gives the number of records. Raises JournalInUse while a relay runs, JournalDamaged, OSError or
    sqlite3.Error.
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
