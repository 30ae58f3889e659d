"""A wire peer as a session sees it: messages, faults, buffers, pings."""

import asyncio
from dataclasses import replace

import pytest
import websockets

from relay.interfaces import Connection, Frame
from relay.websocket.client import ConnectOptions, connect
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
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
    fill,
    frame,
)


async def test_messages_go_both_ways_in_order(stage: Stage) -> None:
    listener = await stage.listen()
    async with websockets.connect(f"ws://127.0.0.1:{listener.port}") as client:
        peer, recorder = await stage.arrival(), Recorder()
        peer.attach(recorder)
        for text in ("one", "", "drei äöü €", "x" * 60_000):
            await client.send(text)
            peer.send(text.encode())
            assert await client.recv() == text
        await recorder.until(lambda me: len(me.frames) == 4)
    assert [len(each) for each in recorder.frames] == [3, 0, 15, 60_000]


async def test_it_is_a_peer_and_says_what_it_is(stage: Stage) -> None:
    raw, wire, recorder = await stage.raw_pair()
    peer: Connection = wire
    assert repr(peer) == f"<WirePeer server {wire.remote} open buffered=0>"
    peer.pause()
    assert repr(peer).endswith("open buffered=0 paused>")
    peer.close(4011, "Idle")
    assert repr(peer).endswith("closing buffered=0 (4011, 'Idle')>")
    await recorder.ending()
    assert " gone " in repr(peer)
    assert repr(WebSocketConnection(QUICK)) == "<WirePeer connecting>"
    await raw.hang_up()


# Faults.


class Faulty(Recorder):
    """A receiver that fails with what the other end said in its text."""

    def frame(self, frame: Frame) -> None:
        super().frame(frame)
        raise ValueError(bytes(frame).decode())


async def test_S3_64_a_fault_ends_its_own_connection_and_no_other(stage: Stage) -> None:
    faults: list[Exception] = []
    listener = await stage.listen(ListenOptions(peer=replace(QUICK, on_fault=faults.append)))
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


async def test_a_fault_is_reported_without_what_was_said(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(peer=ConnectionOptions(close_grace=0.05)))
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


async def test_a_fault_while_the_hold_is_delivered_stops_the_delivery(stage: Stage) -> None:
    faults: list[Exception] = []
    listener = await stage.listen(ListenOptions(peer=replace(QUICK, on_fault=faults.append)))
    raw, faulty = await Raw.dial(listener.port), Faulty()
    peer = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2"))
    await raw.round_trip()
    peer.attach(faulty)
    assert faulty.frames == [b"1"]
    assert await faulty.ending() == (1011, "Internal server error")
    assert len(faults) == 1
    await raw.hang_up()


async def test_a_fault_stops_the_delivery_also_when_the_other_end_is_gone(stage: Stage) -> None:
    faults: list[Exception] = []
    listener = await stage.listen(ListenOptions(peer=replace(QUICK, on_fault=faults.append)))
    raw, faulty = await Raw.dial(listener.port), Faulty()
    peer = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2"), frame(CLOSE, b"\x03\xe8"))
    await raw.read_rest()
    peer.attach(faulty)
    assert faulty.told == [("frame", b"1"), ("closed", 1000, "")]
    assert len(faults) == 1
    await raw.hang_up()


@pytest.mark.parametrize("ready", [True, False])
async def test_a_fault_about_the_buffer_ends_the_connection(stage: Stage, ready: bool) -> None:
    faults: list[Exception] = []

    class Picky(Recorder):
        def writable(self, ready_now: bool) -> None:
            super().writable(ready_now)
            if ready_now is ready:
                raise ValueError

    raw, peer, _ = await stage.raw_pair(on_fault=faults.append)
    peer.attach(picky := Picky())
    fill(peer, picky)
    reading = asyncio.ensure_future(raw.reader.read())
    assert await picky.ending() == (1011, "Internal server error")
    assert len(faults) == 1
    await reading
    await raw.hang_up()


async def test_a_fault_about_the_end_is_reported_once(stage: Stage) -> None:
    faults: list[Exception] = []

    class Sore(Recorder):
        def closed(self, code: int, reason: str) -> None:
            super().closed(code, reason)
            raise ValueError

    raw, peer, _ = await stage.raw_pair(on_fault=faults.append)
    peer.attach(sore := Sore())
    raw.reset()
    assert await sore.ending() == (1006, "")
    assert len(faults) == 1


# Buffers.


