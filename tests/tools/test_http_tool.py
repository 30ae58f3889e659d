"""Tests of tools over HTTP, on real sockets, well behaved and not."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from relay.tools.call import ToolContext, ToolFailed, ToolInvocation
from relay.tools.http_tool import HttpAddress, HttpTool, http_session
from tests.tools.server import Answer, serve

ADA = ToolContext(user="ada", agent="coach", conversation="conv", session="s1")
LONDON = ToolInvocation("get_weather", "call_1", {"city": "London"}, ADA)
SECRET = "sk-of-the-tool"


def says(*, status: int = 200, **response: Any) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, **response)

    return answer


async def told(
    answer: Answer, *, header: str = "Authorization", secret: str | None = SECRET
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """What the model is told, and the headers and the body that the endpoint got."""
    async with serve(answer) as server, http_session() as http:
        output = await HttpTool(http, HttpAddress(server.url, header, secret, 1000))(LONDON)
        return output, server.headers[0], server.asked[0]


async def failure(answer: Answer) -> ToolFailed:
    async with serve(answer) as server, http_session() as http:
        with pytest.raises(ToolFailed) as failed:
            await HttpTool(http, HttpAddress(server.url, "Authorization", SECRET, 1000))(LONDON)
        for word in (SECRET, server.url, "127.0.0.1"):
            assert word not in failed.value.output
            assert word not in str(failed.value.cause)
        return failed.value


async def test_a_call_is_posted_and_its_answer_returned() -> None:
    answer = says(body=b'{"weather": "foggy"}', content_type="application/json")
    output, headers, body = await told(answer)
    assert output == '{"weather": "foggy"}'
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["content-type"] == "application/json"
    assert body == {
        "name": "get_weather",
        "arguments": {"city": "London"},
        "call_id": "call_1",
        "user": "ada",
        "agent": "coach",
        "conversation": "conv",
    }


async def test_a_secret_in_another_header_has_no_bearer_prefix() -> None:
    _, headers, _ = await told(says(text="ok"), header="X-Api-Key")
    assert headers["x-api-key"] == SECRET
    assert "authorization" not in headers


async def test_without_a_secret_no_header_is_sent() -> None:
    _, headers, _ = await told(says(text="ok"), secret=None)
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (says(text=" It is foggy.\n"), "It is foggy."),
        (says(text="Es ist neblig, grüß dich"), "Es ist neblig, grüß dich"),
        (says(body=b"plain", content_type="application/octet-stream"), "plain"),
        (says(body=b'{"a":1}', content_type="application/problem+json"), '{"a":1}'),
        (says(status=204), '{"ok":true}'),
        (says(status=201, body=b"", content_type="application/json"), '{"ok":true}'),
        (says(body=b"x" * 1000), "x" * 1000),
    ],
)
async def test_a_body_is_returned_as_text(answer: Answer, output: str) -> None:
    assert (await told(answer))[0] == output


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_http_error_is_told_by_its_status_only(status: int) -> None:
    failed = await failure(says(status=status, text=f"no {SECRET}"))
    assert json.loads(failed.output) == {
        "error": {
            "code": "http_error",
            "message": "The tool answered with an error.",
            "status": status,
        }
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    answer = says(status=status, headers={"Location": "/elsewhere"})
    async with serve(answer) as server, http_session() as http:
        with pytest.raises(ToolFailed) as failed:
            await HttpTool(http, HttpAddress(server.url, "Authorization", SECRET, 1000))(LONDON)
        assert (failed.value.code, failed.value.status) == ("http_error", status)
        assert server.paths == ["/tools/weather"]


@pytest.mark.parametrize("body", [b"{", b"", b"<html>", b"\xff\xfe", b"[" * 900])
async def test_invalid_json_is_unreadable(body: bytes) -> None:
    answer = says(body=body, content_type="application/json")
    if body:
        assert (await failure(answer)).code == "unreadable"
    else:
        assert (await told(answer))[0] == '{"ok":true}'


async def test_invalid_utf8_is_unreadable() -> None:
    assert (await failure(says(body=b"\xff\xfe", content_type="text/plain"))).code == "unreadable"


async def test_an_answer_that_is_too_big_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1 << 30:
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    assert (await failure(endless)).code == "too_big"
    assert sent < 1 << 28


async def test_a_compressed_answer_is_limited_by_its_unpacked_size() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    answer = says(body=packed, headers={"Content-Encoding": "gzip"})
    assert len(packed) < 1000 + 100
    assert (await failure(answer)).code == "too_big"
    _, headers, _ = await told(says(text="ok"))
    assert headers["accept-encoding"] == "identity"


async def test_a_truncated_answer_is_unreadable() -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b"half of")
        assert request.transport is not None
        request.transport.close()
        return response

    assert (await failure(breaks_off)).code == "unreadable"


@asynccontextmanager
async def raw(answer: bytes) -> Any:
    """A server that writes these bytes and hangs up; yields its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_a_server_that_does_not_speak_http_is_unreachable(answer: bytes) -> None:
    async with raw(answer) as port, http_session() as http:
        address = HttpAddress(f"http://127.0.0.1:{port}/", "Authorization", SECRET, 1000)
        with pytest.raises(ToolFailed) as failed:
            await HttpTool(http, address)(LONDON)
        assert failed.value.code == "unreachable"
        assert str(port) not in failed.value.output + str(failed.value.cause)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://name.invalid/", "no address"])
async def test_a_closed_port_is_unreachable(url: str) -> None:
    async with http_session() as http:
        with pytest.raises(ToolFailed) as failed:
            await HttpTool(http, HttpAddress(url, "Authorization", SECRET, 1000))(LONDON)
        assert failed.value.code == "unreachable"


async def test_cookies_are_not_kept_between_calls() -> None:
    async def sets_one(request: web.Request) -> web.Response:
        response = web.Response(text=request.headers.get("Cookie", "none"))
        response.set_cookie("user", "ada")
        return response

    async with serve(sets_one) as server, http_session() as http:
        endpoint = HttpTool(http, HttpAddress(server.url, "Authorization", SECRET, 1000))
        assert [await endpoint(LONDON) for _ in range(3)] == ["none"] * 3


async def test_a_slow_answer_is_dropped_at_the_timeout() -> None:
    gone = asyncio.Event()
    limit = asyncio.timeout(None)

    async def slow(request: web.Request) -> web.Response:
        limit.reschedule(0)  # the time is over now that it works on it
        try:
            await asyncio.sleep(60)
        finally:
            gone.set()
        return web.Response()

    async with serve(slow) as server, http_session() as http:
        endpoint = HttpTool(http, HttpAddress(server.url, "Authorization", SECRET, 1000))
        with pytest.raises(TimeoutError):
            async with limit:
                await endpoint(LONDON)
        assert server.paths
    assert gone.is_set()
