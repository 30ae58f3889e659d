"""The OpenAI engine over real sockets, against the simulator and against servers that misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request

from relay.engines.openai import (
    KEYS_KNOWN,
    FixedKey,
    KeyConcealer,
    OpenAIEngine,
    OpenAIOptions,
    azure_options,
    models_url,
    realtime_url,
    report_slow_stages,
    safety_identifier,
)
from relay.interfaces import EngineRequest
from relay.parts.simple import scripted_parts
from relay.realtime.endings import ENGINE_CLOSED, ENGINE_TIMED_OUT, NO_PROVIDER_KEY, SessionRefused
from relay.simulator import SimulatorOptions, simulate
from relay.websocket.client import ConnectError

CALL = EngineRequest(session_id="s1", model="gpt-realtime-2.1", user_id="ada@example.org")


class RecordingReceiver:
    """Keeps all frames and the close."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.gone: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.first = asyncio.Event()

    def frame(self, frame: bytes | bytearray | memoryview) -> None:
        self.frames.append(bytes(frame))
        self.first.set()

    def writable(self, ready: bool) -> None:
        pass

    def closed(self, code: int, reason: str) -> None:
        self.gone.set_result((code, reason))


async def test_a_session_begins_with_session_created() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        engine = OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), simulator.base_url))
        connection = await engine.open(CALL)
        receiver = RecordingReceiver()
        connection.attach(receiver)
        await receiver.first.wait()
        assert json.loads(receiver.frames[0])["type"] == "session.created"
        connection.close(1000, "Client disconnected")
        assert await receiver.gone == (1000, "Client disconnected")
        await engine.aclose()


async def test_a_refused_key_ends_the_connection_in_band() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        connection = await OpenAIEngine(
            OpenAIOptions(FixedKey("bad-key"), simulator.base_url)
        ).open(CALL)
        receiver = RecordingReceiver()
        connection.attach(receiver)
        code, reason = await receiver.gone
        assert (code, reason) == (3000, "invalid_request_error.invalid_api_key")
        assert json.loads(receiver.frames[0])["error"]["code"] == "invalid_api_key"


async def test_S3_9_without_a_key_nobody_is_called() -> None:
    with pytest.raises(SessionRefused) as refused:
        await OpenAIEngine(OpenAIOptions(FixedKey(""), "ws://127.0.0.1:1/v1")).open(CALL)
    assert refused.value.ending == NO_PROVIDER_KEY


