"""No log of nginx holds a token, whatever goes wrong (S3-85), and every line is JSON."""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus

from relay.parts.simple import Script
from tests.components import needs
from tests.edge.front import ROOT, Front, free_ports, in_front
from tests.scenarios.stage import stage, token

pytestmark = needs("nginx")
FIELDS = [
    *("time", "client", "method", "path", "status", "bytes", "seconds"),
    *("upstream_status", "upstream_seconds", "agent"),
]
IN_QUERY = ["/v1/realtime", "/realtime", "/openai/v1/realtime", "/", "/voice", "/api/x/feed"]
"""Where a caller may have put a token into the address."""


def nothing_of(secret: str, front: Front) -> None:
    """Neither the token nor a part of it that could be used stands in any log."""
    for part in secret.split("."):
        assert part not in front.logged()


async def test_a_call_that_works_leaves_no_token(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, Script(heard=("Hi.",), replies=("Hi.",))) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
    ):
        secret = token()
        async with front.browser(secret) as line:
            await line.until("session.created")
        async with front.call(f"/v1/realtime?token={secret}") as line:
            await line.until("session.created")
        async with front.call(f"/?agent_id=x&token={secret}") as line:
            await line.until("session.created")
        assert [entry["path"] for entry in (await front.entries(3))[-3:]] == [
            *("/v1/realtime", "/v1/realtime", "/")
        ]
        nothing_of(secret, front)


async def refused(front: Front, secret: str) -> list[int]:
    """Call in every way in which a token can travel; the status of each answer, 0: no HTTP."""
    protocols = ["realtime", f"openai-insecure-api-key.{secret}"]
    calls: list[tuple[str, dict[str, object]]] = [
        *((f"{path}?agent_id=x&token={secret}", {}) for path in IN_QUERY),
        *((f"{path}%3Ftoken={secret}", {}) for path in ("/v1/realtime", "/api/x/feed")),
        ("/v1/realtime", {"subprotocols": protocols}),
        ("/", {"additional_headers": {"Authorization": f"Bearer {secret}"}}),
        ("/", {"additional_headers": {"Referer": f"https://app/?token={secret}"}}),
        ("/v1/realtime", {"additional_headers": {"Cookie": f"access_token={secret}"}}),
    ]
    return [await status(front, path, options) for path, options in calls]


async def status(front: Front, path: str, options: dict[str, object]) -> int:
    with pytest.raises((InvalidStatus, InvalidMessage)) as refusal:
        async with front.call(path, **options):
            pass
    told = refusal.value
    return told.response.status_code if isinstance(told, InvalidStatus) else 0


async def test_S3_85_a_forced_502_leaves_no_token_in_any_log() -> None:
    voice, http = free_ports(2)  # nobody is there
    async with in_front(voice, http) as front:
        secret = token()
        statuses = await refused(front, secret)
        assert set(statuses) == {502}
        entries = await front.entries(len(statuses))
        assert {entry["status"] for entry in entries[-len(statuses) :]} == {"502"}
        nothing_of(secret, front)


async def test_nor_does_a_full_house() -> None:
    """nginx out of connections tells of it at `alert`, above `crit`, with the whole request."""
    voice, http = free_ports(2)
    async with in_front(voice, http, connections=6) as front:
        secret = token()
        # Four listening sockets, one to the master, one for the caller: none for the upstream.
        assert set(await refused(front, secret)) == {500}
        nothing_of(secret, front)


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is no HTTP\r\n\r\n" * 3)
    writer.close()


