"""Bodies of answers are read whole, or up to a bound, in however many segments they come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from relay.check.proxy import probe_health
from relay.http_body import BodyTooLarge, read_beginning, read_body
from relay.parts.elevenlabs import ElevenLabsSynthesizer
from relay.parts.interfaces import PartFailed, SynthesisRequest

SEGMENTS = (b'{"detail": {"sta', b'tus": "quota_', b'exceeded"}}')
WHOLE = b"".join(SEGMENTS)


@asynccontextmanager
async def answering(
    *segments: bytes, status: str = "200 OK", length: int | None = None
) -> AsyncIterator[str]:
    """A server whose every answer comes in these segments; gives its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = sum(map(len, segments)) if length is None else length
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode())
        for segment in segments:
            await writer.drain()
            await asyncio.sleep(0.02)  # else the kernel joins them
            writer.write(segment)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def asked(address: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as http, http.get(address) as response:
        yield response


async def test_a_body_is_read_whole() -> None:
    async with answering(*SEGMENTS) as address:
        async with asked(address) as response:
            assert await read_body(response, len(WHOLE)) == WHOLE
        async with asked(address) as response:
            with pytest.raises(BodyTooLarge):
                await read_body(response, len(WHOLE) - 1)


async def test_a_beginning_has_as_much_as_was_asked_for() -> None:
    async with answering(*SEGMENTS) as address:
        for most in (20, len(WHOLE), 1000):
            async with asked(address) as response:
                assert await read_beginning(response, most) == WHOLE[:most]


async def test_a_beginning_of_a_body_that_breaks_off_is_what_came() -> None:
    async with answering(*SEGMENTS, length=1000) as address, asked(address) as response:
        assert await read_beginning(response, 1000) == WHOLE


async def test_a_providers_reason_in_three_segments_is_told() -> None:
    async with answering(*SEGMENTS, status="401 Unauthorized") as address:
        part = ElevenLabsSynthesizer("a-key", "a-voice", base_url=address)
        with pytest.raises(PartFailed) as raised:
            async for _ in part.synthesize(SynthesisRequest("Hello.")):
                pass
        await part.aclose()
    assert str(raised.value) == "synthesizer unauthorized: 401 quota_exceeded"


async def test_a_relays_health_in_two_segments_is_known() -> None:
    health = (
        b'{"status":"healthy","activeConnections":0,"maxConnections":1,',
        b'"uptime":1.5,"timestamp":"2026-01-01T00:00:00.000Z"}',
    )
    async with answering(*health) as address:
        assert (await probe_health(address)).is_relay
