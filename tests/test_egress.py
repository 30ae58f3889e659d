"""Every connection goes out as the environment asks, over real sockets and a real proxy."""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from structlog.testing import capture_logs
from websockets.asyncio.server import ServerConnection, serve

from relay.auth.jwks import fetch_json
from relay.auth.tokens import JwtConfig, open_verifier
from relay.check.parts import PartRemedies
from relay.check.provider import PartServer, check_server
from relay.check.proxy import probe_health, probe_voice
from relay.config import Settings, way_out_of
from relay.egress import NoProxy, Proxy, WayOut, read_proxy, using, way_out
from relay.engines.openai import FixedKey, OpenAIEngine, OpenAIOptions
from relay.interfaces import EngineRequest, SupabaseCredentials
from relay.parts.http_service import HttpService, ServicePost
from relay.parts.openai_client import OpenAIClient
from relay.realtime.endings import SessionRefused
from relay.stores.supabase.client import RestClient
from relay.talk.client import TalkFailed, TalkTimeouts, VoiceClient
from relay.websocket.client import ConnectError, connect
from relay.websocket.tunnel import open_way
from tests.forward_proxy import LOGIN, ForwardProxy, forward_proxy
from tests.websocket.certificate import make_certificate

CALL = EngineRequest(session_id="s1", model="gpt-realtime-2.1", user_id="ada")
FAR = "provider.test"
"""A name that has no address here: only the proxy knows where it leads."""


def by(proxy: ForwardProxy, no_proxy: str = "") -> WayOut:
    return WayOut(proxy.proxy, proxy.proxy, NoProxy(no_proxy))


@asynccontextmanager
async def far_http(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """An HTTP server that lists one model and takes any call of a function; its port."""

    async def answer(request: web.Request) -> web.Response:
        if tls is not None:  # in a tunnel, where the proxy's login has no business
            assert "Proxy-Authorization" not in request.headers
        return web.json_response({"data": [{"id": "m"}], "keys": []})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def far_voice(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A Realtime server that greets; its port."""

    async def greet(socket: ServerConnection) -> None:
        await socket.send('{"type":"session.created","session":{"type":"realtime","audio":{}}}')
        await socket.wait_closed()

    async with serve(greet, "127.0.0.1", 0, ssl=tls) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def far_tls(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The file of the certificate that a far server shows, and the server's context."""
    roots = folder / "roots.pem"
    roots.write_bytes(make_certificate(FAR))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(roots)
    return roots, tls


def folder_of(roots: Path) -> Path:
    """A folder with this certificate under the hash of its name, as `openssl rehash` makes it."""
    name = x509.load_pem_x509_certificate(roots.read_bytes()).subject.public_bytes()
    # Of a short name: without the header of its sequence, and lower case as it is.
    digest = hashlib.sha1(name[2:]).digest()  # noqa: S324 - OpenSSL's own choice
    folder = roots.with_name("roots")
    folder.mkdir()
    (folder / f"{int.from_bytes(digest[:4], 'little'):08x}.0").write_bytes(roots.read_bytes())
    return folder


async def silence() -> AsyncIterator[bytes]:
    """No sound to send."""
    for chunk in list[bytes]():
        yield chunk


class FirstFrame:
    """Keeps the first frame."""

    def __init__(self) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def frame(self, frame: bytes | bytearray | memoryview) -> None:
        if not self.first.done():
            self.first.set_result(bytes(frame))

    def writable(self, ready: bool) -> None:
        pass

    def closed(self, code: int, reason: str) -> None:
        if not self.first.done():
            self.first.set_result(b"")


async def greeted(base_url: str) -> bytes:
    connection = await OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), base_url)).open(CALL)
    connection.attach(receiver := FirstFrame())
    try:
        async with asyncio.timeout(30):
            return await receiver.first
    finally:
        connection.close(1000, "")


async def test_the_engine_is_reached_by_the_proxy_alone() -> None:
    async with far_voice() as port, forward_proxy(wants_login=True) as proxy:
        async with using(by(proxy)):
            assert b"session.created" in await greeted(f"http://{FAR}:{port}/v1")
        assert proxy.asked == [f"CONNECT {FAR}:{port} HTTP/1.1"]


