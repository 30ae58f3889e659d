"""The relay behind a real nginx with TLS, by the configuration that is shipped (S3-69)."""

import asyncio
import json
import re
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from relay.config import Settings
from relay.http.pages import CONTENT_TYPES, HEADERS, WEB
from relay.parts.simple import Script
from tests.components import needs
from tests.edge.front import (
    MARK,
    PATIENCE,
    SHIPPED,
    Front,
    command,
    free_ports,
    in_front,
    prepared,
)
from tests.scenarios.stage import AGENT, SECRET, Stage, stage, token

pytestmark = needs("nginx")
ASKS_FOR_WORDS = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
    },
}
SCRIPT = Script(heard=("Good morning.",), replies=("Good morning to you.",))
UPGRADE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==",
}


@asynccontextmanager
async def edge(folder: Path, script: Script | None = None) -> AsyncIterator[tuple[Front, Stage]]:
    async with (
        stage(folder, script) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        yield front, here


def s3(**query: str) -> str:
    given = {"token": token(), "agent_id": AGENT} | query
    return "/?" + "&".join(f"{name}={value}" for name, value in given.items())


# ------------------------------------------------------------------------------------ the file


def test_S3_69_nginx_finds_nothing_to_say_about_the_file() -> None:
    voice, http = free_ports(2)
    with prepared(voice, http) as front:
        told = subprocess.run(**command(front, "-t"), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert [line.rpartition(" ")[2] for line in told.stderr.splitlines()] == ["ok", "successful"]


def directives(name: str) -> list[str]:
    """The values of every line of this name in the file as shipped."""
    found = re.findall(rf"^\s*{name}\s+([^;]*);", SHIPPED.read_text(), re.MULTILINE)
    return [" ".join(value.split()) for value in found]


def test_S3_69_a_call_outlives_every_timeout_of_nginx() -> None:
    longest = Settings.model_fields["connection_timeout"].default / 1000
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        assert directives(name) == ["3600s"]
    assert longest < 3600
    assert directives("proxy_buffering") == ["off"]
    assert directives("proxy_http_version") == ["1.1"]
    assert directives("proxy_socket_keepalive") == ["on"]
    assert directives("ssl_protocols") == ["TLSv1.2 TLSv1.3"]


def test_what_an_operator_has_to_change_is_marked() -> None:
    marked = [line for line in SHIPPED.read_text().splitlines() if line.endswith(MARK)]
    names = {line.split()[0] for line in marked}
    assert names == {
        *("server", "listen", "server_name", "ssl_certificate", "ssl_certificate_key", "root"),
        *("access_log", "error_log"),
    }


# ----------------------------------------------------------------------------------- the calls


async def test_S3_85_a_voice_turn_with_the_token_in_a_subprotocol(tmp_path: Path) -> None:
    async with edge(tmp_path, SCRIPT) as (front, here), front.browser() as line:
        assert line.socket.subprotocol == "realtime"
        await line.until("session.created")
        await line.send(ASKS_FOR_WORDS)
        await line.speak()
        await line.until("response.done")
        assert "response.output_audio.delta" in line.types
        said = [event["transcript"] for event in line.events if "transcript" in event]
        assert said == ["Good morning.", "Good morning to you."]
        assert here.app.directory.active == 1


@pytest.mark.parametrize(
    "path", ["/v1/realtime", "/realtime", "/openai/v1/realtime", "/openai/realtime"]
)
async def test_every_address_of_the_openai_door(tmp_path: Path, path: str) -> None:
    header = {"Authorization": f"Bearer {token()}"}
    async with (
        edge(tmp_path) as (front, _),
        front.call(f"{path}?model=gpt-realtime", additional_headers=header) as line,
    ):
        await line.until("session.created")
        assert "type" in line.events[0]["session"], "GA, so it is the OpenAI door"


async def test_a_client_secret_from_the_same_origin(tmp_path: Path) -> None:
    async with edge(tmp_path, SCRIPT) as (front, _):
        settings = {"session": {"instructions": "Be brief."}}
        made = await front.post("/v1/realtime/client_secrets", json=settings)
        async with front.browser(json.loads(made.body)["value"]) as line:
            updated = await line.until("session.updated")
            assert updated["session"]["instructions"] == "Be brief."
        for path in ("/openai/v1/realtime/calls", "/realtime/sessions"):
            refused = await front.post(path)
            assert json.loads(refused.body)["error"]["code"] == "unsupported_endpoint"
        unknown = await front.post("/v1/chat/completions", json={})
        assert json.loads(unknown.body)["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("path", ["", "voice", "a/b/", "index.html", "coach"])
async def test_S3_1_a_turn_at_s3s_door_which_shares_its_address_with_the_page(
    tmp_path: Path, path: str
) -> None:
    async with edge(tmp_path, SCRIPT) as (front, _):
        async with front.call(s3().replace("/?", f"/{path}?")) as line:
            await line.speak()
            await line.until("response.done")
            assert "response.audio.delta" in line.types
            assert line.types[-2] == "conversation.created", "S3's own extra"
        page = await front.get("/")
        assert b"<title>relay</title>" in page.body


async def test_close_codes_and_reasons_pass_through(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, here):
        async with front.call(s3(token="nonsense")) as line:
            assert await line.closed() == (4001, "Unauthorized")
        async with front.call(s3(agent_id="")) as line:
            assert await line.closed() == (4000, "Missing token or agent_id")
        async with front.browser("nonsense") as line:
            assert await line.closed() == (3000, "invalid_request_error.invalid_api_key")
            assert line.types == ["error"]
        async with front.browser() as one, front.call(s3()) as two:
            await one.until("session.created")
            await two.until("session.updated")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(here.app.drain(0.0))
                assert await one.closed() == (1012, "Service restart")
                assert await two.closed() == (1012, "Service restart")


async def test_a_reload_disturbs_no_call(tmp_path: Path) -> None:
    async with edge(tmp_path, SCRIPT) as (front, _), front.browser() as line:
        await line.until("session.created")
        workers = front.workers()
        front.reload()
        async with asyncio.timeout(PATIENCE):
            while front.workers() < workers + 1 or not front.retiring():
                await asyncio.sleep(0.01)
        async with front.browser() as later:
            await later.until("session.created")
            await line.speak()
            await line.until("response.done")


async def test_S3_13_who_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, here):
        async with front.browser() as line:
            await line.until("session.created")
        async with front.browser() as line:
            await line.until("session.created")
            line.socket.transport.abort()
        await here.emptied()


async def test_S3_43_compression_that_a_client_offers_is_not_taken(tmp_path: Path) -> None:
    offer = [ClientPerMessageDeflateFactory()]
    async with edge(tmp_path) as (front, _), front.call(s3(), extensions=offer) as line:
        await line.until("session.created")
        request, response = line.socket.request, line.socket.response
        assert request is not None
        assert response is not None
        assert "permessage-deflate" in request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in response.headers


@pytest.mark.parametrize("way", ["query", "subprotocol", "header"])
async def test_a_token_of_four_kibibytes(tmp_path: Path, way: str) -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    claims["user_metadata"] = {"about": "me " * 940}
    long = jwt.encode(claims, SECRET, "HS256")
    assert 4000 < len(long) < 4200
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "query": (f"/v1/realtime?token={long}", {}),
        "subprotocol": (
            "/realtime",
            {"subprotocols": ["realtime", f"openai-insecure-api-key.{long}"]},
        ),
        "header": ("/realtime", {"additional_headers": {"Authorization": f"Bearer {long}"}}),
    }
    path, options = ways[way]
    async with edge(tmp_path) as (front, _), front.call(path, **options) as line:
        await line.until("session.created")


@pytest.mark.parametrize("size", [8193, 15_000])
async def test_a_token_that_is_too_long_is_told_so_at_each_door(tmp_path: Path, size: int) -> None:
    bearer = {"Authorization": f"Bearer {'x' * size}"}
    async with edge(tmp_path) as (front, _):
        async with front.call("/v1/realtime", additional_headers=bearer) as line:
            error = (await line.until("error"))["error"]
            assert "8,192 characters" in error["message"]
            assert await line.closed() == (3000, "invalid_request_error.invalid_api_key")
        async with front.call(s3(token="x" * size)) as line:
            assert await line.closed() == (4001, "Token too long")
        answer = await front.get("/api/sessions", headers=bearer)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (401, "token_too_long")


@pytest.mark.parametrize("path", ["/v1/realtime", "/?agent_id=x", "/api/sessions"])
async def test_headers_that_are_too_large_get_an_answer(tmp_path: Path, path: str) -> None:
    async with edge(tmp_path) as (front, _):
        ask = f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n".encode()
        ask += b"Connection: close\r\n"
        several = await front.raw(ask, *(b"X: %s\r\n" % (b"y" * 9000) for _ in range(4)), b"\r\n")
        assert several.startswith(b"HTTP/1.1 431 ")
        assert b"exceed 16 KiB" in several
        one = await front.raw(ask, b"X: " + b"y" * 17_000, b"\r\n\r\n")
        assert one.startswith(b"HTTP/1.1 400 ")
        assert b"Too Large" in one, "it is nginx that says so"


async def test_a_long_message_and_one_that_is_too_long(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, _), front.call(s3()) as line:
        await line.until("session.updated")
        await line.socket.send("{" + "x" * 1_000_000)
        assert (await line.until("error"))["code"] == "invalid_json"
        await line.socket.send("x" * (10 * 1024 * 1024 + 1))
        assert (await line.closed())[0] == 1009


async def test_a_page_of_another_origin_is_refused(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, allowed_origins=("https://app.example.org",)) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with front.call(s3(), origin="https://evil.example.org"):
                pass
        assert refused.value.response.status_code == 403
        async with front.call(s3(), origin="https://app.example.org") as line:
            await line.until("session.created")


# --------------------------------------------------------------------------------- plain HTTP


async def test_S3_69_http_goes_to_https_except_for_the_certificate(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, _):
        for path in ("/", "/v1/realtime?model=gpt-realtime", "/health"):
            answer = await front.get(path, plain=True)
            assert answer.status == 301
            assert answer.headers["Location"] == f"https://127.0.0.1{path}"
        challenge = "/.well-known/acme-challenge/proof"
        (front.folder / "html" / challenge.strip("/")).write_text("it is me")
        answer = await front.get(challenge, plain=True)
        assert (answer.status, answer.body) == (200, b"it is me")
        assert (await front.get("/.well-known/acme-challenge/other", plain=True)).status == 404


async def test_S3_69_health_is_for_everybody_and_metrics_for_nobody(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, here):
        health = await front.get("/health")
        assert health.status == 200
        names = ["status", "activeConnections", "maxConnections", "uptime", "timestamp"]
        assert list(json.loads(health.body)) == names
        assert (await front.get("/ready")).status == 200
        assert (await front.get("/metrics")).status == 403
        assert (await front.get("/metrics/")).status == 404
        assert (await here.get("/metrics"))[0] == 200, "from this machine, without nginx"
        assert (await front.get("/api/sessions")).status == 401, "the coach's API"
        assert (await front.get("/api/sessions")).headers["Server"] == "nginx"


async def test_who_is_no_websocket_is_told_by_the_voice_listener(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, _):
        assert (await front.get("/v1/realtime")).status == 426
        assert (await front.get("/openai/v1/realtime")).status == 426


async def test_older_tls_than_1_2_is_refused(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, _):
        old = front.trust
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(aiohttp.ClientConnectorSSLError, match="protocol version"):
            await front.get("/health", ssl=old)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            new = front.trust
            new.minimum_version = new.maximum_version = version
            assert (await front.get("/health", ssl=new)).status == 200


# ------------------------------------------------------------------------------------ the page


async def test_the_page_is_what_relay_dev_serves(tmp_path: Path) -> None:
    async with edge(tmp_path) as (front, _):
        (front.folder / "web" / "client" / "next.mjs").write_text("export {};")
        answer = await front.get("/client/next.mjs")
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        files = [path for path in WEB.rglob("*") if path.suffix in CONTENT_TYPES]
        assert len(files) > 10
        addresses = {"/": WEB / "index.html"} | {
            f"/{path.relative_to(WEB).as_posix()}": path for path in files
        }
        for address, path in addresses.items():
            answer = await front.get(address)
            assert answer.status == 200, address
            assert answer.body == path.read_bytes()
            assert answer.headers["Content-Type"] == CONTENT_TYPES[path.suffix]
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert answer.headers["Server"] == "nginx", "and no version"


@pytest.mark.parametrize(
    "path",
    ["/config.json", "/audio", "/audio/", "/nothing", "/web/", "/../relay.conf", "/%2e%2e/x"],
)
async def test_there_is_nothing_else(tmp_path: Path, path: str) -> None:
    """Not the development token above all: the page then asks for an address and a token."""
    async with edge(tmp_path) as (front, _):
        answer = await front.raw(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1.1 40[04] ", head), head
        assert b"token" not in body


# ------------------------------------------------------------------- what the relay is told


@asynccontextmanager
async def listener(heads: list[str]) -> AsyncIterator[int]:
    """Something that notes each request's head and hangs up."""

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_the_relay_is_told_who_calls_by_nginx_alone() -> None:
    heads: list[str] = []
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "X-Forwarded-Proto": "gopher"}
    async with listener(heads) as port, in_front(port, port) as front:
        for path in ("/v1/realtime?model=x&a=%20", "/api/x", "/any%2Fpath?token=%2B"):
            assert (await front.get(path, headers={**UPGRADE, **lies})).status == 502
            head = heads.pop()
            assert head.startswith(f"get {path.lower()} http/1.1\r\n"), "to the letter"
            for line in (
                "host: 127.0.0.1",
                "upgrade: websocket",
                "connection: upgrade",
                "x-real-ip: 127.0.0.1",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-proto: https",
            ):
                assert f"\r\n{line}\r\n" in head, line
            assert "6.6.6.6" not in head


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.2", "websocket, h2c", "anything"])
async def test_no_other_protocol_gets_a_tunnel(protocol: str) -> None:
    heads: list[str] = []
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AA"}
    async with listener(heads) as port, in_front(port, port) as front:
        for path in ("/v1/realtime", "/api/x", "/health"):
            assert (await front.get(path, headers=headers)).status == 502
            head = heads.pop()
            assert "\r\nupgrade:" not in head
            assert "\r\nconnection: close\r\n" in head
        assert (await front.get("/", headers=headers)).status == 200, "the page, not a door"


async def test_a_turn_is_one_line_of_the_access_log(tmp_path: Path) -> None:
    async with edge(tmp_path, SCRIPT) as (front, _):
        async with front.call(s3(), user_agent_header='it "is" me') as line:
            await line.speak()
            await line.until("response.done")
        (entry,) = [one for one in await front.entries(1) if one["path"] == "/"]
    assert entry["status"] == entry["upstream_status"] == "101"
    assert entry["client"] == "127.0.0.1"
    assert entry["agent"] == 'it "is" me'
    assert entry["bytes"] > 10_000
    assert 0 < entry["seconds"] < 60
    assert json.dumps(entry).count("?") == 0
