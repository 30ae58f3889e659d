"""Tests of one connection: messages, faults, buffers, pausing, pings."""

import asyncio
from dataclasses import replace

import pytest
import websockets

from relay.interfaces import Connection, Frame
from relay.websocket.client import ConnectOptions, connect
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.pings import PingTracker
from relay.websocket.server import ListenOptions
from tests.websocket.ends import (
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    QUICK,
    TEXT,
    Raw,
    Recorder,
    Stage,
    close_payload,
    fill,
    frame,
)


async def test_messages_go_both_ways_in_order(stage: Stage) -> None:
    listener = await stage.listen()
    async with websockets.connect(f"ws://127.0.0.1:{listener.port}") as client:
        connection, recorder = await stage.arrival(), Recorder()
        connection.attach(recorder)
        for text in ("one", "", "drei äöü €", "x" * 60_000):
            await client.send(text)
            connection.send(text.encode())
            assert await client.recv() == text
        await recorder.until(lambda me: len(me.frames) == 4)
    assert [len(each) for each in recorder.frames] == [3, 0, 15, 60_000]


async def test_the_repr_shows_the_state(stage: Stage) -> None:
    raw, wire, recorder = await stage.raw_pair()
    connection: Connection = wire
    assert repr(connection) == f"<WebSocketConnection server {wire.remote} open buffered=0>"
    connection.pause()
    assert repr(connection).endswith("open buffered=0 paused>")
    connection.close(4011, "Idle")
    assert repr(connection).endswith("closing buffered=0 (4011, 'Idle')>")
    await recorder.ending()
    assert " lost " in repr(connection)
    assert repr(WebSocketConnection(QUICK)) == "<WebSocketConnection connecting>"
    await raw.hang_up()


# Faults.


class Faulty(Recorder):
    """A receiver that raises an error with the frame in its text."""

    def frame(self, frame: Frame) -> None:
        super().frame(frame)
        raise ValueError(bytes(frame).decode())


async def test_S3_64_a_fault_ends_its_own_connection_and_no_other(stage: Stage) -> None:
    faults: list[Exception] = []
    listener = await stage.listen(ListenOptions(connection=replace(QUICK, on_fault=faults.append)))
    bad, good = await Raw.dial(listener.port), await Raw.dial(listener.port)
    faulty, sound = Faulty(), Recorder()
    (await stage.arrival()).attach(faulty)
    (await stage.arrival()).attach(sound)

    bad.write(frame(TEXT, b"secret"), frame(TEXT, b"more"))
    assert await bad.read_close() == (1011, "Internal server error")
    assert await faulty.ending() == (1011, "Internal server error")
    assert faulty.frames == [b"secret"]
    assert [repr(fault) for fault in faults] == ["ValueError('secret')"]

    good.write(frame(TEXT, b"still here"))
    await sound.until(lambda me: me.frames == [b"still here"])
    await good.hang_up()
    await bad.hang_up()


async def test_a_fault_is_reported_without_the_text_of_the_frame(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(connection=ConnectionOptions(close_grace=0.05)))
    raw, faulty = await Raw.dial(listener.port), Faulty()
    (await stage.arrival()).attach(faulty)
    raw.write(frame(TEXT, b"secret"))
    await faulty.ending()
    (complaint,) = stage.complaints
    assert list(complaint) == ["message"]
    assert "ValueError in frame (" in str(complaint["message"])
    assert "secret" not in str(complaint["message"])
    stage.complaints.clear()
    await raw.hang_up()


async def test_a_fault_while_pending_frames_are_delivered_stops_the_delivery(stage: Stage) -> None:
    faults: list[Exception] = []
    listener = await stage.listen(ListenOptions(connection=replace(QUICK, on_fault=faults.append)))
    raw, faulty = await Raw.dial(listener.port), Faulty()
    connection = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2"))
    await raw.round_trip()
    connection.attach(faulty)
    assert faulty.frames == [b"1"]
    assert await faulty.ending() == (1011, "Internal server error")
    assert len(faults) == 1
    await raw.hang_up()


async def test_a_fault_stops_the_delivery_also_when_the_other_end_is_gone(stage: Stage) -> None:
    faults: list[Exception] = []
    listener = await stage.listen(ListenOptions(connection=replace(QUICK, on_fault=faults.append)))
    raw, faulty = await Raw.dial(listener.port), Faulty()
    connection = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2"), frame(CLOSE, b"\x03\xe8"))
    await raw.read_rest()
    connection.attach(faulty)
    assert faulty.told == [("frame", b"1"), ("closed", 1000, "")]
    assert len(faults) == 1
    await raw.hang_up()


