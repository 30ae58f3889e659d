"""The body of a command, as it comes over a raw socket: in pieces, packed, too long, or never."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from relay.http.api import sessions
from relay.http.api.sessions import MAX_BODY
from relay.realtime.coaching.control import MAX_WHISPER
from tests.feed.calls import FakeCall
from tests.http.api.running_api import PATIENCE, SESSION, RunningApi, bearer, running_api

WORDS = "A note of a coach, in one sentence."
NOTE = json.dumps({"text": WORDS}).encode()
LONGEST = json.dumps({"text": "ä" * MAX_WHISPER}).encode()


@asynccontextmanager
async def called() -> AsyncIterator[tuple[RunningApi, FakeCall]]:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.directory.track(call):
            yield api, call


class RawRequest:
    """A command's request whose body is written piece by piece, each a segment of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, *pieces: bytes) -> None:
        """Write each after the one before was taken from the socket."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0.02)  # else the kernel joins them

    async def answer(self) -> tuple[int, str]:
        """The status, and the code of the error or ""."""
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = json.loads(await self._reader.readexactly(length))
        return int(head.split()[1]), body.get("error", {}).get("code", "")


@asynccontextmanager
async def request(api: RunningApi, action: str, *headers: str) -> AsyncIterator[RawRequest]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    head = [
        f"POST /api/sessions/{SESSION}/{action} HTTP/1.1",
        f"Host: 127.0.0.1:{api.port}",
        f"Authorization: Bearer {bearer()}",
        "Content-Type: application/json",
        *headers,
    ]
    try:
        writer.write("\r\n".join([*head, "", ""]).encode())
        await writer.drain()
        yield RawRequest(reader, writer)
    finally:
        writer.close()


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


@pytest.mark.parametrize(
    "pieces",
    [
        (NOTE,),
        (NOTE[:10], NOTE[10:]),
        (b"", NOTE[:1], NOTE[1:-1], NOTE[-1:]),
        (LONGEST[:1448], LONGEST[1448:]),
    ],
    ids=["one", "two", "three", "the longest"],
)
async def test_a_command_is_read_whole_in_however_many_segments(pieces: Sequence[bytes]) -> None:
    body = b"".join(pieces)
    async with called() as (api, call), request(api, "note", length(body)) as asked:
        await asked.write(*pieces)
        assert await asked.answer() == (200, "")
    (command,) = call.commands
    assert command.text == json.loads(body)["text"]


async def test_a_command_in_chunks_is_read_whole() -> None:
    async with (
        called() as (api, call),
        request(api, "whisper", "Transfer-Encoding: chunked") as asked,
    ):
        for piece in (NOTE[:10], NOTE[10:]):
            await asked.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await asked.write(b"0\r\n\r\n")
        assert await asked.answer() == (200, "")
    assert call.commands[0].text == WORDS


async def test_chunks_without_an_end_are_read_to_the_bound_only() -> None:
    async with (
        called() as (api, call),
        request(api, "note", "Transfer-Encoding: chunked") as asked,
    ):
        await asked.write(f"{MAX_BODY + 1:x}\r\n".encode() + b" " * (MAX_BODY + 1) + b"\r\n")
        assert await asked.answer() == (400, "bad_text")
    assert call.commands == []


@pytest.mark.parametrize(
    ("header", "pieces"),
    [
        ("Content-Length: 60000", (b"{",)),
        ("Transfer-Encoding: chunked", (b'6\r\n{"text\r\n',)),
        ("Transfer-Encoding: chunked", (b'6\r\n{"text\r\n', b"zz\r\n")),
    ],
    ids=["too short", "chunks without an end", "broken chunks"],
)
async def test_a_body_that_does_not_come_whole_is_given_up(
    header: str, pieces: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BODY_SECONDS", 0.5)
    async with called() as (api, call), request(api, "note", header) as asked:
        await asked.write(*pieces)
        assert await asked.answer() == (400, "bad_request")
    assert call.commands == []


async def test_a_packed_body_is_not_unpacked() -> None:
    packed = zlib.compress(b'{"text":"' + b"a" * 50_000_000 + b'"}', 9)
    assert len(packed) < MAX_BODY
    async with (
        called() as (api, call),
        request(api, "note", "Content-Encoding: deflate", length(packed)) as asked,
    ):
        await asked.write(packed)
        assert await asked.answer() == (400, "bad_text")
    assert call.commands == []