async def test_an_engine_with_tls_is_reached_by_the_proxy_and_the_file_of_roots(
    tmp_path: Path,
) -> None:
    roots, tls = far_tls(tmp_path)
    async with far_voice(tls) as port, forward_proxy() as proxy:
        async with using(WayOut(proxy.proxy, roots_file=roots)):
            assert b"session.created" in await greeted(f"https://{FAR}:{port}/v1")
        assert proxy.asked == [f"CONNECT {FAR}:{port} HTTP/1.1"]


async def test_the_roots_may_be_in_a_folder_too_and_without_them_nobody_is_trusted(
    tmp_path: Path,
) -> None:
    roots, tls = far_tls(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    async with far_voice(tls) as port, far_http(tls) as http_port, forward_proxy() as proxy:
        url = f"https://{FAR}:{port}/v1"
        async with using(WayOut(proxy.proxy, roots_folder=folder_of(roots))):
            assert b"session.created" in await greeted(url)
            async with way_out().http_session() as http:
                assert (await fetch_json(http, f"https://{FAR}:{http_port}/keys")).status == 200
        for way in (WayOut(proxy.proxy), WayOut(proxy.proxy, roots_folder=empty)):
            async with using(way):
                with pytest.raises(SessionRefused) as refused:
                    await greeted(url)
            cause = refused.value.__cause__
            assert isinstance(cause, ConnectError)
            assert cause.kind == "certificate"


async def test_a_conversation_of_relay_talk_goes_by_the_proxy(tmp_path: Path) -> None:
    """Plain and with TLS: the client is another library than the engine's."""
    roots, tls = far_tls(tmp_path)
    lines: list[tuple[str, str]] = []

    async def talked(url: str) -> None:
        timeouts = TalkTimeouts(answer_seconds=0.1, quiet_seconds=0.1)
        client = VoiceClient(lambda *line: lines.append(line), timeouts)
        await client.run(url, "a.b.c", silence())

    async with (
        far_voice() as port,
        far_voice(tls) as tls_port,
        forward_proxy(wants_login=True) as proxy,
    ):
        way = WayOut(proxy.proxy, proxy.proxy, roots_folder=folder_of(roots))
        async with using(way):
            await talked(f"ws://{FAR}:{port}/v1/realtime")
            await talked(f"wss://{FAR}:{tls_port}/v1/realtime")
    assert proxy.asked == [f"CONNECT {FAR}:{each} HTTP/1.1" for each in (port, tls_port)]


async def test_the_probes_of_relay_check_go_by_the_proxy(tmp_path: Path) -> None:
    """To the public address, over TLS, in whose name the proxy decides."""
    roots, tls = far_tls(tmp_path)

    async def refuse(socket: ServerConnection) -> None:
        await socket.close(3000, "invalid_request_error.invalid_api_key")

    async with (
        far_http(tls) as port,
        serve(refuse, "127.0.0.1", 0, ssl=tls) as voice,
        forward_proxy(wants_login=True) as proxy,
        using(WayOut(proxy.proxy, roots_folder=folder_of(roots))),
    ):
        voice_port = next(iter(voice.sockets)).getsockname()[1]
        health = await probe_health(f"https://{FAR}:{port}")
        found = await probe_voice(f"wss://{FAR}:{voice_port}", "/v1/realtime")
    assert (health.status, health.is_relay) == (200, False)
    assert found.is_relay, found.text
    assert proxy.asked == [f"CONNECT {FAR}:{each} HTTP/1.1" for each in (port, voice_port)]


async def test_where_the_proxy_refuses_talk_and_check_say_so_and_not_its_login() -> None:
    async with forward_proxy(status=407) as proxy, using(by(proxy)):
        found = await probe_voice(f"ws://{FAR}", "/v1/realtime")
        with pytest.raises(TalkFailed) as failed:
            await VoiceClient(lambda *_: None).run(f"ws://{FAR}", "a.b.c", silence())
    assert found.text == "the proxy answers HTTP 407"
    assert str(failed.value) == f"cannot reach ws://{FAR}: the proxy answers HTTP 407"


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_refuses_is_told_by_stage_and_status_and_without_its_login(
    status: int,
) -> None:
    async with forward_proxy(status=status) as proxy, using(by(proxy)):
        with capture_logs() as lines, pytest.raises(SessionRefused) as refused:
            await greeted(f"http://{FAR}/v1")
    (line,) = [line for line in lines if line["event"] == "engine unreachable"]
    assert (line["kind"], line["stage"], line["status"]) == ("http", "proxy", status)
    cause = refused.value.__cause__
    assert isinstance(cause, ConnectError)
    assert f"HTTP {status}" in cause.reason
    for secret in LOGIN:
        assert secret not in f"{lines} {cause!r} {cause.reason} {by(proxy)!r}"


async def test_a_proxy_that_is_not_there_is_the_stage_that_failed() -> None:
    async with using(WayOut(plain=Proxy("127.0.0.1", 1))):
        with pytest.raises(ConnectError) as failed:
            await connect(f"ws://{FAR}/v1/realtime")
    assert (failed.value.kind, failed.value.stage) == ("refused", "proxy")


async def test_this_machine_is_never_reached_by_a_proxy() -> None:
    async with far_voice() as port, forward_proxy(status=500) as proxy, using(by(proxy)):
        assert b"session.created" in await greeted(f"http://127.0.0.1:{port}/v1")
        async with open_way(f"ws://localhost:{port}") as opened:
            assert opened is None
        assert proxy.asked == []


async def test_tools_tokens_and_checks_go_by_the_proxy() -> None:
    async with far_http() as port, forward_proxy(wants_login=True) as proxy, using(by(proxy)):
        url = f"http://{FAR}:{port}"
        async with way_out().http_session() as http:
            assert (await fetch_json(http, f"{url}/keys")).status == 200
        server = PartServer(url, lists=f"{url}/v1/models", model="m")
        assert (await check_server(server, PartRemedies("", "", "", ""))).state == "ok"
        async with open_verifier(JwtConfig(jwks_url=f"{url}/jwks"), lambda: 0.0):
            pass
    assert len(proxy.asked) == 2
    assert all(FAR in line for line in proxy.asked)


async def test_the_parts_and_the_database_go_by_the_proxy() -> None:
    async with far_http() as port, forward_proxy(wants_login=True) as proxy, using(by(proxy)):
        url = f"http://{FAR}:{port}"
        service = HttpService("synthesizer", url, ("xi-api-key", "k"), at_once=1, timeout=30)
        post = ServicePost("/speech", b"", {}, 1000)
        assert b"".join([piece async for piece in service.stream(post)])
        await service.aclose()
        client = OpenAIClient(f"{url}/v1", "sk-test")
        assert await client.first_model("responder") == "m"
        await client.aclose()
        rest = RestClient(SupabaseCredentials(url, "service-key"))
        assert await rest.call("relay_function", {})
        await rest.aclose()
    assert [line.split(f"{port}")[1].split(" ")[0] for line in proxy.asked] == [
        "/speech",
        "/v1/models",
        "/rest/v1/rpc/relay_function",
    ]


async def test_with_tls_they_do_it_by_a_tunnel_and_trust_the_file_of_roots(tmp_path: Path) -> None:
    roots, tls = far_tls(tmp_path)
    async with (
        far_http(tls) as port,
        forward_proxy(wants_login=True) as proxy,
        using(WayOut(secure=proxy.proxy, roots_file=roots)),
    ):
        url = f"https://{FAR}:{port}"
        async with way_out().http_session() as http:
            assert (await fetch_json(http, f"{url}/keys")).status == 200
        client = OpenAIClient(f"{url}/v1", "sk-test")
        assert await client.first_model("responder") == "m"
        await client.aclose()
        rest = RestClient(SupabaseCredentials(url, "service-key"))
        assert await rest.call("relay_function", {})
        await rest.aclose()
    assert proxy.asked == [f"CONNECT {FAR}:{port} HTTP/1.1"] * 3


@pytest.mark.parametrize(
    ("entries", "host", "port", "direct"),
    [
        ("", "example.org", 443, False),
        ("*", "example.org", 443, True),
        ("*", "192.0.2.1", 443, True),
        ("example.org", "example.org", 443, True),
        ("example.org", "api.example.org", 443, True),
        ("example.org", "badexample.org", 443, False),
        (".example.org", "api.EXAMPLE.org.", 443, True),
        ("*.example.org", "api.example.org", 443, True),
        ("other.net, example.org:8443", "example.org", 8443, True),
        ("other.net,example.org:8443", "example.org", 443, False),
        ("10.0.0.0/8", "10.20.30.40", 443, True),
        ("10.0.0.0/8", "11.20.30.40", 443, False),
        ("192.0.2.7:9000 192.0.2.8", "192.0.2.7", 9000, True),
        ("192.0.2.7:9000 192.0.2.8", "192.0.2.7", 443, False),
        ("192.0.2.7:9000 192.0.2.8", "192.0.2.8", 443, True),
        ("2001:db8::/32", "2001:db8::5", 443, True),
        ("[2001:db8::5]:443", "2001:db8::5", 443, True),
        ("[2001:db8::5]:443", "2001:db8::5", 80, False),
        ("", "localhost", 80, True),
        ("", "relay.localhost", 80, True),
        ("", "127.8.0.1", 80, True),
        ("", "::1", 80, True),
        ("", "::ffff:127.0.0.1", 80, True),
    ],
)
def test_who_is_reached_without_a_proxy(entries: str, host: str, port: int, direct: bool) -> None:
    assert NoProxy(entries).covers(host, port) is direct


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.test:3128", Proxy("proxy.test", 3128)),
        ("proxy.test:3128", Proxy("proxy.test", 3128)),
        ("http://ada:p%40ss@proxy.test/", Proxy("proxy.test", 80, "ada", "p@ss")),
        ("http://[2001:db8::1]:8080", Proxy("2001:db8::1", 8080)),
    ],
)
def test_a_proxys_address_is_read(url: str, proxy: Proxy) -> None:
    assert read_proxy(url) == proxy