@pytest.mark.parametrize("ready", [True, False])
async def test_a_fault_in_writable_ends_the_connection(stage: Stage, ready: bool) -> None:
    faults: list[Exception] = []

    class FailsInWritable(Recorder):
        def writable(self, ready_now: bool) -> None:
            super().writable(ready_now)
            if ready_now is ready:
                raise ValueError

    raw, connection, _ = await stage.raw_pair(on_fault=faults.append)
    connection.attach(failing := FailsInWritable())
    fill(connection, failing)
    reading = asyncio.ensure_future(raw.reader.read())
    assert await failing.ending() == (1011, "Internal server error")
    assert len(faults) == 1
    await reading
    await raw.hang_up()


async def test_a_fault_in_closed_is_reported_once(stage: Stage) -> None:
    faults: list[Exception] = []

    class FailsInClosed(Recorder):
        def closed(self, code: int, reason: str) -> None:
            super().closed(code, reason)
            raise ValueError

    raw, connection, _ = await stage.raw_pair(on_fault=faults.append)
    connection.attach(failing := FailsInClosed())
    raw.reset()
    assert await failing.ending() == (1006, "")
    assert len(faults) == 1


# Buffers.


async def full_buffer(stage: Stage) -> tuple[Raw, WebSocketConnection, Recorder]:
    """A client that does not read, its connection with a full write buffer, and the receiver."""
    listener = await stage.listen()
    raw = await Raw.dial(listener.port, receive_buffer=4096)
    connection, recorder = await stage.arrival(), Recorder()
    connection.attach(recorder)
    fill(connection, recorder)
    assert connection.buffered > QUICK.write_high
    return raw, connection, recorder


async def test_the_receiver_is_told_when_the_write_buffer_is_full_and_drained(stage: Stage) -> None:
    raw, connection, recorder = await full_buffer(stage)
    async with asyncio.timeout(PATIENCE):
        while ("writable", True) not in recorder.told:
            await raw.reader.read(1 << 16)
    assert recorder.told == [("writable", False), ("writable", True)]
    assert connection.buffered <= QUICK.write_low
    raw.reset()
    assert await recorder.ending() == (1006, "")


async def test_a_receiver_attached_late_is_told_that_the_write_buffer_is_full(stage: Stage) -> None:
    raw, connection, _ = await full_buffer(stage)
    connection.attach(late := Recorder())
    assert late.told == [("writable", False)]
    raw.reset()
    assert await late.ending() == (1006, "")


async def test_a_full_write_buffer_does_not_delay_our_close(stage: Stage) -> None:
    raw, connection, recorder = await full_buffer(stage)
    connection.close(4013, "Client too slow")
    assert await recorder.ending() == (4013, "Client too slow")
    assert recorder.told == [("writable", False), ("closed", 4013, "Client too slow")]
    raw.reset()


@pytest.mark.parametrize(
    ("farewell_frames", "ending"),
    [
        (frame(CLOSE, b"\x03\xe8"), (1000, "")),
        (frame(0x3), (1002, "")),
        (frame(TEXT, b"\xff"), (1007, "")),
        (frame(TEXT, b"x" * (QUICK.max_message_bytes + 1)), (1009, "")),
    ],
    ids=["a close", "a broken frame", "bad UTF-8", "too much"],
)
async def test_a_full_write_buffer_does_not_delay_the_other_ends_close(
    stage: Stage, farewell_frames: bytes, ending: tuple[int, str]
) -> None:
    raw, _, recorder = await full_buffer(stage)
    raw.write(farewell_frames)
    assert await recorder.ending() == ending
    raw.reset()


async def test_pings_of_a_client_that_does_not_read_are_not_answered(stage: Stage) -> None:
    raw, connection, recorder = await full_buffer(stage)
    before = connection.buffered
    raw.write(frame(PING, b"x" * 125) * 1000, frame(TEXT, b"done"))
    await recorder.until(lambda me: me.frames)
    assert connection.buffered == before
    raw.reset()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [100, 8000, 9000, 60_000])
