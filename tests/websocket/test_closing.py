"""Tests of closing: codes and reasons, either end's close frame, deadlines, the default limits."""

from dataclasses import replace

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from relay.websocket.client import ConnectOptions
from relay.websocket.closing import (
    MAX_REASON_BYTES,
    ConnectionOptions,
    ProtocolViolation,
    encode_reason,
    ending_of_violation,
    may_be_sent,
    read_close,
)
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


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4001, 4999])
def test_a_valid_close_code_may_be_sent(code: int) -> None:
    assert may_be_sent(code)
    assert read_close(code.to_bytes(2, "big") + "ä".encode()) == (code, "ä")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_reserved_close_code_may_not_be_sent(code: int) -> None:
    assert not may_be_sent(code)
    with pytest.raises(ProtocolViolation) as violation:
        read_close(code.to_bytes(2, "big"))
    assert violation.value.ending.code == 1002


def test_a_close_frame_without_a_code_is_read_as_1005() -> None:
    assert read_close(b"") == (1005, "")


@given(st.binary(max_size=125))
def test_any_close_payload_is_read_or_refused_with_a_valid_code(payload: bytes) -> None:
    refused: int | None = None
    try:
        code, reason = read_close(payload)
    except ProtocolViolation as violation:
        refused = violation.ending.code
    else:
        assert payload in (b"", code.to_bytes(2, "big") + reason.encode())
    assert refused in (None, 1002, 1007)


@given(st.text())
def test_a_reason_is_cut_to_what_fits(reason: str) -> None:
    cut = encode_reason(reason)
    assert len(cut) <= MAX_REASON_BYTES
    assert reason.encode("utf-8", "replace").decode().startswith(cut.decode())
    assert len(cut) > MAX_REASON_BYTES - 4 or cut.decode() == reason


def test_a_violation_keeps_its_code() -> None:
    assert [ending_of_violation(code).code for code in (1002, 1007, 1009, 1011)] == [
        1002,
        1007,
        1009,
        1002,
    ]


async def test_the_other_end_closes_with_code_and_reason(stage: Stage) -> None:
    listener = await stage.listen()
    client = await websockets.connect(f"ws://127.0.0.1:{listener.port}")
    connection, recorder = await stage.arrival(), Recorder()
    connection.attach(recorder)
    await client.close(4002, "genug für heute")
    assert (client.close_code, client.close_reason) == (4002, "genug für heute")
    assert await recorder.ending() == (4002, "genug für heute")


async def test_we_close_with_code_and_reason(stage: Stage) -> None:
    listener = await stage.listen()
    client = await websockets.connect(f"ws://127.0.0.1:{listener.port}")
    connection, recorder = await stage.arrival(), Recorder()
    connection.attach(recorder)
    connection.close(4011, "Idle")
    connection.close(1000, "ignored")
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
async def test_two_close_frames_at_once_get_one_answer(stage: Stage, second: int) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(CLOSE, close_payload(4001, b"a")), frame(CLOSE, close_payload(second)))
    assert await raw.read_close() == (4001, "a")
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (4001, "a")
    await raw.hang_up()


async def test_two_close_frames_without_a_code_at_once_get_one_answer(stage: Stage) -> None:
    raw, _, _ = await stage.raw_pair()
    raw.write(frame(CLOSE), frame(CLOSE))
    assert await raw.read_close() == (1000, "")
    assert await raw.read_rest() == b""
    await raw.hang_up()


@pytest.mark.parametrize("code", [0, 1006, 5000])
async def test_an_invalid_close_code_is_refused_without_waiting_for_an_answer(
    stage: Stage, code: int
) -> None:
    raw, _, recorder = await stage.raw_pair(close_grace=60.0)
    raw.write(frame(CLOSE, close_payload(code)))
    assert await raw.read_close() == (1002, "")
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (1002, "")
    await raw.hang_up()


