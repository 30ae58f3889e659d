"""Limits by the address of a caller: live sessions, and connects in a minute."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from relay.admission.buckets import TokenBuckets
from relay.realtime.endings import (
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_REQUESTS,
    SessionRefused,
)

MAX_ADDRESSES: Final = 10_000
"""Addresses whose connects are remembered, some 3 MiB; beyond, the one silent for longest goes."""

IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that count: one customer has all the addresses of such a network."""

MINUTE: Final = 60.0


class AddressLimits:
    """The limits of every address; 0 means no limit, and so does an empty address.

    `live` is how many sessions an address may have at once, `per_minute` how many it may begin in a
    minute. Attempts that show no valid token are counted by themselves: who sends none cannot keep
    out a caller behind the same address who does. `now` is in seconds, of a clock that may be set.
    """

    def __init__(self, live: int = 0, per_minute: int = 0) -> None:
        self._most = live
        self._live: Counter[str] = Counter()
        self._connects = ConnectRates(per_minute)
        self._failures = ConnectRates(per_minute)

    def connected(self, address: str, now: float) -> None:
        """Count a caller with a valid token; raises `SessionRefused` after too many."""
        if not self._connects.take(network_of(address), now):
            raise SessionRefused(TOO_MANY_REQUESTS)

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Hold a place for a caller who is let in, while the context lasts.

        Raises `SessionRefused` where the address has too many sessions.
        """
        name = network_of(address)
        if name and 0 < self._most <= self._live[name]:
            raise SessionRefused(TOO_MANY_FROM_ADDRESS)
        self._live[name] += 1
        try:
            yield
        finally:
            self._live[name] -= 1
            if not self._live[name]:
                del self._live[name]

    def failed(self, address: str, now: float) -> None:
        """Count an attempt without a valid token; raises `SessionRefused` after too many."""
        if not self._failures.take(network_of(address), now):
            raise SessionRefused(TOO_MANY_REQUESTS)


class ConnectRates:
    """A token bucket for each address: it holds a minute's connects and is refilled in a minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets = TokenBuckets(per_minute, per_minute / MINUTE, MAX_ADDRESSES)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now: float) -> bool:
        """Take one connect; False where there is none left. What is refused takes nothing."""
        if not name or self._per_minute == 0:
            return True
        return self._buckets.take(name, now) == 0.0


def network_of(address: str) -> str:
    """What counts as one address: IPv4 as it is, of IPv6 the network, other text as it is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return address
