"""Connections that send much have a bounded part of the event loop's time, all together."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from picows.picows import WSProtocol  # type: ignore[attr-defined]  # missing in its stub

from relay.interfaces import Frame
from relay.websocket.busy import TURN_SECONDS, BusyConnections
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.picows_protocol import (
    GROWN_READ_BYTES,
    LEAST_READ_BYTES,
    BusyPicowsConnection,
    PicowsConnection,
    busy_window,
)
from relay.websocket.rates import RateLimits
from relay.websocket.server import ListenOptions
from tests.websocket.ends import PATIENCE, TEXT, Raw, Recorder, Stage, frame

MIB = 1024 * 1024
LARGE = 3 * MIB


@dataclass
class Work:
    """Shares of work on a clock of their own, in the order in which they were done."""

    now: float = 0.0
    done: list[str] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def do(self, name: str, seconds: float) -> None:
        self.now += seconds
        self.done.append(name)


class Reader:
    """Records whether it waits."""

    def __init__(self) -> None:
        self.waits = False

    def set_waiting(self, waiting: bool) -> None:
        self.waits = waiting


class TurnsOfTheLoop:
    """Counts the turns of the running event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._goes_on = True
        self._next()

    def _next(self) -> None:
        self.number += 1
        if self._goes_on:
            asyncio.get_running_loop().call_soon(self._next)

    def stop(self) -> None:
        self._goes_on = False


# The rule.


async def test_shares_of_many_fill_no_turn_beyond_its_time_and_keep_their_order() -> None:
    work = Work()
    busy = BusyConnections(work.clock)
    for name in "abcdefgh":
        busy.handle(partial(work.do, name, 0.3 * TURN_SECONDS))
    turns, counts = TurnsOfTheLoop(), Counter[int]()
    async with asyncio.timeout(PATIENCE):
        while len(work.done) < 8:
            before = len(work.done)
            await asyncio.sleep(0)
            counts[turns.number] += len(work.done) - before
    turns.stop()

    assert work.done == list("abcdefgh")
    assert max(counts.values()) <= 4


async def test_all_wait_when_one_took_too_long_and_are_read_on_later() -> None:
    busy = BusyConnections(Work().clock)
    readers = [Reader(), Reader()]
    for each in readers:
        busy.join(each)
        assert each.waits  # what made it busy was not measured
    await until_read_on(*readers)

    assert busy.spend(TURN_SECONDS / 2, readers[0])
    assert not any(each.waits for each in readers)
    assert not busy.spend(TURN_SECONDS, readers[0])
    assert all(each.waits for each in readers)
    busy.join(late := Reader())
    assert late.waits
    busy.leave(late)
    assert not late.waits
    await until_read_on(*readers)


async def until_read_on(*readers: Reader) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(each.waits for each in readers):
            await asyncio.sleep(0)


async def test_who_was_read_last_is_read_on_last() -> None:
    order: list[str] = []

    class Named(Reader):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def set_waiting(self, waiting: bool) -> None:
            super().set_waiting(waiting)
            if not waiting:
                order.append(self.name)

    busy = BusyConnections(Work().clock)
    first, second = Named("first"), Named("second")
    busy.join(first)
    busy.join(second)
    await until_read_on(first, second)
    order.clear()
    busy.spend(2 * TURN_SECONDS, first)
    await until_read_on(first, second)

    assert order == ["second", "first"]


def test_reads_shrink_while_frames_wait_and_grow_again() -> None:
    window = GROWN_READ_BYTES
    for _ in range(4):
        window = busy_window(window, is_behind=True)
    assert window == LEAST_READ_BYTES
    for _ in range(4):
        window = busy_window(window, is_behind=False)
    assert window == GROWN_READ_BYTES


# Connections.


def has_come(last: bytes, recorder: Recorder) -> bool:
    return recorder.frames[-1] == last


async def until_read(protocol: PicowsConnection) -> None:
    """Wait until most of a large message was read, without having anybody notice it."""
    async with asyncio.timeout(PATIENCE):
        while len(WSProtocol.get_buffer(protocol, -1)) < LARGE // 4:
            await asyncio.sleep(0)


def protocol_of(connection: WebSocketConnection) -> PicowsConnection:
    assert connection._protocol is not None
    return connection._protocol


async def test_a_flood_of_tiny_frames_is_read_in_small_pieces(stage: Stage) -> None:
    """A read buffer doubles with each read that fills it, so the next would bring ever more."""
    raw, connection, recorder = await stage.raw_pair()
    raw.write(frame(TEXT, b"") * 10_000)
    most = 0
    async with asyncio.timeout(PATIENCE):
        while len(recorder.told) < 10_000:
            await asyncio.sleep(0)
            most = max(most, len(connection._held))

    assert 0 < most <= 2 * 8192 // 6
    await raw.hang_up()


async def test_who_has_caught_up_is_read_like_everybody(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    protocol = protocol_of(connection)
    raw.write(frame(TEXT, b"x") * 3000)
    async with asyncio.timeout(PATIENCE):
        while type(protocol) is not BusyPicowsConnection:
            await asyncio.sleep(0)
    await recorder.until(lambda me: len(me.frames) == 3000)

    for number in range(10):
        raw.write(frame(TEXT, b"%d" % number))
        await recorder.until(partial(has_come, b"%d" % number))
    protocol.look(asyncio.get_running_loop().time())

    assert type(protocol) is PicowsConnection
    raw.write(frame(TEXT, b"z"))
    await recorder.until(lambda me: me.frames[-1] == b"z")
    await raw.hang_up()


class Worker(Recorder):
    """A receiver that takes a while for each message, and notes the turn in which it came."""

    def __init__(self, turns: TurnsOfTheLoop, came: Counter[int]) -> None:
        super().__init__()
        self._turns = turns
        self._came = came

    def frame(self, frame: Frame) -> None:
        self._note(("frame", len(frame)))
        self._came[self._turns.number] += 1
        until = time.thread_time() + 2 * TURN_SECONDS
        while time.thread_time() < until:
            pass


async def test_of_large_messages_that_end_together_a_turn_handles_one(stage: Stage) -> None:
    options = ConnectionOptions(max_message_bytes=LARGE)
    listener = await stage.listen(ListenOptions(connection=options))
    turns, came = TurnsOfTheLoop(), Counter[int]()
    event = bytes([0x80 | TEXT, 255]) + LARGE.to_bytes(8, "big") + bytes(4) + b"x" * LARGE
    raws, workers = [], []
    for _ in range(5):
        raws.append(await Raw.dial(listener.port))
        workers.append(Worker(turns, came))
        connection = await stage.arrival()
        connection.attach(workers[-1])
        raws[-1].write(event[:-1])
        await until_read(protocol_of(connection))
    for raw in raws:
        raw.write(event[-1:])
    for worker in workers:
        await worker.until(lambda me: me.told)
    turns.stop()

    assert all(worker.told[0] == ("frame", LARGE) for worker in workers)
    assert sorted(came.values()) == [1] * 5
    for raw in raws:
        await raw.hang_up()


async def test_who_leaves_while_not_read_is_noticed(stage: Stage) -> None:
    """What a flooder had sent stands before its farewell, and would be read for minutes."""
    slow = RateLimits(burst=1024, bytes_per_second=1.0)
    raw, connection, recorder = await stage.raw_pair(rate=slow)
    raw.write(frame(TEXT, b"x" * 1000) * 2000)
    async with asyncio.timeout(PATIENCE):
        while "paused" not in repr(connection):
            await asyncio.sleep(0)
    raw.writer.close()

    assert await recorder.ending() == (1006, "")
