"""How often one caller may ask: a bucket each, of a bounded number of callers."""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from relay.http.api.faults import TOO_MANY_FEEDS, Refused, wait

BURST: Final = 240.0
"""Requests at once; a page asks one a second, and a hundred reconnects must not lock it out."""
PER_SECOND: Final = 20.0
"""Requests that are given back."""
CALLERS: Final = 10_000
"""Buckets kept, 200 bytes each; the caller who was away longest is forgotten first."""
FEEDS: Final = 50
"""Feeds of one caller at once."""


class Rates:
    """`clock` is in seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        burst: float = BURST,
        per_second: float = PER_SECOND,
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, as of when
        self._feeds: Counter[str] = Counter()

    def ask(self, caller: str) -> None:
        """Count one request; raises `Refused` with the seconds to wait."""
        now = self._clock()
        left, before = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - before) * self._per_second)
        self._buckets[caller] = (max(left - 1.0, 0.0) if left >= 1.0 else left, now)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        if left < 1.0:
            raise wait(math.ceil((1.0 - left) / self._per_second))

    @contextmanager
    def feed(self, caller: str) -> Iterator[None]:
        """Hold one of the caller's feeds; raises `Refused` when all are taken."""
        if self._feeds[caller] >= FEEDS:
            raise Refused(TOO_MANY_FEEDS)
        self._feeds[caller] += 1
        try:
            yield
        finally:
            self._feeds[caller] -= 1
            if not self._feeds[caller]:
                del self._feeds[caller]
