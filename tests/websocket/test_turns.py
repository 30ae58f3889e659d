"""Many small frames of one connection: a turn of the event loop handles few, and loses none."""

import asyncio
import logging
from dataclasses import replace

import pytest
import websockets

from relay.interfaces import Frame
from relay.websocket.client import ConnectOptions, connect
from relay.websocket.connection import WebSocketConnection
from relay.websocket.picows_protocol import UNATTENDED_BYTES, UNATTENDED_FRAMES
from relay.websocket.pings import PONGS_PER_TURN
from relay.websocket.rates import RateLimits
from relay.websocket.server import ListenOptions
from relay.websocket.turns import FRAMES_PER_TURN
from tests.websocket.ends import (
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    QUICK,
    TEXT,
    Raw,
    Recorder,
    Stage,
    close_payload,
    frame,
)

MANY = 3000
"""Frames; as empty ones they fit into the kernel's buffer for one connection."""


class TurnCounter(Recorder):
    """A receiver that counts the frames of each turn of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = [0]
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._next_turn)

    def frame(self, frame: Frame) -> None:
        super().frame(frame)
        self.turns[-1] += 1

    def closed(self, code: int, reason: str) -> None:
        super().closed(code, reason)
        self._is_counting = False

    def _next_turn(self) -> None:
        self.turns.append(0)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next_turn)


async def test_a_turn_handles_few_frames_of_one_connection(stage: Stage) -> None:
    raw, connection, _ = await stage.raw_pair()
    connection.attach(counter := TurnCounter())
    numbered = [b"%d" % number for number in range(MANY)]
    raw.write(*[frame(TEXT, each) for each in numbered], frame(CLOSE, close_payload(4000)))

    assert await counter.ending() == (4000, "")
    assert counter.frames == numbered
    assert max(counter.turns) <= 2 * FRAMES_PER_TURN
    await raw.hang_up()


async def test_fragments_without_content_are_handled_a_few_at_a_time_too(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    other = await Raw.dial(raw.port)
    begun = connection.frames
    raw.write(frame(TEXT, b"a", fin=False), frame(CONTINUATION, fin=False) * MANY)
    raw.write(frame(CONTINUATION, b"b"))
    steps = [begun]
    while steps[-1] < begun + MANY:
        await other.round_trip()
        steps.append(connection.frames)
    await recorder.until(lambda me: me.frames)

    assert recorder.frames == [b"ab"]
    await raw.hang_up()
    await other.hang_up()


async def test_frames_that_wait_for_their_turn_wait_for_a_paused_receiver(stage: Stage) -> None:
    raw, connection, _ = await stage.raw_pair()
    other = await Raw.dial(raw.port)

    class PausesAtOnce(Recorder):
        def frame(self, frame: Frame) -> None:
            if not self.frames:
                connection.pause()
            super().frame(frame)

    connection.attach(recorder := PausesAtOnce())
    raw.write(frame(TEXT, b"x") * 1000)
    await recorder.until(lambda me: me.frames)
    for _ in range(3):
        await other.round_trip()
    assert len(recorder.frames) <= 2 * FRAMES_PER_TURN

    connection.resume()
    await recorder.until(lambda me: len(me.frames) == 1000)
    await raw.hang_up()
    await other.hang_up()


async def test_the_other_ends_close_may_wait_among_them_when_we_close(stage: Stage) -> None:
    raw, connection, _ = await stage.raw_pair(close_grace=60.0)

    class ClosesAtOnce(Recorder):
        def frame(self, frame: Frame) -> None:
            super().frame(frame)
            connection.close(4010, "Session time limit")

    connection.attach(recorder := ClosesAtOnce())
    raw.write(frame(TEXT, b"x") * 200, frame(CLOSE, close_payload(1000)))

    assert await recorder.ending() == (4010, "Session time limit")
    assert recorder.frames == [b"x"]
    await raw.hang_up()


async def test_a_violation_among_them_ends_the_connection(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(TEXT, b"x") * 200, frame(TEXT, b"\xff"), frame(TEXT, b"x") * 200)

    assert await recorder.ending() == (1007, "")
    assert recorder.frames == [b"x"] * 200
    await raw.hang_up()


@pytest.mark.parametrize("size", [10, 5000])
async def test_many_frames_over_tls_all_come_though_nothing_follows_them(
    stage: Stage, size: int, server_tls, client_tls
) -> None:
    """A TLS transport keeps what it decrypted while it is paused, and has to be asked for it."""
    listener = await stage.listen(ListenOptions(connection=QUICK, ssl_context=server_tls))
    url = f"wss://127.0.0.1:{listener.port}"
    client = await connect(url, (), ConnectOptions(connection=QUICK, ssl_context=client_tls))
    server = await stage.arrival()
    for sender, taker in ((client, server), (server, client)):
        sender.attach(Recorder())
        taker.attach(recorder := Recorder())
        for _ in range(1000):
            sender.send(b"x" * size)
        await received(recorder, 1000)
    client.attach(recorder := Recorder())
    client.close(1000)
    assert await recorder.ending() == (1000, "")


async def received(recorder: Recorder, count: int) -> None:
    await recorder.until(lambda me: len(me.frames) == count)


# Pings.


async def test_of_many_pings_in_a_turn_the_last_is_answered(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(*[frame(PING, b"%d" % number) for number in range(60)])
    answered: list[bytes] = []
    while not answered or answered[-1] != b"59":
        kind, payload = await raw.read_frame()
        assert kind == PONG
        answered.append(payload)

    assert answered[:PONGS_PER_TURN] == [b"%d" % number for number in range(PONGS_PER_TURN)]
    assert len(answered) < 60
    assert recorder.told == []
    await raw.hang_up()


async def test_nothing_is_written_to_a_connection_that_was_reset(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The library would log each write, thousands of them."""
    raw, connection, _ = await stage.raw_pair()
    connection.attach(recorder := Answerer(connection))
    with caplog.at_level(logging.WARNING):
        raw.write(frame(PING, b"x") * 20_000, frame(TEXT, b"x") * 500)
        raw.reset()
        await recorder.ending()

    assert [each for each in caplog.records if each.name == "aiofastnet"] == []


