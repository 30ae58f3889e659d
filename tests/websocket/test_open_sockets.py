"""What is seen of open connections each second: resets, how much waits, buffers to give back."""

import asyncio
import gc
import itertools
import mmap
import socket
import weakref
from dataclasses import replace

import pytest
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # missing in its stub

from relay.websocket.client import ConnectOptions, connect
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import LARGEST_REUSED_BYTES, WebSocketConnection
from relay.websocket.memory import KEPT_BYTES
from relay.websocket.open_sockets import LOOK_SECONDS, OpenSockets, open_sockets
from relay.websocket.picows_protocol import (
    CLIENT_ACK_SECONDS,
    ENGINE_ACK_SECONDS,
    RECEIVE_BUFFER_BYTES,
    PicowsConnection,
)
from relay.websocket.server import ListenOptions
from tests.websocket.ends import (
    CONTINUATION,
    PATIENCE,
    QUICK,
    TEXT,
    Raw,
    Recorder,
    Stage,
    accept,
    frame,
)

MIB = 1024 * 1024
NOTICED = 5.0
"""Seconds within which a reset is seen."""


def protocol_of(connection: WebSocketConnection) -> PicowsConnection:
    assert connection._protocol is not None
    return connection._protocol


# Resets.


@pytest.mark.parametrize("is_paused", [False, True], ids=["reading", "paused"])
async def test_a_reset_that_comes_with_data_is_noticed(stage: Stage, is_paused: bool) -> None:
    raw, connection, recorder = await stage.raw_pair()
    if is_paused:
        connection.pause()
    raw.write(frame(TEXT, b"last words"))
    raw.reset()

    async with asyncio.timeout(NOTICED):
        assert await recorder.ending() == (1006, "")


async def test_an_engines_reset_that_comes_with_data_is_noticed(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = await asyncio.start_server(FarEngine.serve, sock=listening)
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        connection = await connect(url, (), ConnectOptions(connection=QUICK))
        connection.attach(recorder := Recorder())
        connection.send(b"go away")

        async with asyncio.timeout(NOTICED):
            assert await recorder.ending() == (1006, "")
        server.close()


# What a lost connection had.


async def test_what_a_lost_connection_was_read_into_is_released_at_once(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    protocol = weakref.ref(protocol_of(connection))
    gc.disable()  # a collection of cycles comes seldom, and a read buffer may have megabytes
    try:
        raw.reset()
        assert await recorder.ending() == (1006, "")
        async with asyncio.timeout(PATIENCE):
            while protocol() is not None:
                await asyncio.sleep(0)
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [LARGEST_REUSED_BYTES, LARGEST_REUSED_BYTES + 1, 3 * MIB])
async def test_messages_of_any_size_arrive_from_both_sides(stage: Stage, size: int) -> None:
    options = replace(QUICK, max_message_bytes=4 * MIB)
    listener = await stage.listen(ListenOptions(connection=options))
    url = f"ws://127.0.0.1:{listener.port}/v1/realtime"
    client = await connect(url, (), ConnectOptions(connection=options))
    ends = (client, Recorder()), (await stage.arrival(), Recorder())
    for connection, recorder in ends:
        connection.attach(recorder)
    for (sender, _), (_, recorder) in (ends, ends[::-1]):
        sender.send(b"x" * size)
        await recorder.until(lambda heard: heard.frames)
        assert recorder.frames == [b"x" * size]
    client.close(1000)
    await ends[0][1].ending()


class FarEngine:
    """Answers an upgrade, and resets the connection with its first words."""

    @staticmethod
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.partition(": ")[::2] for line in head.splitlines())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept(lines['Sec-WebSocket-Key'])}\r\n\r\n".encode()
        )
        await reader.readexactly(2)
        writer.write(frame(TEXT, b"last words", masked=False))
        Raw(reader, writer).reset()


async def test_who_is_merely_silent_is_left_alone(stage: Stage) -> None:
    """A radio's gap shows nothing; the kernel waits longer than it lasts for acknowledgements."""
    raw, connection, recorder = await stage.raw_pair()
    now = asyncio.get_running_loop().time()
    for second in range(600):
        protocol_of(connection).look(now + second)
    raw.write(frame(TEXT, b"back"))
    await recorder.until(lambda me: me.frames == [b"back"])
    await raw.hang_up()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has this option")
async def test_the_kernel_is_told_how_long_to_wait_and_how_much_to_keep(stage: Stage) -> None:
    listener = await stage.listen()
    near = await connect(f"ws://127.0.0.1:{listener.port}", (), ConnectOptions(connection=QUICK))
    far = await stage.arrival()
    for connection, seconds in ((far, CLIENT_ACK_SECONDS), (near, ENGINE_ACK_SECONDS)):
        opened = protocol_of(connection)._socket
        timeout = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert timeout == seconds * 1000 > 5000
        kept = opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert kept <= 2 * RECEIVE_BUFFER_BYTES
    near.attach(recorder := Recorder())
    near.close(1000)
    await recorder.ending()


# Memory.