async def test_frames_after_the_other_ends_close_are_ignored(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    raw.write(frame(CLOSE, close_payload(1000)), frame(TEXT, b"late"), frame(PING, b"late"))
    assert await raw.read_close() == (1000, "")
    assert await raw.read_rest() == b""
    await recorder.ending()
    assert recorder.frames == []
    connection.send(b"{}")
    connection.close(1000)
    assert connection.ping() == 0
    await raw.hang_up()


async def test_after_our_close_only_the_answer_is_read(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair(close_grace=60.0)
    connection.close(4011, "Idle")
    connection.send(b"{}")
    raw.write(frame(TEXT, b"late"), frame(BINARY, b"late"), frame(PING), frame(0x3))
    assert await raw.read_close() == (4011, "Idle")
    raw.write(frame(CLOSE, close_payload(4011)))
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (4011, "Idle")
    assert recorder.frames == []
    await raw.hang_up()


async def test_an_unanswered_close_is_forced(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    connection.close(4010, "Session time limit")
    assert await recorder.ending() == (4010, "Session time limit")
    assert await raw.read_close() == (4010, "Session time limit")
    assert await raw.read_rest() == b""
    await raw.hang_up()


async def test_a_receiver_that_closes_gets_no_more_frames_of_the_same_read(stage: Stage) -> None:
    listener = await stage.listen()
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()

    class Closer(Recorder):
        def frame(self, frame: object) -> None:
            super().frame(frame)  # type: ignore[arg-type]
            connection.close(1000, "enough")

    recorder = Closer()
    connection.attach(recorder)
    raw.write(*[frame(TEXT, b"%d" % number) for number in range(20)])
    assert await recorder.ending() == (1000, "enough")
    assert recorder.frames == [b"0"]
    await raw.hang_up()


async def test_a_code_that_may_not_be_sent_aborts_without_a_close_frame(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    connection.close(1006, "")
    assert await recorder.ending() == (1006, "")
    assert await raw.read_rest() == b""
    await raw.hang_up()


async def test_a_long_reason_is_cut_between_characters(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    connection.close(4000, "ä" * 100)
    assert await raw.read_close() == (4000, "ä" * 61)
    assert await recorder.ending() == (4000, "ä" * 100)
    await raw.hang_up()


async def test_a_reset_connection_is_reported_as_1006(stage: Stage) -> None:
    raw, connection, recorder = await stage.raw_pair()
    await raw.round_trip()
    raw.reset()
    assert await recorder.ending() == (1006, "")
    connection.send(b"{}")
    connection.pause()
    connection.resume()
    connection.close(1000)
    assert connection.ping() == 0
    assert connection.buffered == 0


async def test_a_connection_closed_without_a_close_frame_is_reported_as_1006(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(TEXT, b"half a mess", fin=False))
    await raw.hang_up()
    assert await recorder.ending() == (1006, "")
    assert recorder.frames == []


# Closes that the connection itself begins.


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
    ids=["rsv", "opcode", "binary", "utf8", "size", "close code"],  # the mask is another each time
)
async def test_a_protocol_violation_is_explained_and_closed_without_an_answer(
    stage: Stage, broken: bytes, code: int
) -> None:
    quick = replace(QUICK, close_grace=60.0, fail_grace=0.05)
    options = ListenOptions(
        connection=quick,
        farewell_frames=lambda who, ending: [b"%s %d" % (who.path.encode(), ending.code)],
    )
    listener = await stage.listen(options)
    raw = await Raw.dial(listener.port)
    connection, recorder = await stage.arrival(), Recorder()
    connection.attach(recorder)
    raw.write(broken)
    assert await raw.read_frame() == (TEXT, b"/ %d" % code)
    assert (await raw.read_close())[0] == code
    assert (await recorder.ending())[0] == code
    assert await raw.read_rest() == b"", "once, and no answer was waited for"
    await raw.hang_up()


async def test_the_close_frame_is_sent_although_the_farewell_frames_fail(stage: Stage) -> None:
    faults: list[Exception] = []

    def fail(*_: object) -> list[bytes]:
        raise ValueError

    quick = replace(QUICK, fail_grace=0.05, on_fault=faults.append)
    listener = await stage.listen(ListenOptions(connection=quick, farewell_frames=fail))
    raw = await Raw.dial(listener.port)
    (await stage.arrival()).attach(Recorder())
    raw.write(frame(BINARY, b"\x00"))
    assert await raw.read_close() == (1003, "")
    assert [type(fault) for fault in faults] == [ValueError]
    await raw.hang_up()


async def test_a_close_by_the_receiver_sends_no_farewell_frames(stage: Stage) -> None:
    listener = await stage.listen(
        ListenOptions(connection=QUICK, farewell_frames=lambda *_: [b"{}"])
    )
    raw = await Raw.dial(listener.port)
    connection = await stage.arrival()
    connection.attach(Recorder())
    connection.close(4011, "Idle")
    assert await raw.read_close() == (4011, "Idle")
    await raw.hang_up()


def test_a_client_message_is_at_most_10_mebibytes_and_an_upstream_one_16() -> None:
    assert ConnectionOptions().max_message_bytes == 10 * 1024 * 1024
    assert ConnectOptions().connection.max_message_bytes == 16 * 1024 * 1024


def test_the_default_limits_are_consistent_and_binary_is_refused() -> None:
    options = ConnectionOptions()
    assert 0 < options.write_low < options.write_high <= options.max_message_bytes
    assert options.fail_grace + options.close_grace <= 1.0, "one side after the other"
    assert options.binary is None
