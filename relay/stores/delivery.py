"""Moves records from the journal to the store: in order, batched, retried until stored."""

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

import structlog

from relay.interfaces import RecordSink, RecordsRefused
from relay.realtime.records import AnyRecord
from relay.stores.journal.journal import DiskJournal
from relay.tasks import error_fields

BATCH: Final = 256
"""Most records given to the store at once. 4,200 a second go through to PostgREST like that; 128,
512 and 1024 are as fast within what two runs differ by (docs/benchmarks)."""
PUT_TIMEOUT: Final = 30.0
"""Seconds after which a store that has not answered counts as failed."""
COALESCE_SECONDS: Final = 0.02
"""Seconds from the first commit after a pause until its batch is taken, so that records that belong
together go together."""
BATCH_SECONDS: Final = 0.1
"""Shortest time between the starts of two batches that are not full. A batch costs one request and
two transactions however few records it has, so there are at most ten a second, and they grow with
the load. Anyone who follows a call from the database waits this long, so it is no longer."""
REFUSED_KEPT: Final = 100
"""Refused records that the state names; all of them are counted."""
SHORTEST_WAIT: Final = 0.25
"""Seconds that the first wait for a failing store lasts at most."""
LONGEST_WAIT: Final = 30.0
"""Seconds that no wait exceeds, so that a store is used soon after it returns."""
_MAX_DOUBLINGS: Final = 16
"""More change nothing below `LONGEST_WAIT`; keeps the power small in a long outage."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """State of delivery, for /ready and /metrics.

    `depth` records wait for the store, the oldest for `lag_seconds`. `delivered` and `retries`
    count since the start. `set_aside` records are on disk but are not tried before a restart;
    `refused` has the ids of the latest of them with the reason. `failing` is the class of the
    store's error, None while it works.
    """

    depth: int
    lag_seconds: float
    delivered: int
    retries: int
    set_aside: int
    refused: tuple[tuple[str, str], ...]
    failing: str | None


def backoff(attempt: int, jitter: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1), with `jitter` random in [0, 1).

    Doubles each time up to a cap; between half of that and all of it, so that many relays do not
    return to a database in step.
    """
    longest = min(SHORTEST_WAIT * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS), LONGEST_WAIT)
    return longest * (0.5 + jitter / 2)


def _wait_after(attempt: int) -> float:
    return backoff(attempt, random.random())  # noqa: S311 - jitter, not a secret


def _now() -> float:
    return datetime.now(UTC).timestamp()


class Delivery:
    """Moves committed records from `journal` to `store`, oldest first, one batch at a time.

    `wait_after(attempt)` gives the seconds to wait after the n-th failure in a row, `now` Unix
    seconds.
    """

    def __init__(
        self,
        journal: DiskJournal,
        store: RecordSink,
        wait_after: Callable[[int], float] = _wait_after,
        now: Callable[[], float] = _now,
    ) -> None:
        self._journal = journal
        self._store = store
        self._wait_after = wait_after
        self._now = now
        self._committed = asyncio.Event()  # since the journal was last read
        self._idle = asyncio.Event()  # nothing committed is left to deliver
        self._hurry = asyncio.Event()  # a flush ends the wait in progress
        self._batch_lock = asyncio.Lock()  # held from reading a batch until it left the journal
        self._delivered = self._retries = self._attempt = 0
        self._failing: str | None = None
        self._logged: dict[str, object] = {}  # of the failure that was logged last
        self._failures: Counter[tuple[str, str]] = Counter()
        self._refused: OrderedDict[str, str] = OrderedDict()
        journal.subscribe(self._on_commit)

    async def run(self) -> NoReturn:
        """Deliver until cancelled; what was not delivered stays in the journal."""
        clock = asyncio.get_running_loop().time
        next_batch_at = clock()
        while True:
            started = clock()
            try:
                self._committed.clear()
                async with self._batch_lock:
                    records = await self._journal.pending(BATCH)
                    if records:
                        next_batch_at = started + BATCH_SECONDS
                        await self._deliver(records)
                self._on_success()
            except Exception as error:  # noqa: BLE001 - anything a store raises is retried
                await self._on_failure(error)
                continue
            if len(records) < BATCH:
                if not self._committed.is_set():
                    self._idle.set()
                await self._committed.wait()
                await self._pause(max(COALESCE_SECONDS, next_batch_at - clock()))

    async def flush(self, within: float) -> bool:
        """Wait until everything appended is stored; False after `within` seconds.

        A failing store is retried at once.
        """
        self._hurry.set()
        try:
            async with asyncio.timeout(within):
                await self._journal.flush()
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def erase(self, user_id: str) -> int:
        """Delete one person's records from the journal while none is on its way to the store.

        Erase them from the store after that: nothing older follows. Waits for a batch in progress,
        at most `PUT_TIMEOUT`. Returns the number of records; raises what `DiskJournal.erase` does.
        """
        async with self._batch_lock:
            return await self._journal.erase(user_id)

    @property
    def state(self) -> DeliveryState:
        """The state right now."""
        journal = self._journal.state
        oldest = journal.oldest_at
        return DeliveryState(
            depth=journal.waiting,
            lag_seconds=0.0 if oldest is None else max(self._now() - oldest, 0.0),
            delivered=self._delivered,
            retries=self._retries,
            set_aside=journal.set_aside,
            refused=tuple(self._refused.items()),
            failing=self._failing,
        )

    @property
    def failures(self) -> Mapping[tuple[str, str], int]:
        """How often the store has failed, by the error's class and HTTP status."""
        return self._failures

    def _on_commit(self, _records: Sequence[AnyRecord]) -> None:
        self._idle.clear()
        self._committed.set()

    async def _deliver(self, records: Sequence[AnyRecord]) -> None:
        """One batch: into the store, then out of the journal."""
        stored = records
        try:
            async with asyncio.timeout(PUT_TIMEOUT):
                await self._store.put(records)
        except RecordsRefused as error:
            refused = [record for record in records if record.id in error.refused]
            stored = [record for record in records if record.id not in error.refused]
            await self._journal.set_aside(refused, error.refused)
            self._report_refused(refused, error)
        await self._journal.mark_delivered(stored)
        self._delivered += len(stored)

    def _report_refused(self, records: Sequence[AnyRecord], error: RecordsRefused) -> None:
        for record in records:
            reason = error.refused[record.id]
            log.error("record set aside", record_id=record.id, reason=reason)
            self._refused[record.id] = reason
        while len(self._refused) > REFUSED_KEPT:
            self._refused.popitem(last=False)

    def _on_success(self) -> None:
        if self._failing is not None:
            log.info("delivery recovered", retries=self._attempt)
        self._failing = None
        self._logged = {}
        self._attempt = 0

    async def _on_failure(self, error: Exception) -> None:
        """Log a new kind of error once, then wait for the next attempt."""
        self._attempt += 1
        self._retries += 1
        fields = error_fields(error)  # never its text: a database may quote the row
        if fields != self._logged:
            log.error("delivery is failing", **fields, depth=self._journal.state.waiting)
        self._logged = fields
        self._failing = fields["reason"]
        self._failures[fields["reason"], str(fields.get("status", ""))] += 1
        await self._pause(self._wait_after(self._attempt))

    async def _pause(self, seconds: float) -> None:
        """Wait, unless a flush is in a hurry."""
        with suppress(TimeoutError):
            # Not wait_for: before Python 3.12 it loses a cancellation that meets the event.
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self._hurry.clear()
