import asyncio
import logging

import pytest
from aiohttp import ClientConnectionError

from relay.http.server import serve
from tests.http.listener import SERVICES, ask, listening


@pytest.mark.parametrize(
    "path",
    ["/", "/Health", "/health/", "/healthz", "/config.json", "/index.html", "/v1/realtime", "/%2e"],
)
async def test_any_other_path_is_an_empty_404(path):
    """S3-42: any other path is an empty 404."""
    async with listening() as server:
        answer = await ask(server, path)
    assert (answer.status, answer.body) == (404, "")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_another_method_is_an_empty_405_that_names_the_allowed_ones(path):
    async with listening() as server:
        answer = await ask(server, path, "POST")
    assert (answer.status, answer.body) == (405, "")
    assert answer.headers["Allow"] == "GET,HEAD"


async def test_the_server_header_has_no_version():
    async with listening() as server:
        assert (await ask(server, "/health")).headers["Server"] == "relay"
        assert (await ask(server, "/nothing")).headers["Server"] == "relay"


async def test_a_port_in_use_raises():
    async with listening() as server:
        with pytest.raises(OSError, match="Address already in use"):
            await serve(SERVICES, "127.0.0.1", server.port)


async def test_after_aclose_nothing_listens():
    async with listening() as server:
        assert (await ask(server, "/health")).status == 200
    with pytest.raises(ClientConnectionError):
        await ask(server, "/health")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /?token=SECRET HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health?token=SECRET HTTP/9.x\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nBad Header SECRET\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: SECRET\r\n\r\n",
        b"\x16\x03\x01SECRET\r\n\r\n",
        b"GET /" + b"SECRET" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["query", "version", "header", "length", "tls", "huge"],
)
async def test_what_a_client_sends_is_never_logged(request_bytes, caplog):
    caplog.set_level(logging.DEBUG)
    async with listening() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_bytes)
        status = await reader.readline()
        writer.close()
        assert (await ask(server, "/health")).status == 200  # and the next request is served
    assert status.split()[1] in (b"400", b"404", b"431")
    assert "SECRET" not in caplog.text


async def test_a_fault_is_logged_and_its_text_is_not_sent(caplog):
    def broken() -> bytes:
        raise RuntimeError("a number is missing")

    async with listening(metrics=broken) as server:
        answer = await ask(server, "/metrics")
    assert (answer.status, answer.body) == (500, "")
    assert "a number is missing" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104
async def test_ipv4_is_answered_at_every_address_that_has_it(host: str) -> None:
    server = await serve(SERVICES, host, 0)
    try:
        assert (await ask(server, "/health")).status == 200
    finally:
        await server.aclose()
