"""Limits how often each of many names does something: a token bucket for each of them."""

from collections import OrderedDict
from collections.abc import Iterator


class TokenBuckets:
    """A bucket for each name, which holds `burst` and regains `per_second`.

    At most `most` names are remembered; the one seen longest ago is dropped first. Times are
    seconds of one clock that never goes back.
    """

    def __init__(self, burst: float, per_second: float, most: int) -> None:
        self._burst = burst
        self._per_second = per_second
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, as of when

    def __len__(self) -> int:
        return len(self._buckets)

    def __iter__(self) -> Iterator[str]:
        """The names, the one seen longest ago first."""
        return iter(self._buckets)

    def take(self, name: str, now: float) -> float:
        """Take one of this name's; returns 0, or how many seconds it has to wait for one.

        What has to wait takes nothing.
        """
        left = self._left(name, now)
        self._buckets.pop(name, None)
        self._buckets[name] = (left - 1.0 if left >= 1.0 else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return self._wait(left)

    def forget(self, name: str) -> None:
        """Give a name a full bucket again."""
        self._buckets.pop(name, None)

    def wait(self, name: str, now: float) -> float:
        """How many seconds this name has to wait for one, 0 if it may take one now.

        Takes nothing, and remembers no name.
        """
        return self._wait(self._left(name, now))

    def _left(self, name: str, now: float) -> float:
        left, before = self._buckets.get(name, (self._burst, now))
        return min(self._burst, left + max(0.0, now - before) * self._per_second)

    def _wait(self, left: float) -> float:
        return 0.0 if left >= 1.0 else (1.0 - left) / self._per_second
