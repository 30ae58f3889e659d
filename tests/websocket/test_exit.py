"""How a connection ends: who closes, who answers, and what happens when nobody does."""

from dataclasses import replace

import pytest
import websockets

from relay.websocket.server import ListenOptions
from tests.websocket.ends import (
    BINARY,
    CLOSE,
    PING,
    QUICK,
    TEXT,
    Raw,
    Recorder,
    Stage,
    close_payload,
    frame,
)


async def test_the_other_end_closes_with_code_and_reason(stage: Stage) -> None:
    listener = await stage.listen()
    client = await websockets.connect(f"ws://127.0.0.1:{listener.port}")
    peer, recorder = await stage.arrival(), Recorder()
    peer.attach(recorder)
    await client.close(4002, "genug für heute")
    assert (client.close_code, client.close_reason) == (4002, "genug für heute")
    assert await recorder.ending() == (4002, "genug für heute")


async def test_we_close_with_code_and_reason(stage: Stage) -> None:
    listener = await stage.listen()
    client = await websockets.connect(f"ws://127.0.0.1:{listener.port}")
    peer, recorder = await stage.arrival(), Recorder()
    peer.attach(recorder)
    peer.close(4011, "Idle")
    peer.close(1000, "ignored")
    with pytest.raises(websockets.ConnectionClosed):
        await client.recv()
    assert (client.close_code, client.close_reason) == (4011, "Idle")
    assert await recorder.ending() == (4011, "Idle")


async def test_a_close_without_a_code_is_answered_without_one(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(CLOSE))
    assert await raw.read_frame() == (CLOSE, b"")
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (1005, "")
    await raw.hang_up()


@pytest.mark.parametrize("second", [1000, 4000])
async def test_two_closes_at_once_get_one_answer(stage: Stage, second: int) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(CLOSE, close_payload(4001, b"a")), frame(CLOSE, close_payload(second)))
    assert await raw.read_close() == (4001, "a")
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (4001, "a")
    await raw.hang_up()


async def test_two_closes_without_a_code_at_once_get_one_answer(stage: Stage) -> None:
    raw, _, _ = await stage.raw_pair()
    raw.write(frame(CLOSE), frame(CLOSE))
    assert await raw.read_close() == (1000, "")
    assert await raw.read_rest() == b""
    await raw.hang_up()


@pytest.mark.parametrize("code", [0, 1006, 5000])
async def test_a_close_that_may_not_be_is_refused_and_not_waited_for(
    stage: Stage, code: int
) -> None:
    raw, _, recorder = await stage.raw_pair(close_grace=60.0)
    raw.write(frame(CLOSE, close_payload(code)))
    assert await raw.read_close() == (1002, "")
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (1002, "")
    await raw.hang_up()


async def test_what_comes_behind_a_close_is_ignored(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair()
    raw.write(frame(CLOSE, close_payload(1000)), frame(TEXT, b"late"), frame(PING, b"late"))
    assert await raw.read_close() == (1000, "")
    assert await raw.read_rest() == b""
    await recorder.ending()
    assert recorder.frames == []
    peer.send(b"{}")
    peer.close(1000)
    assert peer.ping() == 0
    await raw.hang_up()


async def test_what_comes_after_our_close_is_ignored_but_the_answer_is_not(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair(close_grace=60.0)
    peer.close(4011, "Idle")
    peer.send(b"{}")
    raw.write(frame(TEXT, b"late"), frame(BINARY, b"late"), frame(PING), frame(0x3))
    assert await raw.read_close() == (4011, "Idle")
    raw.write(frame(CLOSE, close_payload(4011)))
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (4011, "Idle")
    assert recorder.frames == []
    await raw.hang_up()


async def test_a_close_that_is_not_answered_is_forced(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair()
    peer.close(4010, "Session time limit")
    assert await recorder.ending() == (4010, "Session time limit")
    assert await raw.read_close() == (4010, "Session time limit")
    assert await raw.read_rest() == b""
    await raw.hang_up()


async def test_a_receiver_that_closes_gets_nothing_more_of_the_same_read(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    peer = await stage.arrival()

    class Closer(Recorder):
        def frame(self, frame: object) -> None:
            super().frame(frame)  # type: ignore[arg-type]
            peer.close(1000, "enough")

    recorder = Closer()
    peer.attach(recorder)
    raw.write(*[frame(TEXT, b"%d" % number) for number in range(20)])
    assert await recorder.ending() == (1000, "enough")
    assert recorder.frames == [b"0"]
    await raw.hang_up()


async def test_a_code_that_may_not_travel_ends_without_a_close_frame(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair()
    peer.close(1006, "")
    assert await recorder.ending() == (1006, "")
    assert await raw.read_rest() == b""
    await raw.hang_up()


async def test_a_long_reason_is_cut_between_characters(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair()
    peer.close(4000, "ä" * 100)
    assert await raw.read_close() == (4000, "ä" * 61)
    assert await recorder.ending() == (4000, "ä" * 100)
    await raw.hang_up()


async def test_an_end_that_vanishes_is_1006(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair()
    await raw.round_trip()
    raw.reset()
    assert await recorder.ending() == (1006, "")
    peer.send(b"{}")
    peer.pause()
    peer.resume()
    peer.close(1000)
    assert peer.ping() == 0
    assert peer.buffered == 0


async def test_an_end_that_hangs_up_without_a_close_is_1006(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(TEXT, b"half a mess", fin=False))
    await raw.hang_up()
    assert await recorder.ending() == (1006, "")
    assert recorder.frames == []


# What the wire itself closes.


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(0x3, b""), 1002),
        (frame(BINARY, b"\x00"), 1003),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x" * (64 * 1024 + 1)), 1009),
        (frame(CLOSE, close_payload(1006)), 1002),
    ],
)
async def test_who_breaks_the_protocol_is_told_why_and_given_up_soon(
    stage: Stage, broken: bytes, code: int
) -> None:
    quick = replace(QUICK, close_grace=60.0, fail_grace=0.05)
    said = ListenOptions(
        peer=quick, last_words=lambda who, ending: [b"%s %d" % (who.path.encode(), ending[0])]
    )
    listener = await stage.listen(said)
    raw = await Raw.dial(listener.port)
    peer, recorder = await stage.arrival(), Recorder()
    peer.attach(recorder)
    raw.write(broken)
    assert await raw.read_frame() == (TEXT, b"/ %d" % code)
    assert (await raw.read_close())[0] == code
    assert (await recorder.ending())[0] == code
    assert await raw.read_rest() == b"", "once, and no answer was waited for"
    await raw.hang_up()


async def test_last_words_that_fail_cost_nobody_the_close(stage: Stage) -> None:
    faults: list[Exception] = []

    def speechless(*_: object) -> list[bytes]:
        raise ValueError

    quick = replace(QUICK, fail_grace=0.05, on_fault=faults.append)
    listener = await stage.listen(ListenOptions(peer=quick, last_words=speechless))
    raw = await Raw.dial(listener.port)
    (await stage.arrival()).attach(Recorder())
    raw.write(frame(BINARY, b"\x00"))
    assert await raw.read_close() == (1003, "")
    assert [type(fault) for fault in faults] == [ValueError]
    await raw.hang_up()


async def test_last_words_are_not_for_who_is_closed_by_its_receiver(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(peer=QUICK, last_words=lambda *_: [b"{}"]))
    raw = await Raw.dial(listener.port)
    peer = await stage.arrival()
    peer.attach(Recorder())
    peer.close(4011, "Idle")
    assert await raw.read_close() == (4011, "Idle")
    await raw.hang_up()
