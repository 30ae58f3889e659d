"""Probes of a relay, of other servers, and of an address without a server."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.server import ServerConnection, serve

from relay.check import proxy
from relay.check.proxy import DOOR_CLOSES, ProbeAnswer, probe_health, probe_voice
from relay.parts.simple import scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.scenarios.stage import stage
from tests.websocket.certificate import make_certificate


@asynccontextmanager
async def answering(answer: web.Response, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP server with one answer; yields its `host:port`."""

    async def handle(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/health", handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(ssl=tls)
    yield f"127.0.0.1:{server.port}"
    await server.close()


async def test_a_relay_is_recognized_by_its_health_and_by_both_doors(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        health = await probe_health(here.http)
        doors = {path: await probe_voice(here.voice, path) for path in DOOR_CLOSES}

    assert health == ProbeAnswer(True, "HTTP 200", 200)
    assert doors == {
        "/": ProbeAnswer(True, "close 4000 Missing token or agent_id", 101),
        "/v1/realtime": ProbeAnswer(True, "close 3000 invalid_request_error.invalid_api_key", 101),
    }


async def test_a_relay_at_capacity_is_recognized(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connections=1) as here, here.openai_client() as line:
        await line.until("session.created")
        doors = [await probe_voice(here.voice, path) for path in DOOR_CLOSES]

    assert [door.is_relay for door in doors] == [True, True]
    assert "Server at capacity" in doors[0].text


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="hello"),
        web.Response(status=404),
        web.json_response({"status": "healthy"}),
        web.json_response(["status"]),
        web.Response(body=b"[" * 70_000),
    ],
)
async def test_another_http_server_is_not_a_relay(answer: web.Response) -> None:
    async with answering(answer) as place:
        assert await probe_health(f"http://{place}") == ProbeAnswer(
            False, f"HTTP {answer.status}", answer.status
        )


async def test_a_redirect_is_not_followed() -> None:
    elsewhere = web.Response(status=302, headers={"Location": "http://127.0.0.1:8/health"})
    async with answering(elsewhere) as place:
        assert (await probe_health(f"http://{place}")).text == "HTTP 302"


async def test_the_simulated_provider_is_not_a_relay() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        origin = simulator.url.removesuffix("/v1/realtime")
        answer = await probe_voice(origin, "/")

    assert answer == ProbeAnswer(False, "HTTP 404 instead of an upgrade", 404)


async def test_another_websocket_server_is_not_a_relay() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send("welcome")
        await connection.close(1000, "bye")

    async with serve(leave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        answer = await probe_voice(f"ws://127.0.0.1:{port}", "/")

    assert answer == ProbeAnswer(False, "close 1000 bye", 101)


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    monkeypatch.setattr(proxy, "SECONDS", 0.1)
    async with serve(silent, "127.0.0.1", 0, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        answer = await probe_voice(f"ws://127.0.0.1:{port}", "/")

    assert answer == ProbeAnswer(False, "no answer in 0 s")


async def test_no_server() -> None:
    assert await probe_health("http://127.0.0.1:8") == ProbeAnswer(False, "nobody listens there")
    assert await probe_voice("ws://127.0.0.1:8", "/") == ProbeAnswer(False, "nobody listens there")


async def test_an_unknown_name() -> None:
    for answer in (
        await probe_health("http://nobody.invalid"),
        await probe_voice("ws://nobody.invalid", "/"),
    ):
        assert not answer.is_relay
        assert answer.text
        assert answer.status is None


async def test_an_untrusted_certificate(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_bytes(make_certificate())
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(tmp_path / "one.pem")
    ours = ssl.create_default_context(cafile=str(tmp_path / "one.pem"))
    async with answering(web.Response(), theirs) as place:
        strange = await probe_health(f"https://{place}")
        strange_voice = await probe_voice(f"wss://{place}", "/")
        trusted = await probe_health(f"https://{place}", ours)
        trusted_voice = await probe_voice(f"wss://{place}", "/", ours)

    assert strange.text.startswith("the certificate is not trusted: self-signed certificate")
    assert strange_voice.text == strange.text
    assert trusted == ProbeAnswer(False, "HTTP 200", 200)
    assert trusted_voice.status == 404
