"""Tests of upgrade requests: how they are read, and which are rejected."""

import asyncio
import json
from dataclasses import replace

import pytest

from relay.interfaces import ConnectRequest
from relay.proxies import TrustedProxies
from relay.websocket.handshake import MAX_QUERY_FIELDS
from relay.websocket.picows_protocol import REQUEST_BYTES, UNATTENDED_BYTES
from relay.websocket.server import ListenOptions
from tests.websocket.ends import PATIENCE, QUICK, TEXT, Raw, Stage, frame, upgrade

JWT = "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl-_x"


async def ask(stage: Stage, request: bytes, options: ListenOptions | None = None) -> bytes:
    """Send a request; returns all of the answer where the other end hangs up, else its head."""
    listener = await stage.listen(options)
    raw = await Raw.connect(listener.port)
    raw.write(request)
    answer = await raw.read_head()
    if b" 101 " not in answer:
        answer += await raw.read_rest()
    await raw.hang_up()
    return answer


async def handshake(
    stage: Stage, request: bytes, options: ListenOptions | None = None
) -> ConnectRequest:
    assert b" 101 " in await ask(stage, request, options)
    _, handshake = stage.arrivals.get_nowait()
    return handshake


async def test_an_upgrade_request_is_read_into_a_handshake(stage: Stage) -> None:
    seen = await handshake(
        stage,
        upgrade(
            target=f"/v1/realtime?model=a%20b&token={JWT}&empty=&model=c",
            Origin="https://app.example",
            Authorization=f"Bearer {JWT}",
            Sec_WebSocket_Protocol=f"realtime, openai-insecure-api-key.{JWT},realtime",
        ),
    )
    assert seen.path == "/v1/realtime"
    assert seen.query == (("model", "a b"), ("token", JWT), ("empty", ""), ("model", "c"))
    assert seen.parameter("model") == "a b"
    assert seen.parameter("empty") == ""
    assert seen.parameter("voice") is None
    assert seen.headers["authorization"] == f"Bearer {JWT}"
    assert seen.origin == "https://app.example"
    assert seen.subprotocols == ("realtime", f"openai-insecure-api-key.{JWT}")
    assert seen.client_ip == "127.0.0.1"
    assert JWT not in repr(seen)


async def test_the_clients_address_is_what_a_trusted_proxy_says(stage: Stage) -> None:
    asked = upgrade(X_Forwarded_For="198.51.100.1, 203.0.113.9", X_Real_IP="203.0.113.9")
    assert (await handshake(stage, asked)).client_ip == "203.0.113.9"
    nobody = ListenOptions(connection=QUICK, trusted_proxies=TrustedProxies([]))
    assert (await handshake(stage, asked, nobody)).client_ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("//x/y", "//x/y"),
        ("http://h", "/"),
        ("/a%2Fb", "/a%2Fb"),
        ("http://h:1/p?x=1", "/p"),
        ("*", "*"),
    ],
)
async def test_a_path_is_kept_as_it_was_sent(stage: Stage, target: str, path: str) -> None:
    assert (await handshake(stage, upgrade(target=target))).path == path


@pytest.mark.parametrize("connection", ["upgrade", "keep-alive, Upgrade", "Upgrade,keep-alive"])
async def test_a_connection_header_with_keep_alive_is_accepted(
    stage: Stage, connection: str
) -> None:
    assert b" 101 " in await ask(stage, upgrade(Connection=connection))


REFUSED = {
    "no upgrade": (upgrade(Upgrade=None), 426, "This address speaks WebSocket"),
    "another upgrade": (upgrade(Upgrade="h2c"), 426, "This address speaks WebSocket"),
    "no connection": (upgrade(Connection=None), 426, "This address speaks WebSocket"),
    "keep-alive": (upgrade(Connection="keep-alive"), 426, "This address speaks WebSocket"),
    "version 8": (upgrade(Sec_WebSocket_Version="8"), 426, "WebSocket version 13 is needed"),
    "no version": (upgrade(Sec_WebSocket_Version=None), 426, "WebSocket version 13 is needed"),
    "no key": (upgrade(Sec_WebSocket_Key=None), 400, "Bad WebSocket key"),
    "short key": (upgrade(Sec_WebSocket_Key="c2hvcnQ="), 400, "Bad WebSocket key"),
    "key not base64": (upgrade(Sec_WebSocket_Key="!" * 24), 400, "Bad WebSocket key"),
    "key not ASCII": (upgrade(Sec_WebSocket_Key="ä" * 12), 400, "Bad WebSocket key"),
    "bad subprotocol": (upgrade(Sec_WebSocket_Protocol="a b"), 400, "Bad WebSocket subprotocol"),
    "many subprotocols": (
        upgrade(Sec_WebSocket_Protocol=",".join(f"p{n}" for n in range(33))),
        400,
        "Bad WebSocket subprotocol",
    ),
    "long query": (
        upgrade(target="/?a=" + "x" * REQUEST_BYTES),
        431,
        "The request and its headers exceed 16 KiB",
    ),
    "long header": (
        upgrade(Authorization="x" * 2 * UNATTENDED_BYTES),
        431,
        "The request and its headers exceed 16 KiB",
    ),
    "many parameters": (
        upgrade(target="/?" + "a=1&" * (MAX_QUERY_FIELDS + 1)),
        414,
        "Too many query parameters",
    ),
    "bad address": (upgrade(target="http://[::1/"), 400, "Bad address"),
    "address not ASCII": (upgrade(target="/ä"), 400, "Bad address"),
}