@pytest.mark.parametrize(
    "url", ["socks5://h:1080", "https://h", "http://", "http://ada:98/76@h:80", ""]
)
def test_another_address_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="HTTP proxy's address") as refused:
        read_proxy(url)
    assert "98" not in str(refused.value)


def test_the_environment_says_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("https_proxy", "http://ada:secret@secure.test:3128")
    monkeypatch.setenv("ALL_PROXY", "http://any.test:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "roots"))
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    way = way_out_of(settings)
    assert way.proxy_to("wss://api.test/v1") == Proxy("secure.test", 3128, "ada", "secret")
    assert way.proxy_to("http://api.test/v1") == Proxy("any.test", 3128)
    assert way.proxy_to("https://api.example.org") is None
    assert way.roots_file == tmp_path / "roots.pem"
    assert way.roots_folder == tmp_path / "roots"
    assert isinstance(way.tls(), ssl.SSLContext)
    assert "secret" not in repr(way)
    assert "ada:" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("p%E9ss", b"p\xe9ss"),
        ("p\udce9ss", b"p\xe9ss"),
        ("p\u00e9ss", b"p\xc3\xa9ss"),
        ("p%C3%A9ss", b"p\xc3\xa9ss"),
        ("p@ss:word", b"p@ss:word"),
        ("100%", b"100%"),
    ],
)
def test_a_proxy_is_shown_the_bytes_of_a_password(given: str, shown: bytes) -> None:
    login = read_proxy(f"http://kim:{given}@proxy.test:3128").authorization
    assert login is not None
    assert base64.b64decode(login.removeprefix("Basic ")) == b"kim:" + shown


@pytest.mark.parametrize("password", ["pa\u2100ss", "p[ss", "p#ss", "p/ss", "p\tss"])
def test_a_refused_proxys_address_is_not_quoted(password: str) -> None:
    with pytest.raises(ValueError, match="must be an HTTP proxy's address") as refused:
        read_proxy(f"http://kim:{password}@proxy.test:3128")
    assert "ss" not in str(refused.value).replace("address", "")


async def test_without_a_proxy_nothing_changes() -> None:
    async with far_http() as port, way_out().http_session() as http:
        async with http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http://{FAR}:{port}/")
