"""Answers of a database that are kept for a while: asked for once, and used on while it is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from relay.tasks import Tasks

PAUSE_SECONDS: Final = 5.0
"""After a failure, while what is kept will do: callers need not each wait for the next one."""

V = TypeVar("V")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """`fresh` seconds without asking, `stale` ones when asking fails; `most` names.

    Who can have an old value waits `patience` seconds for a new one.
    """

    fresh: float
    stale: float
    most: int
    patience: float = 1.0


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    read_at: float
    ask_at: float  # not before


class Kept(Generic[V]):
    """Values by name. `read` asks for one; whoever wants it meanwhile waits for the same answer."""

    def __init__(
        self,
        read: Callable[[str], Awaitable[V]],
        terms: Terms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._terms = terms
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[V]] = {}
        self._tasks = Tasks(lambda *_: None)  # what a question raises, those who wait are told

    async def get(self, name: str) -> V:
        """The value; raises what `read` raised when there is none that is recent enough."""
        entry = self._entries.get(name)
        if entry is not None and self._clock() < entry.ask_at:
            self._entries.move_to_end(name)
            return entry.value
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = self._tasks.start(self._ask(name), "kept.ask")
        # Waiting for it alone: a caller who hangs up does not end it for the others.
        usable = entry is not None and self._clock() - entry.read_at < self._terms.stale
        await asyncio.wait({asking}, timeout=self._terms.patience if usable else None)
        return entry.value if entry is not None and not asking.done() else asking.result()

    def doubt(self, name: str, after: float) -> None:
        """Ask again at the next `get`, but not before the value is `after` seconds old."""
        entry = self._entries.get(name)
        if entry is not None:
            entry.ask_at = min(entry.ask_at, entry.read_at + after)

    async def aclose(self) -> None:
        """Give up the questions that are under way."""
        await self._tasks.aclose()

    async def _ask(self, name: str) -> V:
        try:
            value = await self._read(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, an old value serves better
            return self._old(name, error)
        finally:
            del self._asking[name]
        now = self._clock()
        self._entries[name] = _Entry(value, now, now + self._terms.fresh)
        self._entries.move_to_end(name)
        while len(self._entries) > self._terms.most:
            self._entries.popitem(last=False)
        return value

    def _old(self, name: str, error: Exception) -> V:
        """What was known, if that is not too long ago."""
        entry, now = self._entries.get(name), self._clock()
        if entry is None or now - entry.read_at >= self._terms.stale:
            self._entries.pop(name, None)
            raise error
        log.warning("database not asked, what is known is used", reason=type(error).__name__)
        entry.ask_at = now + PAUSE_SECONDS
        return entry.value
