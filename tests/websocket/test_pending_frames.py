"""Tests of frames that come before a receiver is attached: kept in order, bounded, delivered."""

import asyncio

import pytest

from relay.interfaces import Frame
from relay.websocket.receivers import MAX_PENDING_BYTES, MAX_PENDING_FRAMES, ReceiverSlot
from tests.websocket.ends import (
    CLOSE,
    PATIENCE,
    TEXT,
    Raw,
    Recorder,
    Stage,
    close_payload,
    frame,
    upgrade,
)


async def test_pending_frames_are_delivered_first_and_in_order(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2", fin=False), frame(0, b"3"))
    await raw.round_trip()
    connection.attach(recorder := Recorder())
    assert recorder.told == [("frame", b"1"), ("frame", b"23")]
    raw.write(frame(TEXT, b"4"))
    await recorder.until(lambda me: len(me.frames) == 3)
    assert recorder.frames == [b"1", b"23", b"4"]
    await raw.hang_up()


async def test_a_frame_sent_with_the_upgrade_request_is_kept(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.connect(listener.port)
    raw.write(upgrade(), frame(TEXT, b"eager"))
    await raw.read_head()
    (await stage.arrival()).attach(recorder := Recorder())
    await recorder.until(lambda me: me.frames == [b"eager"])
    await raw.hang_up()


async def test_a_close_before_the_receiver_is_told_after_the_pending_frames(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(CLOSE, close_payload(4000, b"bye")))
    await raw.read_rest()
    connection.attach(recorder := Recorder())
    assert recorder.told == [("frame", b"1"), ("closed", 4000, "bye")]
    connection.attach(late := Recorder())
    assert late.told == [("closed", 4000, "bye")]
    await raw.hang_up()


async def test_our_own_close_discards_the_pending_frames(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    raw.write(frame(TEXT, b"1"))
    await raw.round_trip()
    connection.close(4001, "Unauthorized")
    connection.attach(recorder := Recorder())
    assert recorder.told == []
    assert await recorder.ending() == (4001, "Unauthorized")
    assert recorder.frames == []
    await raw.hang_up()


@pytest.mark.parametrize("size", [10, 60_000])
async def test_too_many_pending_frames_stop_the_reading(stage: Stage, size: int) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    total = 64 * MAX_PENDING_FRAMES if size == 10 else 16 * MAX_PENDING_BYTES // size
    piece = frame(TEXT, b"x" * size)
    writing = asyncio.ensure_future(write_all(raw, piece, total))
    pending = connection._slot._pending
    assert pending
    other = await Raw.dial(listener.port)
    async with asyncio.timeout(PATIENCE):
        while "paused" not in repr(connection):
            await other.round_trip()
    # All that one read brought is kept, and nothing after it.
    kept = len(pending.frames)
    await other.round_trip()
    assert len(pending.frames) == kept < total
    assert pending.size < 2 * MAX_PENDING_BYTES

    connection.attach(recorder := Recorder())
    await recorder.until(lambda me: len(me.frames) == total)
    await writing
    await raw.hang_up()
    await other.hang_up()


async def write_all(raw: Raw, piece: bytes, count: int) -> None:
    for _ in range(count):
        raw.write(piece)
        await raw.writer.drain()


async def test_a_second_receiver_replaces_the_first(stage: Stage) -> None:
    raw, connection, first = await stage.raw_pair()
    raw.write(frame(TEXT, b"1"))
    await raw.round_trip()
    connection.attach(second := Recorder())
    raw.write(frame(TEXT, b"2"))
    await raw.round_trip()
    assert (first.frames, second.frames) == ([b"1"], [b"2"])
    await raw.hang_up()


async def test_a_receiver_may_attach_another_at_its_first_frame(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    connection, second = await stage.arrival(), Recorder()

    class Forwarder(Recorder):
        def frame(self, frame: Frame) -> None:
            super().frame(frame)
            connection.attach(second)

    raw.write(*[frame(TEXT, b"%d" % number) for number in range(4)], frame(CLOSE))
    await raw.read_rest()
    connection.attach(first := Forwarder())
    assert first.told == [("frame", b"0")]
    assert second.told == [("frame", b"%d" % n) for n in (1, 2, 3)] + [("closed", 1005, "")]
    await raw.hang_up()


def test_a_pending_frame_is_a_copy() -> None:
    outlet = ReceiverSlot(lambda: None, lambda _: None)
    buffer = bytearray(b"one")
    outlet.receiver.frame(memoryview(buffer))
    buffer[:] = b"two"
    told: list[bytes] = []

    class Taker:
        def frame(self, frame: bytes) -> None:
            told.append(frame)

        def writable(self, ready: bool) -> None: ...

        def closed(self, code: int, reason: str) -> None: ...

    outlet.attach(Taker())  # type: ignore[arg-type]
    assert told == [b"one"]