def too_much(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("answer", "told"), [(hang_up, 502), (reset, 502), (too_much, 502), (babble, 0)]
)
async def test_nor_does_a_relay_that_went_mad(answer: Answer, told: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer(reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with in_front(port, port) as front:
            secret = token()
            statuses = await refused(front, secret)
            assert set(statuses) == {told}
            await front.entries(len(statuses))
            nothing_of(secret, front)


async def test_nor_does_a_caller_who_gets_it_wrong() -> None:
    voice, http = free_ports(2)
    secret = token()
    host = b"Host: 127.0.0.1\r\n"
    close = b"Connection: close\r\n\r\n"
    query = f"?token={secret}".encode()
    requests = [
        b"GET /page" + query + b" HTTP/1.1\r\n" + host + close,
        b"GET /audio/" + query + b" HTTP/1.1\r\n" + host + close,
        b"POST /index.html" + query + b" HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n" + close,
        b"GET /metrics" + query + b" HTTP/1.1\r\n" + host + close,
        b"GET /%00" + query + b" HTTP/1.1\r\n" + host + close,
        b"GET /v1/realtime" + query + b" HTTP/9.9\r\n" + host + close,
        b"GET /v1/realtime" + query + b" HTTP/1.1\r\n" + close,
        b"GET /v1/realtime" + query + b"\r\n\r\n",
        b"GET /v1/realtime" + query + b"&x=" + b"x" * 20_000 + b" HTTP/1.1\r\n" + host + close,
        b"G\xffT /v1/realtime" + query + b" HTTP/1.1\r\n" + host + close,
        b"GET /" + query + b" HTTP/1.1\r\n" + host + b"Sec-WebSocket-Protocol: openai-insecure-api-"
        b"key." + secret.encode() + b"x" * 20_000 + b"\r\n" + close,
        b'GET /\xc3\x28"\\'
        + query
        + b" HTTP/1.1\r\n"
        + host
        + b'User-Agent: \xff"\\\x01\r\n'
        + close,
        b"GET /a\x7f\x80b%ff%22"
        + query
        + b" HTTP/1.1\r\n"
        + host
        + b"User-Agent: \xe9\r\n"
        + close,
    ]
    async with in_front(voice, http) as front:
        for request in requests:
            await front.raw(request)
        redirect = await front.get(f"/v1/realtime?token={secret}", plain=True)
        assert redirect.status == 301
        entries = await front.entries(len(requests) + 1)
        assert all(list(entry) == FIELDS for entry in entries)
        assert not [entry for entry in entries if "?" in entry["path"]]
        nothing_of(secret, front)


# ------------------------------------------------------------------------- what is not known here

AUDIO = base64.b64encode(bytes(range(256)) * 2).decode()
LETTERS = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpB"
"""Audio that happens to be in letters alone, as a method may be."""
OPENAPI = json.loads((ROOT / "docs" / "openapi.json").read_text())
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


async def test_S3_85_a_callers_audio_stands_in_no_line() -> None:
    """A client that speaks before it was let in: its frames are the next request."""
    voice, http = free_ports(2)
    tail = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    event = json.dumps({"type": "input_audio_buffer.append", "audio": AUDIO}).encode()
    upgrade = b"GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\r\n"
    requests = [
        LETTERS.encode() + b" /v1/realtime" + tail,
        LETTERS.encode() + tail,
        AUDIO.encode() + b" /" + tail,
        f"GET /{AUDIO}".encode() + tail,
        f"GET /v1/realtime/{AUDIO}".encode() + tail,
        f"GET /api/sessions/{LETTERS}/feed".encode() + tail,
        f"GET /client/{AUDIO}.js".encode() + tail,
        b"GET /" + tail.replace(b"\r\n\r\n", f"\r\nUser-Agent: {AUDIO}\r\n\r\n".encode()),
        b"GET /" + tail.replace(b"\r\n\r\n", f"\r\nUser-Agent: a {AUDIO}\r\n\r\n".encode()),
        event + b"\r\n\r\n",
        upgrade + b"\x81\xfe\x02\xd0" + event,
    ]
    async with in_front(voice, http) as front:
        for request in requests:
            await front.raw(request)
        entries = await front.entries(len(requests))
        assert {entry["method"] for entry in entries} <= METHODS | {"other"}
        assert {entry["path"] for entry in entries} <= {"/", "/v1/realtime", "other"}
        logged = front.logged()
    assert LETTERS[:20] not in logged
    assert not [at for at in range(0, len(AUDIO) - 20, 20) if AUDIO[at : at + 20] in logged]


async def test_what_is_known_is_logged_as_it_is() -> None:
    voice, http = free_ports(2)
    web = [path for path in (ROOT / "web").rglob("*") if path.suffix in (".html", ".js", ".css")]
    paths = ["/", "/coach", "/health", "/ready", "/metrics", "/config.json", "/v1/realtime"]
    paths += ["/realtime", "/openai/realtime", "/openai/v1/realtime"]
    paths += [f"/{path.relative_to(ROOT / 'web').as_posix()}" for path in web]
    paths += [path.replace("{id}", str(uuid.uuid4())) for path in OPENAPI["paths"]]
    async with in_front(voice, http) as front:
        for path in paths:
            await front.get(f"{path}?x=1")
        entries = await front.entries(len(paths))
        assert [entry["path"] for entry in entries[-len(paths) :]] == paths
        assert {entry["method"] for entry in entries} <= METHODS | {"other"}
