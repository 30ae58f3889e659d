"""The HTTP listener's connections are bounded in number, and in how long they wait."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp import web

from relay.http import connections
from relay.http.connections import MAX_HEAD_BYTES
from relay.http.server import HttpServer, HttpServices, serve
from tests.http.listener import SERVICES, ask, listening

PATIENCE = 30.0
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


class Caller:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answered(self) -> bytes:
        """Ask, and read the answer's status line."""
        self.writer.write(GET)
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await self.reader.readexactly(length)
        return head.split(b"\r\n")[0]

    async def ended(self) -> bool:
        """Whether the listener has closed it, sooner or later."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True
            finally:
                self.writer.close()


async def call(server: HttpServer) -> Caller:
    return Caller(*await asyncio.open_connection("127.0.0.1", server.port))


@asynccontextmanager
async def limited(limit: int, services: HttpServices = SERVICES) -> AsyncIterator[HttpServer]:
    server = await serve(services, "127.0.0.1", 0, limit)
    try:
        yield server
    finally:
        await server.aclose()


@pytest.mark.parametrize("sent", [b"", b"GET /hea", GET[:-2]])
async def test_a_request_has_to_come_within_its_time(sent: bytes, monkeypatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)
    async with listening() as server:
        slow = await call(server)
        slow.writer.write(sent)
        assert await slow.ended()
        assert len(server._connections) == 0


async def test_dripped_headers_do_not_extend_it(monkeypatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)
    async with listening() as server:
        slow = await call(server)
        slow.writer.write(GET[:-2])
        async with asyncio.timeout(PATIENCE):
            while not slow.reader.at_eof():
                slow.writer.write(b"X-a: b\r\n")
                with suppress(ConnectionError, TimeoutError):
                    await asyncio.wait_for(slow.reader.read(1), 0.01)
        slow.writer.close()


async def test_a_connection_is_kept_for_the_next_request_and_not_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    async with listening() as server:
        kept = await call(server)
        assert await kept.answered() == b"HTTP/1.1 200 OK"
        assert await kept.answered() == b"HTTP/1.1 200 OK"
        assert await kept.ended()


async def test_beyond_the_limit_the_oldest_that_waits_makes_room() -> None:
    async with limited(2) as server:
        waiting = [await call(server) for _ in range(5)]
        for one in waiting[:3]:
            assert await one.ended()
        assert await waiting[4].answered() == b"HTTP/1.1 200 OK"
        assert (await ask(server, "/health")).status == 200, "and one more is let in"
        assert len(server._connections) <= 2
        for one in waiting[3:]:
            one.writer.close()


async def test_a_request_that_is_being_answered_keeps_its_place() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        began.set()
        await go_on.wait()
        return web.Response(text="done")

    async with limited(1, replace(SERVICES, routes=[web.get("/slow", slow)])) as server:
        busy = await call(server)
        busy.writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await began.wait()
        refused = await call(server)
        assert await refused.ended(), "there is no other"
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            assert b"200 OK" in await busy.reader.readline()
        later = await call(server)
        assert await later.answered() == b"HTTP/1.1 200 OK", "the first only waits now"
        busy.writer.close()
        later.writer.close()


def padded(size: int) -> bytes:
    """A request of so many bytes."""
    return GET[:-2] + b"X-Pad: " + b"y" * (size - len(GET) - len(b"X-Pad: \r\n")) + b"\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        padded(MAX_HEAD_BYTES + 1),
        padded(300_000),
        GET[:-2] + b"X-Pad: yyyyyyyy\r\n" * 2000 + b"\r\n",
        b"GET /?" + b"z" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["a little", "far", "many headers", "a long address"],
)
async def test_a_request_whose_headers_are_too_large_is_told_so(sent: bytes) -> None:
    async with listening() as server:
        caller = await call(server)
        caller.writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            answer = await caller.reader.read()  # to the end, though they are not read to theirs
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")
        assert json.loads(body)["error"]["code"] == "headers_too_large"
        caller.writer.close()


async def test_the_largest_request_is_answered_and_others_follow_it() -> None:
    async with listening() as server:
        caller = await call(server)
        caller.writer.write(padded(MAX_HEAD_BYTES))
        async with asyncio.timeout(PATIENCE):
            assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await caller.reader.readuntil(b"}")
        assert await caller.answered() == b"HTTP/1.1 200 OK"
        caller.writer.close()


@pytest.mark.parametrize("step", [1, 7, 5000])
def test_a_head_is_measured_in_whatever_pieces_it_comes(step: int) -> None:
    def taken(text: bytes) -> bool:
        head = connections.RequestHead()
        return all(head.takes(text[at : at + step]) for at in range(0, len(text), step))

    assert taken(padded(MAX_HEAD_BYTES) + b"z" * 30_000), "its body does not count"
    assert not taken(padded(MAX_HEAD_BYTES + 1))
