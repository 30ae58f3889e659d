"""Tests of what comes in: fragments, limits, UTF-8, binary messages, malformed frames."""

import contextlib

import pytest
import websockets

from relay.websocket.closing import ConnectionOptions
from relay.websocket.server import ListenOptions
from tests.websocket.ends import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    QUICK,
    TEXT,
    Recorder,
    Stage,
    close_payload,
    frame,
)

LIMIT = QUICK.max_message_bytes


async def test_fragments_are_joined_around_a_ping(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(
        frame(TEXT, "Grü".encode()[:3], fin=False),
        frame(PING, b"still there?"),
        frame(CONTINUATION, fin=False),
        frame(CONTINUATION, "Grüße".encode()[3:]),
        frame(TEXT, b"next"),
    )
    assert await raw.read_frame() == (PONG, b"still there?")
    await recorder.until(lambda me: len(me.frames) == 2)
    assert recorder.frames == ["Grüße".encode(), b"next"]
    await raw.hang_up()


NOT_UTF8 = {
    "a lone continuation byte": [frame(TEXT, b"\x80")],
    "an overlong slash": [frame(TEXT, b"\xc0\xaf")],
    "half a surrogate pair": [frame(TEXT, b"\xed\xa0\x80")],
    "above U+10FFFF": [frame(TEXT, b"\xf4\x90\x80\x80")],
    "half a character at the end": [frame(TEXT, "ä".encode()[:1])],
    "in the first fragment, before the last has come": [frame(TEXT, b"\xff", fin=False)],
    "half a character at the end of the fragments": [
        frame(TEXT, "ä".encode()[:1], fin=False),
        frame(CONTINUATION),
    ],
    "in a close reason": [frame(CLOSE, close_payload(1000, b"\xff"))],
}


@pytest.mark.parametrize("pieces", NOT_UTF8.values(), ids=NOT_UTF8.keys())
async def test_bad_utf8_ends_the_connection_with_1007(stage: Stage, pieces: list[bytes]) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(*pieces)
    assert await raw.read_close() == (1007, "")
    assert await recorder.ending() == (1007, "")
    assert recorder.frames == []
    await raw.hang_up()


async def test_a_message_of_exactly_the_limit_is_delivered(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    half = b"x" * (LIMIT // 2)
    raw.write(frame(TEXT, half * 2), frame(TEXT, half, fin=False), frame(CONTINUATION, half))
    await recorder.until(lambda me: len(me.frames) == 2)
    assert [len(each) for each in recorder.frames] == [LIMIT, LIMIT]
    await raw.hang_up()


async def test_S3_43_a_frame_over_the_limit_ends_with_1009_and_is_never_delivered(
    stage: Stage,
) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(TEXT, b"x" * (LIMIT + 1)), frame(TEXT, b"after"))
    assert await raw.read_close() == (1009, "")
    assert await recorder.ending() == (1009, "")
    assert recorder.frames == []
    await raw.hang_up()


async def test_S3_43_fragments_over_the_limit_end_with_1009(stage: Stage) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(TEXT, b"x" * LIMIT, fin=False), frame(CONTINUATION, b"x", fin=False))
    assert await raw.read_close() == (1009, "")
    assert await recorder.ending() == (1009, "")
    assert recorder.frames == []
    await raw.hang_up()


async def test_S3_43_the_limit_is_ten_mebibytes_and_nothing_is_compressed(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(connection=ConnectionOptions(close_grace=0.05)))
    url = f"ws://127.0.0.1:{listener.port}"
    async with websockets.connect(url, compression="deflate") as client:
        assert client.protocol.extensions == []
        connection, recorder = await stage.arrival(), Recorder()
        connection.attach(recorder)
        await client.send("x" * 10 * 1024 * 1024)
        await recorder.until(lambda me: me.frames)
        with contextlib.suppress(websockets.ConnectionClosed):
            await client.send("x" * (10 * 1024 * 1024 + 1))
        await client.wait_closed()
        assert client.close_code == 1009


@pytest.mark.parametrize("fin", [True, False])
async def test_a_binary_message_closes_a_text_connection_with_1003(stage: Stage, fin: bool) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(BINARY, b"\x00", fin=fin))
    assert await raw.read_close() == (1003, "")
    assert await recorder.ending() == (1003, "")
    await raw.hang_up()


async def test_a_binary_message_goes_to_the_binary_callback(stage: Stage) -> None:
    taken = []
    raw, connection, recorder = await stage.raw_pair(
        binary=lambda connection, frame: taken.append((connection, bytes(frame)))
    )
    raw.write(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xfe"), frame(TEXT, b"{}"))
    await recorder.until(lambda me: me.frames)
    assert taken == [(connection, b"\xff\xfe")]
    await raw.hang_up()


async def test_a_fault_in_the_binary_callback_ends_its_connection(stage: Stage) -> None:
    faults: list[Exception] = []
    raw, _, recorder = await stage.raw_pair(binary=lambda *_: 1 / 0, on_fault=faults.append)
    raw.write(frame(BINARY, b"x"))
    assert await raw.read_close() == (1011, "Internal server error")
    assert await recorder.ending() == (1011, "Internal server error")
    assert [type(each) for each in faults] == [ZeroDivisionError]
    await raw.hang_up()


BROKEN = {
    "rsv1": [frame(TEXT, b"{}", rsv=4)],
    "rsv2": [frame(TEXT, b"{}", rsv=2)],
    "rsv3": [frame(TEXT, b"{}", rsv=1)],
    "rsv on a ping": [frame(PING, rsv=4)],
    "rsv on a close": [frame(CLOSE, close_payload(1000), rsv=1)],
    "rsv on a continuation": [frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"}", rsv=4)],
    "data kind 3": [frame(0x3, b"{}")],
    "control kind 11": [frame(0xB)],
    "continuation of nothing": [frame(CONTINUATION, b"{}")],
    "last continuation of nothing": [frame(CONTINUATION, b"{}", fin=False)],
    "text within a message": [frame(TEXT, b"{", fin=False), frame(TEXT, b"}")],
    "binary within a message": [frame(TEXT, b"{", fin=False), frame(BINARY, b"}")],
    "fragmented ping": [frame(PING, b"x", fin=False)],
    "ping of 126 bytes": [frame(PING, b"x" * 126)],
    "close of 126 bytes": [frame(CLOSE, close_payload(1000, b"x" * 124))],
    "unmasked text": [frame(TEXT, b"{}", masked=False)],
    "unmasked ping": [frame(PING, masked=False)],
    "16 bit length for 5 bytes": [b"\x81\xfe\x00\x05"],
    "64 bit length for 5 bytes": [b"\x81\xff" + bytes(7) + b"\x05"],
    "64 bit length above 63 bits": [b"\x81\xff\x80" + bytes(7)],
    "close of one byte": [frame(CLOSE, b"\x03")],
    **{
        f"close code {code}": [frame(CLOSE, close_payload(code))]
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("pieces", BROKEN.values(), ids=BROKEN.keys())
async def test_a_malformed_frame_ends_the_connection_with_1002(
    stage: Stage, pieces: list[bytes]
) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(*pieces)
    assert await raw.read_close() == (1002, "")
    raw.write(frame(CLOSE, close_payload(1002)))
    assert await raw.read_rest() == b""
    assert await recorder.ending() == (1002, "")
    assert recorder.frames == []
    await raw.hang_up()
