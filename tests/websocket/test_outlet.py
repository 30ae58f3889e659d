"""What comes before anybody is attached: kept in order, bounded, and then delivered."""

import asyncio

import pytest

from relay.interfaces import Frame
from relay.websocket.connection import MAX_HELD_BYTES, MAX_HELD_FRAMES, ReceiverSlot
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


async def test_what_was_held_comes_first_and_in_order(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    peer = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2", fin=False), frame(0, b"3"))
    await raw.round_trip()
    peer.attach(recorder := Recorder())
    assert recorder.told == [("frame", b"1"), ("frame", b"23")]
    raw.write(frame(TEXT, b"4"))
    await recorder.until(lambda me: len(me.frames) == 3)
    assert recorder.frames == [b"1", b"23", b"4"]
    await raw.hang_up()


async def test_what_came_with_the_upgrade_request_is_held(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.connect(listener.port)
    raw.write(upgrade(), frame(TEXT, b"eager"))
    await raw.read_head()
    (await stage.arrival()).attach(recorder := Recorder())
    await recorder.until(lambda me: me.frames == [b"eager"])
    await raw.hang_up()


async def test_an_end_that_came_meanwhile_is_told_last(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    peer = await stage.arrival()
    raw.write(frame(TEXT, b"1"), frame(CLOSE, close_payload(4000, b"bye")))
    await raw.read_rest()
    peer.attach(recorder := Recorder())
    assert recorder.told == [("frame", b"1"), ("closed", 4000, "bye")]
    peer.attach(late := Recorder())
    assert late.told == [("closed", 4000, "bye")]
    await raw.hang_up()


async def test_our_own_close_empties_the_hold(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    peer = await stage.arrival()
    raw.write(frame(TEXT, b"1"))
    await raw.round_trip()
    peer.close(4001, "Unauthorized")
    peer.attach(recorder := Recorder())
    assert recorder.told == []
    assert await recorder.ending() == (4001, "Unauthorized")
    assert recorder.frames == []
    await raw.hang_up()


@pytest.mark.parametrize("size", [10, 60_000])
async def test_a_full_hold_stops_the_reading(stage: Stage, size: int) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    peer = await stage.arrival()
    total = 64 * MAX_HELD_FRAMES if size == 10 else 16 * MAX_HELD_BYTES // size
    piece = frame(TEXT, b"x" * size)
    writing = asyncio.ensure_future(write_all(raw, piece, total))
    hold = peer._outlet._hold
    assert hold
    other = await Raw.dial(listener.port)
    async with asyncio.timeout(PATIENCE):
        while "paused" not in repr(peer):
            await other.round_trip()
    # Whatever one read brought is taken, and nothing after it.
    held = len(hold.frames)
    await other.round_trip()
    assert len(hold.frames) == held < total
    assert hold.size < 2 * MAX_HELD_BYTES

    peer.attach(recorder := Recorder())
    await recorder.until(lambda me: len(me.frames) == total)
    await writing
    await raw.hang_up()
    await other.hang_up()


async def write_all(raw: Raw, piece: bytes, count: int) -> None:
    for _ in range(count):
        raw.write(piece)
        await raw.writer.drain()


async def test_the_next_receiver_takes_over(stage: Stage) -> None:
    raw, peer, first = await stage.raw_pair()
    raw.write(frame(TEXT, b"1"))
    await raw.round_trip()
    peer.attach(second := Recorder())
    raw.write(frame(TEXT, b"2"))
    await raw.round_trip()
    assert (first.frames, second.frames) == ([b"1"], [b"2"])
    await raw.hang_up()


async def test_a_receiver_may_pass_the_peer_on_at_its_first_frame(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    peer, second = await stage.arrival(), Recorder()

    class Doorman(Recorder):
        def frame(self, frame: Frame) -> None:
            super().frame(frame)
            peer.attach(second)

    raw.write(*[frame(TEXT, b"%d" % number) for number in range(4)], frame(CLOSE))
    await raw.read_rest()
    peer.attach(first := Doorman())
    assert first.told == [("frame", b"0")]
    assert second.told == [("frame", b"%d" % n) for n in (1, 2, 3)] + [("closed", 1005, "")]
    await raw.hang_up()


def test_a_frame_is_copied_because_its_buffer_is_not_ours() -> None:
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