class Vault:
    """A key source whose key is changed when it is refused."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.refusals = 0

    async def current(self) -> str:
        return self.keys[0]

    def refused(self) -> None:
        self.refusals += 1
        self.keys.pop(0)


async def test_S3_80_a_key_that_is_refused_in_band_is_asked_for_again() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        vault = Vault("bad-key", "sk-new")
        engine = OpenAIEngine(OpenAIOptions(vault, simulator.base_url))
        receiver = RecordingReceiver()
        (await engine.open(CALL)).attach(receiver)
        assert (await receiver.gone)[0] == 3000
        assert vault.refusals == 1
        connection, later = await engine.open(CALL), RecordingReceiver()
        connection.attach(later)
        await later.first.wait()
        assert json.loads(later.frames[0])["type"] == "session.created"
        connection.close(1000, "")
        await later.gone
    assert vault.refusals == 1


@pytest.mark.parametrize("head", ["401 Unauthorized", "403 Forbidden"])
async def test_S3_80_a_key_that_is_refused_by_http_is_asked_for_again(head: str) -> None:
    vault = Vault("sk-old", "sk-new")
    async with answering(head) as base:
        with pytest.raises(SessionRefused) as refused:
            await OpenAIEngine(OpenAIOptions(vault, base)).open(CALL)
    assert refused.value.ending.name == ENGINE_CLOSED.name
    assert vault.keys == ["sk-new"]


async def test_a_busy_provider_does_not_cast_doubt_on_the_key() -> None:
    vault = Vault("sk-old", "sk-new")
    async with answering("429 Too Many Requests") as base:
        with pytest.raises(SessionRefused):
            await OpenAIEngine(OpenAIOptions(vault, base)).open(CALL)
    assert vault.refusals == 0


async def test_frames_after_the_greeting_stay_in_order_when_another_receiver_is_attached() -> None:
    frames = [json.dumps({"type": kind}) for kind in ("session.created", "a", "b", "c")]

    async def talk(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame)
        await socket.close(3000, "too late to be about the key")

    class HandingOver(RecordingReceiver):
        """Attaches the second receiver at the first frame."""

        def frame(self, frame: bytes | bytearray | memoryview) -> None:
            super().frame(frame)
            connection.attach(second)

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        vault = Vault("sk-test")
        connection = await OpenAIEngine(OpenAIOptions(vault, f"ws://127.0.0.1:{port}/v1")).open(
            CALL
        )
        await asyncio.sleep(0.05)  # some of it is held by then
        first, second = HandingOver(), RecordingReceiver()
        connection.attach(first)
        assert await second.gone == (3000, "too late to be about the key")
    assert [frame.decode() for frame in first.frames + second.frames] == frames
    assert vault.refusals == 0


async def test_a_port_without_a_server_is_a_closed_engine() -> None:
    with pytest.raises(SessionRefused) as refused:
        await OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), "ws://127.0.0.1:1/v1")).open(CALL)
    assert refused.value.ending == ENGINE_CLOSED


@asynccontextmanager
async def answering(head: str) -> AsyncIterator[str]:
    """A server that answers every upgrade with these header lines (none: never); its base URL."""
    leave, left = asyncio.Event(), asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if head:
            writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            await leave.wait()
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        leave.set()
        await left.wait()


@pytest.mark.parametrize(
    "head",
    [
        "401 Unauthorized",
        "429 Too Many Requests",
        "500 Oops",
        "302 Found\r\nLocation: ws://127.0.0.1:1/steal-the-key",
    ],
)
async def test_an_http_refusal_is_a_closed_engine_and_no_redirect_is_followed(
    head: str,
) -> None:
    async with answering(head) as base:
        with pytest.raises(SessionRefused) as refused:
            await OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), base)).open(CALL)
    assert refused.value.ending.name == ENGINE_CLOSED.name
    assert refused.value.ending.final == ("invalid_api_key" if "401" in head else "")


async def test_a_server_that_never_answers_the_upgrade_times_out() -> None:
    async with answering("") as base:
        with pytest.raises(SessionRefused) as refused:
            await OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), base, timeout=0.05)).open(CALL)
    assert refused.value.ending == ENGINE_TIMED_OUT


async def test_frames_of_many_megabytes_come_through() -> None:
    big = json.dumps({"type": "conversation.item.retrieved", "audio": "A" * 15_000_000})

    async def talk(socket: ServerConnection) -> None:
        await socket.send(big)
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await OpenAIEngine(
            OpenAIOptions(FixedKey("sk-test"), f"ws://127.0.0.1:{port}/v1")
        ).open(CALL)
        receiver = RecordingReceiver()
        connection.attach(receiver)
        await receiver.first.wait()
        assert len(receiver.frames[0]) == len(big)
        connection.close(1000, "")
        await receiver.gone


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"),
        ("http://127.0.0.1:9090/v1/", "ws://127.0.0.1:9090/v1/realtime?model=gpt-realtime-2.1"),
        ("ws://h/v1/realtime", "ws://h/v1/realtime?model=gpt-realtime-2.1"),
        ("wss://h:8443/openai/v1", "wss://h:8443/openai/v1/realtime?model=gpt-realtime-2.1"),
        ("https://h/team/v1?tenant=7", "wss://h/team/v1/realtime?tenant=7&model=gpt-realtime-2.1"),
        (
            "https://r.openai.azure.com/openai/realtime?api-version=2025-04-01-preview",
            "wss://r.openai.azure.com/openai/realtime?api-version=2025-04-01-preview"
            "&deployment=gpt-realtime-2.1",
        ),
    ],
)
def test_the_address_is_made_of_the_base_url(base: str, url: str) -> None:
    assert realtime_url(base, "gpt-realtime-2.1") == url
    assert realtime_url(base, "a b&c").endswith("=a+b%26c")


@pytest.mark.parametrize("named", ["model=mine", "api-version=2025-04-01-preview&deployment=mine"])
def test_a_whole_address_is_kept_as_it_is(named: str) -> None:
    whole = f"https://h/openai/realtime?{named}"
    assert realtime_url(whole, "gpt-realtime-2.1") == whole.replace("https", "wss")
    options = azure_options(whole, "az-key", "another", 5.0)
    assert realtime_url(options.base_url, "another") == whole.replace("https", "wss")


@pytest.mark.parametrize("base", ["ftp://h/v1", "api.openai.com/v1", "https://", ""])
def test_an_address_of_another_kind_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"):
        realtime_url(base, "m")


def test_the_safety_identifier_is_stable_and_reveals_nothing() -> None:
    assert safety_identifier("ada") == safety_identifier("ada") != safety_identifier("grace")
    assert "ada" not in safety_identifier("ada")
    assert len(safety_identifier("ada")) == 64


def test_S3_17_the_key_is_in_no_repr() -> None:
    assert "sk-test" not in repr(OpenAIOptions(FixedKey("sk-test")))


# --------------------------------------------------------------------------------------- trouble


async def test_why_nobody_was_reached_is_logged_and_counted() -> None:
    counted: list[tuple[str, str]] = []

    def count(kind: str, stage: str) -> None:
        counted.append((kind, stage))

    async with answering("503 Service Unavailable") as busy:
        with capture_logs() as logs:
            for base in ("ws://127.0.0.1:1/v1", "ws://nobody.invalid/v1", busy):
                options = OpenAIOptions(FixedKey("sk-test"), base, unreachable=count)
                with pytest.raises(SessionRefused) as refused:
                    await OpenAIEngine(options).open(CALL)
                assert isinstance(refused.value.__cause__, ConnectError)
    told = [(line["kind"], line["stage"], line["status"]) for line in logs]
    assert told == [
        ("refused", "connect", None),
        ("dns", "dns", None),
        ("http", "upgrade", 503),
    ]
    assert counted == [(kind, stage) for kind, stage, _ in told]


def test_a_slow_stage_of_connecting_is_told() -> None:
    with capture_logs() as logs:
        report_slow_stages({"dns": 0.01, "connect": 1.9, "tls": 3.25, "upgrade": 0.2})
    (line,) = logs
    assert (line["event"], line["stage"], line["seconds"]) == (
        "engine slow to connect",
        "tls",
        3.25,
    )


def test_keys_are_taken_out_of_what_the_provider_says_also_after_a_rotation() -> None:
    keys = KeyConcealer()
    assert keys.conceal(b"anything") == b"anything"
    for number in range(KEYS_KNOWN):
        keys.learn(f"key-number-{number}")
    frame = memoryview(b'{"a":"key-number-0 and key-number-3","b":"key-number-9"}')
    assert keys.conceal(frame) == b'{"a":"[masked] and [masked]","b":"key-number-9"}'
    other = memoryview(b"nothing")
    assert keys.conceal(other) is other
    keys.learn("short")
    assert keys.conceal(b"short") == b"short"


async def test_the_engine_conceals_the_key_that_it_uses() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        engine = OpenAIEngine(OpenAIOptions(FixedKey("my own secret"), simulator.base_url))
        connection, receiver = await engine.open(CALL), RecordingReceiver()
        connection.attach(receiver)
        await receiver.first.wait()
        assert engine.capabilities.conceal(b"my own secret") == b"[masked]"
        connection.close(1000, "")
        await receiver.gone


async def test_a_probe_asks_for_the_list_of_models() -> None:
    options = SimulatorOptions(parts=scripted_parts())
    async with await simulate(options) as simulator, aiohttp.ClientSession() as http:
        good = OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), simulator.base_url))
        assert await good.probe(http) is None
        bad = OpenAIEngine(OpenAIOptions(FixedKey("bad-key"), simulator.base_url))
        assert await bad.probe(http) == "HTTP 401"
        none = OpenAIEngine(OpenAIOptions(FixedKey(""), simulator.base_url))
        assert await none.probe(http) == "no_provider_key"
        nobody = OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), "http://127.0.0.1:1/v1"))
        assert await nobody.probe(http) == "ClientConnectorError"


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ("404 Not Found", None),
        ("429 Too Many Requests", "HTTP 429"),
        ("500 Oops", "HTTP 500"),
        ("302 Found\r\nLocation: http://127.0.0.1:1/steal-the-key", None),
    ],
)
async def test_a_server_without_such_a_list_is_no_refusal(head: str, fault: str | None) -> None:
    async with answering(head) as base, aiohttp.ClientSession() as http:
        assert await OpenAIEngine(OpenAIOptions(FixedKey("sk-test"), base)).probe(http) == fault


@pytest.mark.parametrize(
    "base", ["https://h/v1", "https://h/v1/", "wss://h/v1/realtime", "https://h/v1/realtime/"]
)
def test_the_list_of_models_is_beside_the_calls(base: str) -> None:
    assert models_url(base) == "https://h/v1/models"
    assert models_url(f"{base}?api-version=1") == "https://h/v1/models?api-version=1"


# ---------------------------------------------------------------------------------------- Azure


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[str, list[Request]]]:
    """A server that keeps what it is asked; its address without a path."""
    requests: list[Request] = []

    async def talk(socket: ServerConnection) -> None:
        assert socket.request is not None
        requests.append(socket.request)
        await socket.send('{"type":"session.created"}')
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", requests


async def greeted(engine: OpenAIEngine) -> None:
    connection = await engine.open(CALL)
    receiver = RecordingReceiver()
    connection.attach(receiver)
    await receiver.first.wait()
    connection.close(1000, "")
    await receiver.gone


@pytest.mark.parametrize(
    ("deployment", "model"), [("my deployment", "my+deployment"), (None, "gpt-realtime-2.1")]
)
async def test_azure_gets_its_path_and_its_own_header(deployment: str | None, model: str) -> None:
    async with asked() as (endpoint, requests):
        await greeted(OpenAIEngine(azure_options(endpoint, "az-key", deployment, timeout=5.0)))
    (request,) = requests
    assert request.path == f"/openai/v1/realtime?model={model}"
    assert request.headers["api-key"] == "az-key"
    assert "Authorization" not in request.headers
    assert "OpenAI-Beta" not in request.headers
    assert "Sec-WebSocket-Protocol" not in request.headers


async def test_azure_with_a_bearer_token_is_its_base_url_and_the_token_as_key() -> None:
    async with asked() as (endpoint, requests):
        await greeted(OpenAIEngine(OpenAIOptions(FixedKey("entra-token"), f"{endpoint}/openai/v1")))
    (request,) = requests
    assert request.path == "/openai/v1/realtime?model=gpt-realtime-2.1"
    assert request.headers["Authorization"] == "Bearer entra-token"
    assert "api-key" not in request.headers


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/v1/",
        "https://r.openai.azure.com/openai/v1/realtime",
    ],
)
def test_an_endpoint_may_be_given_with_or_without_its_path(endpoint: str) -> None:
    options = azure_options(endpoint, "az-key", "rt", 5.0)
    url = realtime_url(options.base_url, options.model or "")
    assert url == "wss://r.openai.azure.com/openai/v1/realtime?model=rt"
    assert "az-key" not in repr(options)
