"""What picows refuses to read, and what it would otherwise leave behind."""

import pytest

from tests.websocket.ends import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Stage,
    close_payload,
    frame,
)

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
async def test_a_broken_frame_ends_the_connection_with_1002(
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