class Answerer(Recorder):
    """A receiver that answers each frame with many."""

    def __init__(self, connection: WebSocketConnection) -> None:
        super().__init__()
        self._connection = connection

    def frame(self, frame: Frame) -> None:
        for _ in range(100):
            self._connection.send(b"y" * 100)


# Before somebody attends.


@pytest.mark.parametrize(
    "piece",
    [frame(TEXT, b""), frame(TEXT, b"x" * 1000), frame(PONG), frame(TEXT, b"x" * 30_000)],
    ids=["empty", "a kilobyte", "pongs", "large"],
)
async def test_little_is_read_until_there_is_a_receiver(stage: Stage, piece: bytes) -> None:
    listener = await stage.listen()
    raw, other = await Raw.dial(listener.port), await Raw.dial(listener.port)
    connection = await stage.arrival()
    (await stage.arrival()).attach(Recorder())
    count = 1 + 300_000 // len(piece) if len(piece) > 100 else 5000
    raw.write(piece * count)
    async with asyncio.timeout(PATIENCE):
        while "paused" not in repr(connection):
            await other.round_trip()
    for _ in range(3):
        await other.round_trip()
    pending = connection._slot._pending

    assert pending is not None
    assert connection.frames <= UNATTENDED_FRAMES
    assert pending.size <= UNATTENDED_BYTES

    connection.attach(recorder := Recorder())
    raw.write(frame(TEXT, b"end"))
    await recorder.until(lambda me: me.frames[-1:] == [b"end"])
    assert connection.frames == count + 1
    await raw.hang_up()
    await other.hang_up()


# The rate.


async def test_who_sends_too_much_is_read_slowly_and_loses_nothing(stage: Stage) -> None:
    limits = RateLimits(burst=512 * 1024, bytes_per_second=8 * 1024 * 1024)
    raw, connection, recorder = await stage.raw_pair(rate=limits)
    began = asyncio.get_running_loop().time()
    raw.write(frame(TEXT, b"x" * 4000) * 512)
    async with asyncio.timeout(PATIENCE):
        while "paused" not in repr(connection):
            await asyncio.sleep(0)
    await received(recorder, 512)

    # Two megabytes, less the burst and what came since the last look.
    assert asyncio.get_running_loop().time() - began > 0.1
    assert connection.ping() == 0
    raw.write(frame(TEXT, b"still here"))
    await received(recorder, 513)
    await raw.hang_up()


async def test_its_pings_do_not_count_against_who_is_read_slowly(stage: Stage) -> None:
    """Its pongs wait behind what it sent, and we do not read that."""
    limits = RateLimits(burst=1024, bytes_per_second=1024 * 1024)
    raw, connection, recorder = await stage.raw_pair(rate=limits)
    assert connection.ping() == 0
    assert connection.ping() == 1
    raw.write(frame(TEXT, b"x" * 4000) * 100)
    await received(recorder, 100)

    assert connection.ping() == 0
    assert connection.ping() == 1
    await raw.hang_up()


async def test_an_engine_may_send_as_fast_as_it_likes(stage: Stage) -> None:
    listener = await stage.listen()
    client = await connect(f"ws://127.0.0.1:{listener.port}", (), ConnectOptions(connection=QUICK))
    server = await stage.arrival()
    server.attach(Recorder())
    client.attach(recorder := Recorder())
    for _ in range(20):
        server.send(b"x" * 50_000)
    await received(recorder, 20)
    assert not client._was_throttled
    client.close(1000)
    await recorder.ending()


async def test_a_flood_of_frames_ends_with_4029(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair(rate=RateLimits(burst=1 << 30))
    now = asyncio.get_running_loop().time()
    for second in range(1, 12):
        connection._granted += 1001
        connection.look(now + second)

    assert await raw.read_close() == (4029, "Too many requests")
    assert await recorder.ending() == (4029, "Too many requests")
    await raw.hang_up()


async def test_a_client_library_is_told_why(stage: Stage) -> None:
    options = replace(QUICK, rate=RateLimits(burst=1 << 30), farewell_frames=lambda _: [b"why"])
    listener = await stage.listen(ListenOptions(connection=options))
    async with websockets.connect(f"ws://127.0.0.1:{listener.port}") as client:
        connection = await stage.arrival()
        connection.attach(Recorder())
        connection.end_for_memory()
        await client.wait_closed()
        assert client.close_code == 1013
        assert client.close_reason == "Server at capacity"