@pytest.mark.parametrize(("request_", "status", "text"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_upgrade_request_gets_a_short_plain_answer(
    stage: Stage, request_: bytes, status: int, text: str
) -> None:
    answer = await ask(stage, request_)
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in head
    assert body == f"{text}\n".encode()
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")
    assert stage.arrivals.empty()


async def test_the_largest_request_is_read_and_frames_may_follow_it_at_once(stage: Stage) -> None:
    empty = upgrade(Authorization="")
    request_ = upgrade(Authorization="x" * (REQUEST_BYTES - len(empty)))
    assert len(request_) == REQUEST_BYTES
    seen = await handshake(stage, request_ + frame(TEXT, b"{}") * 100)
    assert len(seen.headers["Authorization"]) > 16_000


GARBAGE = {
    "another method": upgrade().replace(b"GET", b"POST", 1),
    "a body": upgrade(Content_Length="3"),
    "chunks": upgrade(Transfer_Encoding="chunked"),
    "HTTP/1.0": upgrade().replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "one word": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a header without a colon": upgrade().replace(b"Host:", b"Host", 1),
    "a folded header": upgrade().replace(b"Host:", b"X: a\r\n b\r\nHost:", 1),
    "too many headers": upgrade().replace(b"Host:", b"X: y\r\n" * 200 + b"Host:"),
}


@pytest.mark.parametrize("request_", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_a_bad_request(stage: Stage, request_: bytes) -> None:
    answer = await ask(stage, request_)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert stage.arrivals.empty()


async def test_a_request_that_does_not_end_is_disconnected(stage: Stage) -> None:
    listener = await stage.listen(ListenOptions(connection=QUICK, newcomer_seconds=0.05))
    raw = await Raw.connect(listener.port)
    raw.write(upgrade()[:-2])
    assert await raw.read_rest() == b""
    await raw.hang_up()
    assert stage.arrivals.empty()


ALLOWED = ListenOptions(
    connection=QUICK, allowed_origins=("https://app.example", "http://LOCALHOST:3/")
)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://app.example", 101),
        ("HTTPS://App.Example", 101),
        ("http://localhost:3", 101),
        ("https://app.example.evil", 403),
        ("http://app.example", 403),
        ("https://app.example:444", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_an_origin_that_is_not_allowed_is_rejected_before_the_upgrade(
    stage: Stage, origin: str | None, status: int
) -> None:
    answer = await ask(stage, upgrade(Origin=origin), ALLOWED)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert stage.arrivals.empty() is (status == 403)


async def test_any_origin_is_accepted_when_none_is_configured(stage: Stage) -> None:
    assert b" 101 " in await ask(stage, upgrade(Origin="https://anywhere.example"))


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ("realtime, relay.v1", "relay.v1"),
        ("relay.v1", "relay.v1"),
        (f"realtime, openai-insecure-api-key.{JWT}", None),
        (None, None),
    ],
)
async def test_the_selected_subprotocol_is_one_of_those_offered(
    stage: Stage, offered: str | None, selected: str | None
) -> None:
    options = replace(ALLOWED, select=lambda _: "relay.v1")
    answer = (await ask(stage, upgrade(Sec_WebSocket_Protocol=offered), options)).decode()
    assert (f"Sec-WebSocket-Protocol: {selected}" in answer) is (selected is not None)
    assert answer.count("Sec-WebSocket-Protocol") == (selected is not None)
    assert JWT not in answer


async def test_a_fault_while_selecting_does_not_reach_the_caller(stage: Stage) -> None:
    faults: list[Exception] = []

    def select(offered: tuple[str, ...]) -> str | None:
        raise ValueError("secret")

    options = ListenOptions(connection=replace(QUICK, on_fault=faults.append), select=select)
    answer = await ask(stage, upgrade(), options)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\nInternal server error\n")
    assert len(faults) == 1


def posted(path: str, body: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("size", [0, 100, 60_000])
async def test_a_post_gets_the_json_of_its_path(stage: Stage, size: int) -> None:
    options = ListenOptions(connection=QUICK, refuse_post=lambda path: {"asked": path})
    answer = await ask(stage, posted(f"/a/b?token={JWT}", b"x" * size), options)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n")
    assert b"Connection: close" in head
    assert json.loads(body) == {"asked": "/a/b"}
    assert stage.arrivals.empty()


async def test_a_post_without_an_end_is_cut_off(stage: Stage) -> None:
    options = ListenOptions(connection=QUICK, refuse_post=lambda path: {"asked": path})
    listener = await stage.listen(options)
    raw = await Raw.connect(listener.port)
    raw.write(posted("/a"))
    assert b" 404 " in await raw.read_head()
    await raw.read_rest()
    raw.write(b"x" * 70_000)
    async with asyncio.timeout(PATIENCE):
        while "connections=0" not in repr(listener):
            await asyncio.sleep(0.005)
    await raw.hang_up()
