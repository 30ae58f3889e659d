"""Asking an address whether a relay is there: a relay, other servers, and nobody."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.server import ServerConnection, serve

from relay.check import proxy as probe
from relay.check.proxy import PATHS, ProbeAnswer, ask_health, ask_voice
from relay.parts.simple import scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.scenarios.stage import stage
from tests.websocket.certificate import make_certificate


@asynccontextmanager
async def answering(answer: web.Response, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP server that says the same to everybody; gives its `host:port`."""

    async def handle(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/health", handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(ssl=tls)
    yield f"127.0.0.1:{server.port}"
    await server.close()


async def test_a_relay_is_told_by_its_health_and_by_both_doors(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        health = await ask_health(here.http)
        doors = {path: await ask_voice(here.voice, path) for path in PATHS}

    assert health == ProbeAnswer(True, "HTTP 200", 200)
    assert doors == {
        "/": ProbeAnswer(True, "close 4000 Missing token or agent_id", 101),
        "/v1/realtime": ProbeAnswer(True, "close 3000 invalid_request_error.invalid_api_key", 101),
    }


async def test_a_full_relay_is_a_relay_still(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connections=1) as here, here.openai_client() as line:
        await line.until("session.created")
        doors = [await ask_voice(here.voice, path) for path in PATHS]

    assert [door.is_relay for door in doors] == [True, True]
    assert "Server at capacity" in doors[0].said


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
async def test_another_http_server_is_none(answer: web.Response) -> None:
    async with answering(answer) as place:
        assert await ask_health(f"http://{place}") == ProbeAnswer(
            False, f"HTTP {answer.status}", answer.status
        )


async def test_a_redirect_is_not_followed() -> None:
    elsewhere = web.Response(status=302, headers={"Location": "http://127.0.0.1:8/health"})
    async with answering(elsewhere) as place:
        assert (await ask_health(f"http://{place}")).said == "HTTP 302"


async def test_a_twin_of_the_provider_is_no_relay() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        origin = simulator.url.removesuffix("/v1/realtime")
        answer = await ask_voice(origin, "/")

    assert answer == ProbeAnswer(False, "HTTP 404 instead of an upgrade", 404)


async def test_another_websocket_server_is_none() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send("welcome")
        await connection.close(1000, "bye")

    async with serve(leave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        answer = await ask_voice(f"ws://127.0.0.1:{port}", "/")

    assert answer == ProbeAnswer(False, "close 1000 bye", 101)


async def test_one_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    monkeypatch.setattr(probe, "SECONDS", 0.1)
    async with serve(silent, "127.0.0.1", 0, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        answer = await ask_voice(f"ws://127.0.0.1:{port}", "/")

    assert answer == ProbeAnswer(False, "no answer in 0 s")


async def test_nobody_there() -> None:
    assert await ask_health("http://127.0.0.1:8") == ProbeAnswer(False, "nobody listens there")
    assert await ask_voice("ws://127.0.0.1:8", "/") == ProbeAnswer(False, "nobody listens there")


async def test_an_unknown_name() -> None:
    for answer in (
        await ask_health("http://nobody.invalid"),
        await ask_voice("ws://nobody.invalid", "/"),
    ):
        assert not answer.is_relay
        assert answer.said
        assert answer.status is None


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_bytes(make_certificate())
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(tmp_path / "one.pem")
    ours = ssl.create_default_context(cafile=str(tmp_path / "one.pem"))
    async with answering(web.Response(), theirs) as place:
        strange = await ask_health(f"https://{place}")
        strange_voice = await ask_voice(f"wss://{place}", "/")
        trusted = await ask_health(f"https://{place}", ours)
        trusted_voice = await ask_voice(f"wss://{place}", "/", ours)

    assert strange.said.startswith("the certificate is not trusted: self-signed certificate")
    assert strange_voice.said == strange.said
    assert trusted == ProbeAnswer(False, "HTTP 200", 200)
    assert trusted_voice.status == 404
