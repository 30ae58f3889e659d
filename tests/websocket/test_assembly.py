"""Messages in pieces, too large, not UTF-8, or binary."""

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


async def test_a_message_of_exactly_the_limit_passes(stage: Stage) -> None:
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
    listener = await stage.listen(ListenOptions(peer=ConnectionOptions(close_grace=0.05)))
    url = f"ws://127.0.0.1:{listener.port}"
    async with websockets.connect(url, compression="deflate") as client:
        assert client.protocol.extensions == []
        peer, recorder = await stage.arrival(), Recorder()
        peer.attach(recorder)
        await client.send("x" * 10 * 1024 * 1024)
        await recorder.until(lambda me: me.frames)
        with contextlib.suppress(websockets.ConnectionClosed):
            await client.send("x" * (10 * 1024 * 1024 + 1))
        await client.wait_closed()
        assert client.close_code == 1009


@pytest.mark.parametrize("fin", [True, False])
async def test_binary_ends_a_text_connection_with_1003(stage: Stage, fin: bool) -> None:
    raw, _, recorder = await stage.raw_pair()
    raw.write(frame(BINARY, b"\x00", fin=fin))
    assert await raw.read_close() == (1003, "")
    assert await recorder.ending() == (1003, "")
    await raw.hang_up()


async def test_binary_goes_to_who_asked_for_it(stage: Stage) -> None:
    taken = []
    raw, peer, recorder = await stage.raw_pair(
        binary=lambda peer, frame: taken.append((peer, bytes(frame)))
    )
    raw.write(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xfe"), frame(TEXT, b"{}"))
    await recorder.until(lambda me: me.frames)
    assert taken == [(peer, b"\xff\xfe")]
    await raw.hang_up()


async def test_a_fault_in_the_binary_taker_ends_its_connection(stage: Stage) -> None:
    faults: list[Exception] = []
    raw, _, recorder = await stage.raw_pair(binary=lambda *_: 1 / 0, on_fault=faults.append)
    raw.write(frame(BINARY, b"x"))
    assert await raw.read_close() == (1011, "Internal server error")
    assert await recorder.ending() == (1011, "Internal server error")
    assert [type(each) for each in faults] == [ZeroDivisionError]
    await raw.hang_up()