async def deaf(stage: Stage) -> tuple[Raw, WebSocketConnection, Recorder]:
    """A client that does not read, its peer with a full buffer, and what the receiver was told."""
    listener = await stage.listen()
    raw = await Raw.dial(listener.port, receive_buffer=4096)
    peer, recorder = await stage.arrival(), Recorder()
    peer.attach(recorder)
    fill(peer, recorder)
    assert peer.buffered > QUICK.write_high
    return raw, peer, recorder


async def test_a_full_buffer_is_told_and_so_is_an_empty_one(stage: Stage) -> None:
    raw, peer, recorder = await deaf(stage)
    async with asyncio.timeout(PATIENCE):
        while ("writable", True) not in recorder.told:
            await raw.reader.read(1 << 16)
    assert recorder.told == [("writable", False), ("writable", True)]
    assert peer.buffered <= QUICK.write_low
    raw.reset()
    assert await recorder.ending() == (1006, "")


async def test_a_receiver_that_attaches_late_hears_that_the_buffer_is_full(stage: Stage) -> None:
    raw, peer, _ = await deaf(stage)
    peer.attach(late := Recorder())
    assert late.told == [("writable", False)]
    raw.reset()
    assert await late.ending() == (1006, "")


async def test_a_full_buffer_does_not_hold_up_our_close(stage: Stage) -> None:
    raw, peer, recorder = await deaf(stage)
    peer.close(4013, "Client too slow")
    assert await recorder.ending() == (4013, "Client too slow")
    assert recorder.told == [("writable", False), ("closed", 4013, "Client too slow")]
    raw.reset()


@pytest.mark.parametrize(
    ("last_words", "ending"),
    [
        (frame(CLOSE, b"\x03\xe8"), (1000, "")),
        (frame(0x3), (1002, "")),
        (frame(TEXT, b"\xff"), (1007, "")),
        (frame(TEXT, b"x" * (QUICK.max_message_bytes + 1)), (1009, "")),
    ],
    ids=["a close", "a broken frame", "bad UTF-8", "too much"],
)
async def test_a_full_buffer_does_not_hold_up_the_other_ends_close(
    stage: Stage, last_words: bytes, ending: tuple[int, str]
) -> None:
    raw, _, recorder = await deaf(stage)
    raw.write(last_words)
    assert await recorder.ending() == ending
    raw.reset()


async def test_pings_of_one_who_does_not_read_are_not_answered(stage: Stage) -> None:
    raw, peer, recorder = await deaf(stage)
    before = peer.buffered
    raw.write(frame(PING, b"x" * 125) * 1000, frame(TEXT, b"done"))
    await recorder.until(lambda me: me.frames)
    assert peer.buffered == before
    raw.reset()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [100, 8000, 9000, 60_000])
async def test_what_was_sent_is_what_the_buffer_held_during_the_call(
    stage: Stage, size: int, secure: bool, server_tls, client_tls
) -> None:
    """The buffer belongs to another connection that reads on, so what waits must be a copy."""
    tls = server_tls if secure else None
    listener = await stage.listen(ListenOptions(peer=QUICK, ssl_context=tls))
    url = f"{'wss' if secure else 'ws'}://127.0.0.1:{listener.port}"
    client = await connect(url, (), ConnectOptions(peer=QUICK, ssl_context=client_tls))
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
    await recorder.until(lambda me: len(me.frames) == len(expected))
    assert recorder.frames == expected


# Pings.


async def test_pings_are_counted_until_they_are_answered(stage: Stage) -> None:
    raw, peer, _ = await stage.raw_pair()
    assert peer.ping() == 0
    assert peer.ping() == 1
    kind, first = await raw.read_frame()
    _, second = await raw.read_frame()
    assert kind == PING
    assert peer.ping() == 2

    raw.write(frame(PONG), frame(PONG, b"9"), frame(PONG, b"unasked"), frame(PONG, b"1" * 100))
    await raw.round_trip()
    assert peer.ping() == 3

    raw.write(frame(PONG, second), frame(PONG, first))
    await raw.round_trip()
    assert peer.ping() == 2
    await raw.hang_up()


async def test_a_library_answers_our_pings(stage: Stage) -> None:
    listener = await stage.listen()
    async with websockets.connect(f"ws://127.0.0.1:{listener.port}") as client:
        peer = await stage.arrival()
        assert peer.ping() == 0
        await (await client.ping())
        assert peer.ping() == 0
