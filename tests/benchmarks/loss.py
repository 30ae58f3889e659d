"""A proxy on loopback that delays bytes as TCP does when segments are lost on the way.

Loopback loses nothing, and nothing here needs the rights to make it. So the proxy holds back what
a receiver's TCP would hold back: a lost segment and everything behind it, until it is sent again.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

SEGMENT: Final = 1448
"""Bytes: an Ethernet frame less the headers of IP and TCP with a timestamp."""

LINE_RATE: Final = 1_250_000.0
"""Bytes a second: 10 Mbit/s each way."""

SEND_BUFFER: Final = 256 * 1024
"""Bytes that one direction takes before its sender is no longer read from."""

_MIN_RTO: Final = 0.2  # Linux adds at least this to the round trip
_DUPLICATES: Final = 3  # later segments that arrived, after which TCP sends a missing one again


@dataclass(frozen=True, slots=True)
class Network:
    """A path: the part of its segments that are lost, its round trip in seconds, and a seed."""

    loss: float = 0.0
    round_trip: float = 0.06
    seed: int = 1

    @property
    def timeout(self) -> float:
        """Seconds until an unacknowledged segment is sent again; doubled each time."""
        return self.round_trip + _MIN_RTO

    @property
    def rate(self) -> float:
        """Bytes a second: what congestion control makes of the loss (Mathis et al., 1997)."""
        if self.loss == 0:
            return LINE_RATE
        return min(LINE_RATE, SEGMENT / self.round_trip * math.sqrt(1.5 / self.loss))


@dataclass(slots=True)
class _Segment:
    """`resent` is when a lost one is sent again; `losses` how often it is lost in all."""

    data: bytes
    sent: float
    losses: int
    resent: float
    followers: int = 0


class Flow:
    """One direction of one connection; times are seconds of one clock.

    It retransmits as RFC 6298 and fast retransmit do, without the tail loss probes of newer stacks:
    a segment that fewer than three others follow waits for the timeout.
    """

    def __init__(self, network: Network, stream: int) -> None:
        self._network = network
        self._random = random.Random(f"{network.seed} {stream}")
        self._free_at = 0.0
        self._blocked_until = 0.0
        self._segments: deque[_Segment] = deque()
        self._missing: list[_Segment] = []
        self.waiting = 0  # bytes
        self.lost = 0  # segments that were lost at least once

    def enter(self, data: bytes, now: float) -> None:
        """Take bytes from their sender."""
        for at in range(0, len(data), SEGMENT):
            self._send(data[at : at + SEGMENT], now)
        self.waiting += len(data)

    def block(self, until: float) -> None:
        """Deliver nothing until then, as when every retransmission is lost."""
        self._blocked_until = until

    def next(self) -> float:
        """When something can be delivered; infinity when nothing waits."""
        if not self._segments:
            return math.inf
        return max(self._blocked_until, self._arrival(self._segments[0]))

    def leave(self, now: float) -> bytes:
        """Give what arrives by now, in order."""
        free = []
        while self.next() <= now:
            free.append(self._segments.popleft().data)
        data = b"".join(free)
        self.waiting -= len(data)
        return data

    def _send(self, data: bytes, now: float) -> None:
        network = self._network
        sent = self._free_at = max(now, self._free_at) + len(data) / network.rate
        segment = _Segment(data, sent, self._losses(), sent + network.timeout)
        self._missing = [gap for gap in self._missing if gap.resent > sent]
        if segment.losses:
            self.lost += 1
            self._missing.append(segment)
        else:
            self._acknowledge(sent)
        self._segments.append(segment)

    def _losses(self) -> int:
        count = 0
        while self._random.random() < self._network.loss:
            count += 1
        return count

    def _acknowledge(self, sent: float) -> None:
        """A later segment gets through, so that the sender learns of those that did not."""
        for gap in self._missing:
            gap.followers += 1
            if gap.followers == _DUPLICATES:
                gap.resent = min(gap.resent, sent + self._network.round_trip)

    def _arrival(self, segment: _Segment) -> float:
        way = self._network.round_trip / 2
        if segment.losses == 0:
            return segment.sent + way
        doubled = (1 << segment.losses) - 2  # 0, 2, 2 + 4, … timeouts more
        return segment.resent + doubled * self._network.timeout + way


class Leg:
    """A flow between two sockets."""

    def __init__(self, flow: Flow, target: asyncio.StreamWriter) -> None:
        self.flow = flow
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()

    async def carry(self, source: asyncio.StreamReader) -> None:
        """Pass on what comes, until its end has been delivered."""
        with suppress(OSError):
            while data := await source.read(65536):
                self.flow.enter(data, self._loop.time())
                self._arm()
                await self._at_most(SEND_BUFFER)
            await self._at_most(0)
        self._target.close()

    async def _at_most(self, size: int) -> None:
        while self.flow.waiting > size:
            self._moved.clear()
            await self._moved.wait()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.flow.next()
        self._timer = None if math.isinf(due) else self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        data = self.flow.leave(self._loop.time())
        if data and not self._target.is_closing():
            self._target.write(data)
        self._moved.set()
        self._arm()


class LossyProxy:
    """A proxy to a port of loopback; each connection has a way up and a way down."""

    def __init__(self, network: Network, to: int) -> None:
        self._network = network
        self._to = to
        self._legs: list[Leg] = []
        self.port = 0

    @property
    def lost(self) -> int:
        """Segments that were lost at least once, both ways."""
        return sum(leg.flow.lost for leg in self._legs)

    def block(self, seconds: float) -> None:
        """Deliver nothing on any connection, either way, for so long."""
        until = asyncio.get_running_loop().time() + seconds
        for leg in self._legs:
            leg.flow.block(until)
            leg._arm()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until both ends have closed."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        number = len(self._legs)
        up = Leg(Flow(self._network, number), far_writer)
        down = Leg(Flow(self._network, number + 1), writer)
        self._legs += [up, down]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(up.carry(reader))
            tasks.create_task(down.carry(far_reader))


@asynccontextmanager
async def lossy_proxy(network: Network, to: int) -> AsyncIterator[LossyProxy]:
    """Listen before this port of loopback; `port` is the proxy's own."""
    proxy = LossyProxy(network, to)
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