async def test_a_sent_buffer_may_be_reused_at_once(
    stage: Stage, size: int, secure: bool, server_tls, client_tls
) -> None:
    """The buffer belongs to another connection that reads on, so queued bytes must be a copy."""
    tls = server_tls if secure else None
    listener = await stage.listen(ListenOptions(connection=QUICK, ssl_context=tls))
    url = f"{'wss' if secure else 'ws'}://127.0.0.1:{listener.port}"
    client = await connect(url, (), ConnectOptions(connection=QUICK, ssl_context=client_tls))
    server = await stage.arrival()
    await fill_and_check(server, client, size)
    await fill_and_check(client, server, size)
    client.attach(recorder := Recorder())
    client.close(1000)
    assert await recorder.ending() == (1000, "")


async def fill_and_check(
    sender: WebSocketConnection, taker: WebSocketConnection, size: int
) -> None:
    sender.attach(flow := Recorder())
    taker.attach(recorder := Recorder())
    taker.pause()
    expected = fill(sender, flow, size)
    taker.resume()
    await recorder.until(lambda me: len(me.told) == len(expected))
    assert recorder.frames == expected


# Pings.


async def test_pings_are_counted_until_they_are_answered(stage: Stage) -> None:
    raw, connection, _ = await stage.raw_pair()
    assert connection.ping() == 0
    assert connection.ping() == 1
    kind, first = await raw.read_frame()
    _, second = await raw.read_frame()
    assert kind == PING
    assert connection.ping() == 2

    raw.write(frame(PONG), frame(PONG, b"9"), frame(PONG, b"unasked"), frame(PONG, b"1" * 100))
    await raw.round_trip()
    assert connection.ping() == 3

    raw.write(frame(PONG, second), frame(PONG, first))
    await raw.round_trip()
    assert connection.ping() == 2
    await raw.hang_up()


async def test_a_client_library_answers_our_pings(stage: Stage) -> None:
    listener = await stage.listen()
    async with websockets.connect(f"ws://127.0.0.1:{listener.port}") as client:
        connection = await stage.arrival()
        assert connection.ping() == 0
        await (await client.ping())
        assert connection.ping() == 0


async def test_a_paused_connection_pushes_nothing_until_it_is_resumed(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    other = await Raw.dial(raw.port)
    connection.pause()
    connection.pause()
    raw.write(frame(TEXT, b"1"), frame(CLOSE, close_payload(1000)))
    await raw.writer.drain()
    for _ in range(3):
        await other.round_trip()
    assert recorder.told == []
    connection.resume()
    connection.resume()
    assert await recorder.ending() == (1000, "")
    assert recorder.frames == [b"1"]
    await raw.hang_up()
    await other.hang_up()


async def test_a_paused_connection_that_closes_still_reads_the_answer(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair(close_grace=60.0)
    connection.pause()
    raw.write(frame(TEXT, b"never read by anybody"))
    connection.close(4010, "Session time limit")
    connection.pause()
    assert await raw.read_close() == (4010, "Session time limit")
    raw.write(frame(CLOSE, close_payload(4010)))
    assert await recorder.ending() == (4010, "Session time limit")
    assert recorder.frames == []
    await raw.hang_up()


async def test_a_receiver_may_pause_while_it_is_given_a_frame(stage: Stage) -> None:
    raw, connection, _ = await stage.raw_pair()

    class PausingReceiver(Recorder):
        def closed(self, code: int, reason: str) -> None:
            super().closed(code, reason)

        def frame(self, frame: object) -> None:
            super().frame(frame)  # type: ignore[arg-type]
            connection.pause()

    connection.attach(recorder := PausingReceiver())
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2"))
    await recorder.until(lambda me: me.frames)
    other = await Raw.dial(raw.port)
    raw.write(frame(TEXT, b"3"))
    await raw.writer.drain()
    for _ in range(3):
        await other.round_trip()
    # "2" came in the same read and could not be held back.
    assert recorder.frames == [b"1", b"2"]
    connection.resume()
    await recorder.until(lambda me: me.frames == [b"1", b"2", b"3"])
    await raw.hang_up()
    await other.hang_up()


def test_a_pong_answers_its_ping_and_all_before_it() -> None:
    pings = PingTracker()
    assert [pings.next_payload() for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    pings.on_pong(b"3")
    assert pings.unanswered == 1
    pings.on_pong(b"2")
    assert pings.unanswered == 1
    pings.on_pong(b"4")
    assert pings.unanswered == 0


def test_an_unknown_pong_answers_nothing() -> None:
    pings = PingTracker()
    pings.next_payload()
    for payload in (b"", b"2", b"0", b"-1", b"x", b" 1", b"1.0", "²".encode(), b"9" * 125):
        pings.on_pong(payload)
    assert pings.unanswered == 1
