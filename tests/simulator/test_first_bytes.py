"""The Realtime API and the HTTP API on one port."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2  # what `openai` is made with
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection

from relay.parts.simple import scripted_parts
from relay.simulator import Simulator, SimulatorOptions, first_bytes, simulate
from relay.simulator.first_bytes import MAX_HEAD_BYTES, is_websocket
from tests.websocket.certificate import make_certificate

KEY = {"Authorization": "Bearer sk-good"}
UPGRADE = (
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUPGRADE: WebSocket\r\nConnection: Upgrade\r\n"
    b"Authorization: Bearer sk-good\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MODELS = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-good\r\n\r\n"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with await simulate(SimulatorOptions(scripted_parts())) as running:
        yield running


@pytest.mark.parametrize(
    ("head", "websocket"),
    [
        (b"", None),
        (b"GE", None),
        (UPGRADE[:-1], None),
        (UPGRADE, True),
        (MODELS, False),
        (b"POST /v1/audio", False),
        (b"P", False),
        (b"\x16\x03\x01", False),
        (b"GET /v1/realtime?model=m HTTP/1.1\r\n\r\n", True),
        (b"GET /realtime HTTP/1.1\r\n\r\n", True),
        (b"GET /v1/realtimes HTTP/1.1\r\n\r\n", False),
        (b"GET /v1/models HTTP/1.1\r\nX: upgrade: websocket\r\n\r\n", False),
        (b"GET /" + b"x" * MAX_HEAD_BYTES, True),
    ],
)
def test_what_the_first_bytes_tell(head: bytes, websocket: bool | None):
    assert is_websocket(head) is websocket


@pytest.mark.parametrize(
    ("request_", "status"), [(UPGRADE, b"HTTP/1.1 101 "), (MODELS, b"HTTP/1.1 200 ")]
)
async def test_a_head_in_single_bytes(simulator: Simulator, request_: bytes, status: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    for byte in request_:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(status)


async def test_a_second_request_that_comes_with_the_first_is_not_lost(simulator: Simulator):
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(MODELS + MODELS)
    for _ in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["object"] == "list"
    writer.close()


async def test_the_realtime_address_asks_to_upgrade(simulator: Simulator):
    async with httpx2.AsyncClient(headers=KEY) as client:
        answer = await client.get(f"{simulator.base_url}/realtime?model=m")

    assert answer.status_code == 426


async def test_nothing_lies_on_the_way_of_a_session(simulator: Simulator):
    async with connect(f"{simulator.url}?model=m", additional_headers=KEY) as socket:
        await socket.recv()
        assert simulator._server is not None
        (connection,) = simulator._server.connections

        assert connection.transport.get_protocol() is connection
        assert type(connection) is ServerConnection


async def test_one_that_says_nothing_is_dropped(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(first_bytes, "OPENING_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)

    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert not simulator._undecided


async def test_one_that_leaves_is_forgotten(simulator: Simulator):
    _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(b"GET ")
    while not simulator._undecided:
        await asyncio.sleep(0)
    writer.close()
    while simulator._undecided:
        await asyncio.sleep(0)


async def test_it_stops_with_connections_of_every_kind():
    simulator = await simulate(SimulatorOptions(scripted_parts()))
    async with (
        AsyncOpenAI(base_url=simulator.base_url, api_key="sk-good") as client,
        connect(f"{simulator.url}?model=m", additional_headers=KEY) as socket,
    ):
        await client.models.list()  # stays open, idle
        await socket.recv()
        _, silent = await asyncio.open_connection("127.0.0.1", simulator.port)
        while not simulator._undecided:
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await simulator.aclose()
        silent.close()

    assert simulator.connections == simulator.requests == 0


async def test_both_over_tls(tmp_path: Path):
    pem = tmp_path / "both.pem"
    pem.write_bytes(make_certificate())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=pem)
    options = SimulatorOptions(scripted_parts(), ssl_context=server)
    async with (
        await simulate(options) as simulator,
        httpx2.AsyncClient(verify=trusting) as transport,
        AsyncOpenAI(
            base_url=simulator.base_url, api_key="sk-good", http_client=transport
        ) as client,
        connect(f"{simulator.url}?model=m", additional_headers=KEY, ssl=trusting) as socket,
    ):
        assert simulator.base_url.startswith("https://")
        assert json.loads(await socket.recv())["type"] == "session.created"
        made = await client.embeddings.create(model="text-embedding-3-small", input="Hello.")

    assert len(made.data[0].embedding) == 1536
