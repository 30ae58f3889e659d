"""From the journal to the store: batched, in order, again until it works, each word once."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import structlog

from relay.interfaces import RecordsRefused
from relay.realtime.records import AnyRecord
from relay.stores.journal.journal import DiskJournal

# ---- How long to wait before a store is tried again; pure.

FIRST = 0.25
"""Seconds that the first wait lasts at most."""
LONGEST = 30.0
"""Seconds that no wait exceeds, so that a store is used soon after it returns."""
_DOUBLINGS = 16
"""More of them change nothing below `LONGEST`; keeps the power small on a long outage."""


def backoff(attempt: int, draw: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1), `draw` being random in [0, 1).

    Twice as long each time, capped; between half of that and all of it, so that many relays do not
    come back to a database in step.
    """
    longest = min(FIRST * 2.0 ** min(attempt - 1, _DOUBLINGS), LONGEST)
    return longest * (0.5 + draw / 2)


BATCH = 256
"""Most records given to the store at once. 4,200 a second go through to PostgREST like that; 128,
512 and 1024 are as fast within what two runs differ by (docs/benchmarks)."""
PUT_TIMEOUT = 30.0
"""Seconds after which a store that has not answered counts as failed."""
GATHER_SECONDS = 0.02
"""After a commit that ends a quiet while, until it is taken: what belongs to it comes as well."""
BATCH_SECONDS = 0.1
"""From the beginning of one batch to the next one's, while they are not full. A batch costs a
request and two transactions however few records it has: so there are ten a second at most, and they
grow with what is said. Who follows a call from the database waits for this: so it is no longer."""
NAMES_KEPT = 100
"""Set-aside records that are named in the state; all of them are counted."""

log = structlog.get_logger(__name__)


class RecordSink(Protocol):
    """What delivery asks of a store."""

    async def put(self, records: Sequence[AnyRecord]) -> None:
        """Write records, as `relay.interfaces.Store.put` says it."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How delivery is, for /ready and /metrics.

    `depth` records wait for the store, the oldest for `lag_seconds`. `delivered` and `retries`
    count since the start. `set_aside` records are on disk but will not be tried before a restart;
    `names` has the latest of them with the reason. `failing` names the trouble, None when well.
    """

    depth: int
    lag_seconds: float
    delivered: int
    retries: int
    set_aside: int
    names: tuple[tuple[str, str], ...]
    failing: str | None


def _wait_after(attempt: int) -> float:
    return backoff(attempt, random.random())  # noqa: S311 - jitter, not a secret


def _now() -> float:
    return datetime.now(UTC).timestamp()


class Delivery:
    """Moves committed records from `journal` to `store`, oldest first, one batch at a time.

    `wait_after(attempt)` says how many seconds to wait after the n-th failure in a row, `now` is
    in Unix seconds.
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
        self._work = asyncio.Event()
        self._done = asyncio.Event()
        self._hurry = asyncio.Event()
        self._turn = asyncio.Lock()  # held from taking a batch until it is out of the journal
        self._delivered = self._retries = self._attempt = 0
        self._failing: str | None = None
        self._names: OrderedDict[str, str] = OrderedDict()
        journal.subscribe(self._wake)

    async def run(self) -> NoReturn:
        """Deliver for ever; cancel it to stop. What was not delivered stays in the journal."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            begun = clock()
            try:
                self._work.clear()
                async with self._turn:
                    records = await self._journal.pending(BATCH)
                    if records:
                        due = begun + BATCH_SECONDS
                        await self._deliver(records)
                self._succeeded()
            except Exception as error:  # noqa: BLE001 - whatever a store raises is tried again
                await self._failed(error)
                continue
            if len(records) < BATCH:
                if not self._work.is_set():  # nothing was committed since we looked
                    self._done.set()
                await self._work.wait()
                await self._rest(max(GATHER_SECONDS, due - clock()))

    async def flush(self, within: float) -> bool:
        """Wait until the store has everything that was appended; False after `within` seconds.

        A store that is being waited for is tried again at once.
        """
        self._hurry.set()
        try:
            async with asyncio.timeout(within):
                await self._journal.settled()
                await self._done.wait()
        except TimeoutError:
            return False
        return True

    async def erase(self, user_id: str) -> int:
        """Delete one person from the journal when none of it is on its way to the store.

        Erase them from the store after that: nothing of before follows. Waits for a batch that is
        under way, `PUT_TIMEOUT` at most; raises what `DiskJournal.erase` does.
        """
        async with self._turn:
            return await self._journal.erase(user_id)

    @property
    def state(self) -> DeliveryState:
        """How delivery is right now."""
        journal = self._journal.state
        oldest = journal.oldest_at
        return DeliveryState(
            depth=journal.waiting,
            lag_seconds=0.0 if oldest is None else max(self._now() - oldest, 0.0),
            delivered=self._delivered,
            retries=self._retries,
            set_aside=journal.set_aside,
            names=tuple(self._names.items()),
            failing=self._failing,
        )

    def _wake(self, _records: Sequence[AnyRecord]) -> None:
        self._done.clear()
        self._work.set()

    async def _deliver(self, records: Sequence[AnyRecord]) -> None:
        """One batch: to the store, then out of the journal."""
        stored = records
        try:
            async with asyncio.timeout(PUT_TIMEOUT):
                await self._store.put(records)
        except RecordsRefused as refusal:
            refused = [record for record in records if record.id in refusal.refused]
            stored = [record for record in records if record.id not in refusal.refused]
            await self._journal.set_aside(refused, refusal.refused)
            self._name(refused, refusal)
        await self._journal.mark_delivered(stored)
        self._delivered += len(stored)

    def _name(self, records: Sequence[AnyRecord], refusal: RecordsRefused) -> None:
        """Say which records the store will never take."""
        for record in records:
            reason = refusal.refused[record.id]
            log.error("record set aside", record_id=record.id, reason=reason)
            self._names[record.id] = reason
        while len(self._names) > NAMES_KEPT:
            self._names.popitem(last=False)

    def _succeeded(self) -> None:
        if self._failing is not None:
            log.info("delivery works again", retries=self._attempt)
        self._failing = None
        self._attempt = 0

    async def _failed(self, error: Exception) -> None:
        """Name the trouble, log it once, and wait for the next attempt."""
        self._attempt += 1
        self._retries += 1
        name = type(error).__name__  # never its text: a database may quote the row
        if name != self._failing:
            log.error("delivery is failing", reason=name, depth=self._journal.state.waiting)
        self._failing = name
        await self._rest(self._wait_after(self._attempt))

    async def _rest(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry."""
        with suppress(TimeoutError):
            # Not wait_for: before Python 3.12 it loses a cancellation that meets the event.
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self._hurry.clear()