class FakeSocket:
    """So many bytes wait in it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.looks = 0
        self.is_ended = False

    def look(self, now: float) -> int:
        self.looks += 1
        return self.size

    def notice_size(self) -> int:
        return 0

    def end_for_memory(self) -> None:
        self.is_ended = True


async def look(sockets: OpenSockets) -> None:
    """Have all of them looked at now."""
    if sockets._timer is not None:
        sockets._timer.cancel()
    sockets._begin()
    for _ in range(3 + len(sockets._sockets)):
        await asyncio.sleep(0)


async def test_the_largest_holders_end_when_too_much_waits() -> None:
    sockets = OpenSockets(bound=1000)
    large, middle, small = FakeSocket(900), FakeSocket(500), FakeSocket(10)
    for each in (large, middle, small):
        sockets.add(each)
    await look(sockets)

    assert (large.is_ended, middle.is_ended, small.is_ended) == (True, False, False)
    for each in (large, middle, small):
        sockets.discard(each)


async def test_new_callers_are_refused_before_that() -> None:
    sockets = OpenSockets(bound=1000)
    assert sockets.has_room
    sockets.add(holder := FakeSocket(800))
    await look(sockets)
    assert not sockets.has_room
    assert not holder.is_ended

    holder.size = 10
    await look(sockets)
    assert sockets.has_room
    sockets.discard(holder)


async def test_who_left_while_the_others_are_looked_at_is_not_counted() -> None:
    """Or new callers would be refused for as long as none comes: nobody looks again."""
    times = itertools.count()
    sockets = OpenSockets(bound=1000, clock=lambda: next(times) * LOOK_SECONDS * 2)
    holders = [FakeSocket(900), FakeSocket(900)]
    for each in holders:
        sockets.add(each)
    sockets._begin()  # there is time for one; they are added up in a later turn
    assert sorted(each.looks for each in holders) == [0, 1]
    for each in holders:
        sockets.discard(each)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(each.looks for each in holders) == [0, 1]
    assert sockets.waiting == 0
    assert sockets.has_room
    assert not any(each.is_ended for each in holders)


async def test_thousands_are_looked_at_in_several_turns() -> None:
    times = itertools.count()
    sockets = OpenSockets(bound=1 << 40, clock=lambda: next(times) * LOOK_SECONDS / 100)
    many = [FakeSocket(1) for _ in range(2000)]
    for each in many:
        sockets.add(each)
    sockets._begin()
    assert 90 <= sum(each.looks for each in many) <= 110
    await look(sockets)
    assert all(each.looks for each in many)
    assert sockets.waiting == len(many)
    for each in many:
        sockets.discard(each)


async def test_no_timer_runs_without_a_connection(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    assert open_sockets()._timer is not None
    raw.reset()
    await recorder.ending()
    await raw.hang_up()
    assert open_sockets()._timer is None


async def roomy(stage: Stage, limit: int = 10 * MIB) -> tuple[Raw, WebSocketConnection, Recorder]:
    listener = await stage.listen(
        ListenOptions(connection=ConnectionOptions(max_message_bytes=limit, close_grace=0.5))
    )
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    connection.attach(recorder := Recorder())
    return raw, connection, recorder


def zero_masked(kind: int, size: int, *, fin: bool = True) -> bytes:
    """A frame of x's whose mask changes nothing, fast to make."""
    return bytes([fin << 7 | kind, 255]) + size.to_bytes(8, "big") + bytes(4) + b"x" * size


async def test_open_fragments_and_an_unfinished_frame_are_counted(stage: Stage) -> None:
    raw, connection, _ = await roomy(stage)
    raw.write(zero_masked(TEXT, MIB, fin=False))
    raw.write(zero_masked(CONTINUATION, 4 * MIB, fin=False)[: 3 * MIB])
    await raw.writer.drain()
    sockets = open_sockets()
    async with asyncio.timeout(PATIENCE):
        while connection.waiting < MIB or sockets.waiting < 4 * MIB:
            await look(sockets)

    assert connection.waiting == MIB
    assert sockets.waiting < 8 * MIB
    raw.reset()
    await raw.hang_up()


async def test_who_holds_most_ends_with_1013(stage: Stage, monkeypatch) -> None:
    holder, connection, recorder = await roomy(stage)
    good, _, other = await roomy(stage)
    sockets = open_sockets()
    monkeypatch.setattr(sockets, "bound", 2 * MIB)
    holder.write(zero_masked(TEXT, 3 * MIB, fin=False))
    async with asyncio.timeout(PATIENCE):
        while connection.waiting < 3 * MIB:
            await good.round_trip()
    await look(sockets)

    assert await recorder.ending() == (1013, "Server at capacity")
    good.write(frame(TEXT, b"unharmed"))
    await other.until(lambda me: me.frames == [b"unharmed"])
    await look(sockets)
    assert sockets.has_room
    await holder.hang_up()
    await good.hang_up()


async def test_a_read_buffer_is_given_back_after_a_large_message(stage: Stage) -> None:
    raw, connection, recorder = await roomy(stage)
    raw.write(zero_masked(TEXT, 8 * MIB))
    await recorder.until(lambda me: me.frames)
    protocol = protocol_of(connection)
    buffer = WSProtocol.get_buffer(protocol, -1)
    assert buffer[4 * MIB] == ord("x")

    protocol.look(0.0)

    given_back = buffer[KEPT_BYTES + mmap.PAGESIZE : 8 * MIB]
    assert given_back == bytes(len(given_back))
    raw.write(zero_masked(TEXT, 8 * MIB), frame(TEXT, b"small"))
    await recorder.until(lambda me: len(me.frames) == 3)
    assert recorder.frames[1:] == [b"x" * 8 * MIB, b"small"]
    await raw.hang_up()


async def test_a_buffer_that_was_large_once_does_not_bring_many_frames(stage: Stage) -> None:
    raw, connection, recorder = await roomy(stage)
    raw.write(zero_masked(TEXT, 4 * MIB))
    await recorder.until(lambda me: me.frames)
    protocol_of(connection).look(0.0)
    raw.write(frame(TEXT, b"") * 30_000)
    most = 0
    async with asyncio.timeout(PATIENCE):
        while len(recorder.frames) < 30_001:
            await asyncio.sleep(0)
            most = max(most, len(connection._held))

    assert most <= 32 * 1024 // 6
    await raw.hang_up()
