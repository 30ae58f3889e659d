"""Single-flight cache for database lookups that serves stale values while the database is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from relay.tasks import Tasks, error_fields

RETRY_SECONDS: Final = 5.0
"""After a failed lookup, while a stale value is served: not every caller waits for the next one."""

V = TypeVar("V")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Seconds that a value is `fresh`, and `stale` but usable when a lookup fails.

    A caller who can have a stale value waits `patience` seconds for a fresh one. The cache holds
    at most `max_entries`.
    """

    fresh: float
    stale: float
    max_entries: int
    patience: float = 1.0


@dataclass(slots=True)
class _CacheEntry(Generic[V]):
    value: V
    read_at: float
    refresh_at: float


class StaleCache(Generic[V]):
    """Values by key. `read` looks one up; callers who want it meanwhile share that lookup."""

    def __init__(
        self,
        read: Callable[[str], Awaitable[V]],
        policy: CachePolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._policy = policy
        self._clock = clock
        self._entries: OrderedDict[str, _CacheEntry[V]] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[V]] = {}
        self._tasks = Tasks(lambda *_: None)  # the callers who wait get a lookup's error

    async def get(self, key: str) -> V:
        """The value; raises what `read` raised where no value is recent enough."""
        entry = self._entries.get(key)
        if entry is not None and self._clock() < entry.refresh_at:
            self._entries.move_to_end(key)
            return entry.value
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = self._tasks.start(self._look_up(key), "cache.lookup")
        # wait() does not cancel it: a caller who hangs up does not end it for the others.
        usable = entry is not None and self._clock() - entry.read_at < self._policy.stale
        await asyncio.wait({lookup}, timeout=self._policy.patience if usable else None)
        return entry.value if entry is not None and not lookup.done() else lookup.result()

    def expire(self, key: str, min_age: float) -> None:
        """Look the value up again at the next `get`, but not before it is `min_age` seconds old."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.refresh_at = min(entry.refresh_at, entry.read_at + min_age)

    async def aclose(self) -> None:
        """Cancel the lookups in progress."""
        await self._tasks.aclose()

    async def _look_up(self, key: str) -> V:
        try:
            value = await self._read(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, a stale value serves better
            return self._stale_value(key, error)
        finally:
            del self._lookups[key]
        now = self._clock()
        self._entries[key] = _CacheEntry(value, now, now + self._policy.fresh)
        self._entries.move_to_end(key)
        while len(self._entries) > self._policy.max_entries:
            self._entries.popitem(last=False)
        return value

    def _stale_value(self, key: str, error: Exception) -> V:
        """The last value if it is not too old; raises `error` otherwise."""
        entry, now = self._entries.get(key), self._clock()
        if entry is None or now - entry.read_at >= self._policy.stale:
            self._entries.pop(key, None)
            raise error
        log.warning("database lookup failed; using the last value", **error_fields(error))
        entry.refresh_at = now + RETRY_SECONDS
        return entry.value
