"""The simulator over real sockets, with the `openai` and the `websockets` client."""

import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.engines.cascade import engine as voice
from relay.engines.cascade.engine import HIGH_BYTES
from relay.engines.cascade.outputs import Pace
from relay.parts.simple import Script, scripted_parts, silence, tone
from relay.simulator import Simulator, SimulatorOptions, simulate
from tests.engines.cascade.driving import valid
from tests.engines.cascade.listening import turns
from tests.websocket.certificate import make_certificate

KEY = {"Authorization": "Bearer sk-good"}
FAST = Pace(burst=1000, text_seconds=0)
TRANSCRIBED: Any = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
}


def options(**more: Any) -> SimulatorOptions:
    script = Script(heard=("How are you?",), replies=("Fine, thank you. {heard}",))
    return SimulatorOptions(scripted_parts(script), pace=FAST, **more)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with await simulate(options()) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=simulator.base_url, api_key="sk-good") as client:
        yield client


async def test_an_audio_turn_of_the_openai_client(client: AsyncOpenAI):
    events: list[Any] = []
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session=TRANSCRIBED)
        audio = silence(300) + tone(700) + silence(900)
        for start in range(0, len(audio), 4800):
            piece = base64.b64encode(audio[start : start + 4800]).decode()
            await connection.input_audio_buffer.append(audio=piece)
        async for event in connection:
            events.append(event)
            if event.type == "rate_limits.updated":
                break

    by_type = {event.type: event for event in events}
    assert events[0].type == "session.created"
    transcript = by_type["conversation.item.input_audio_transcription.completed"].transcript
    assert transcript == "How are you?"
    said = by_type["response.output_audio_transcript.done"].transcript
    assert said == "Fine, thank you. How are you?"
    deltas = [event.delta for event in events if event.type == "response.output_audio.delta"]
    spoken = ("Fine, thank you.", "How are you?")
    sound = b"".join(tone(60 * len(sentence)) for sentence in spoken)
    assert b"".join(map(base64.b64decode, deltas)) == sound
    assert by_type["response.done"].response.status == "completed"
    assert by_type["response.done"].response.usage.total_tokens > 0


async def test_a_text_turn_of_the_openai_client(client: AsyncOpenAI):
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "And you?"}],
            }
        )
        await connection.response.create()
        text = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.done":
                break

    assert text == "Fine, thank you. And you?"


async def test_an_error_is_an_event_for_the_openai_client(client: AsyncOpenAI):
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.response.cancel(event_id="mine")
        error: Any = None
        async for event in connection:
            if event.type == "error":
                error = event.error
                break

        assert error.code == "response_cancel_not_active"
        assert error.event_id == "mine"


@pytest.mark.parametrize("path", ["/v1/realtime", "/realtime", "/openai/v1/realtime"])
async def test_its_addresses(simulator: Simulator, path: str):
    url = f"ws://127.0.0.1:{simulator.port}{path}?model=gpt-realtime"

    async with connect(url, additional_headers=KEY) as socket:
        created = json.loads(await socket.recv())

    assert valid(created)["session"]["model"] == "gpt-realtime"


async def test_other_paths_are_not_found(simulator: Simulator):
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{simulator.port}/v1/chat", additional_headers=KEY)

    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    ("query", "headers", "code", "close"),
    [
        ("?model=m", {}, None, (3000, "invalid_request_error")),
        (
            "?model=m",
            {"Authorization": "Bearer bad-key"},
            "invalid_api_key",
            (3000, "invalid_request_error.invalid_api_key"),
        ),
        ("", KEY, "missing_model", (4000, "invalid_request_error.missing_model")),
        ("?model=", KEY, "missing_model", (4000, "invalid_request_error.missing_model")),
        ("?model=unknown", KEY, "invalid_model", (4000, "invalid_request_error.invalid_model")),
        (
            "?model=m",
            {**KEY, "OpenAI-Beta": "realtime=v1"},
            "beta_api_shape_disabled",
            (4000, "invalid_request_error.beta_api_shape_disabled"),
        ),
    ],
)
async def test_refused_handshakes(
    query: str, headers: dict[str, str], code: str | None, close: tuple[int, str]
):
    async with await simulate(options(models=frozenset({"m"}))) as simulator:
        async with connect(simulator.url + query, additional_headers=headers) as socket:
            error = valid(json.loads(await socket.recv()))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()

        assert error["error"]["code"] == code
        received = closed.value.rcvd
        assert received is not None
        assert (received.code, received.reason) == close
        assert simulator.connections == 0


async def test_a_browser_sends_its_key_as_a_protocol(simulator: Simulator):
    protocols = ["realtime", "openai-insecure-api-key.ek_good"]

    async with connect(f"{simulator.url}?model=m", subprotocols=protocols) as socket:  # type: ignore[arg-type]
        created = json.loads(await socket.recv())

    assert created["type"] == "session.created"
    assert socket.subprotocol == "realtime"


async def test_a_client_without_subprotocols_gets_none(simulator: Simulator):
    async with connect(f"{simulator.url}?model=m", additional_headers=KEY) as socket:
        assert socket.subprotocol is None


async def test_binary_is_an_error_and_the_session_goes_on(simulator: Simulator):
    async with connect(f"{simulator.url}?model=m", additional_headers=KEY) as socket:
        await socket.recv()
        await socket.send(b"\x00" * 64)
        error = valid(json.loads(await socket.recv()))
        await socket.send('{"type":"input_audio_buffer.clear"}')
        cleared = json.loads(await socket.recv())

    assert error["error"]["code"] == "invalid_event"
    assert "binary frames are not supported" in error["error"]["message"]
    assert cleared["type"] == "input_audio_buffer.cleared"


async def test_bad_json_is_an_error_and_the_session_goes_on(simulator: Simulator):
    async with connect(f"{simulator.url}?model=m", additional_headers=KEY) as socket:
        await socket.recv()
        await socket.send("not json")
        error = json.loads(await socket.recv())
        await socket.send('{"type":"nope"}')
        unknown = json.loads(await socket.recv())

    assert error["error"]["code"] == "invalid_json"
    assert "'session.update', 'session.close'" in unknown["error"]["message"]


async def test_headers_and_frames_are_visible_to_tests():
    frames: list[bytes] = []
    async with await simulate(options(on_frame=frames.append)) as simulator:
        headers = {**KEY, "OpenAI-Safety-Identifier": "someone"}
        async with connect(f"{simulator.url}?model=m", additional_headers=headers) as socket:
            await socket.recv()
            await socket.send('{"type":"input_audio_buffer.clear"}')
            await socket.recv()
            assert simulator.connections == 1
        await socket.wait_closed()

        assert simulator.headers[-1]["openai-safety-identifier"] == "someone"
        assert frames == [b'{"type":"input_audio_buffer.clear"}']


async def test_it_closes_its_connections_when_it_stops():
    simulator = await simulate(options())
    async with connect(f"{simulator.url}?model=m", additional_headers=KEY) as socket:
        await socket.recv()
        await simulator.aclose()

        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert simulator.connections == 0


async def test_sessions_are_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(voice, "MAX_SESSIONS", 1)
    async with await simulate(options()) as simulator:
        url = f"{simulator.url}?model=m"
        async with connect(url, additional_headers=KEY) as first:
            await first.recv()
            async with connect(url, additional_headers=KEY) as second:
                with pytest.raises(ConnectionClosed) as closed:
                    await second.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "Server at capacity"


async def test_with_tls(tmp_path: Path):
    pem = tmp_path / "both.pem"
    pem.write_bytes(make_certificate())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=pem)
    async with await simulate(options(ssl_context=server)) as simulator:
        url = f"{simulator.url}?model=m"
        async with connect(url, additional_headers=KEY, ssl=trusting) as socket:
            created = json.loads(await socket.recv())

    assert url.startswith("wss://127.0.0.1:")
    assert created["type"] == "session.created"


async def test_a_client_that_does_not_read_does_not_fill_the_memory(simulator: Simulator):
    audio = base64.b64encode(tone(10_000)).decode()
    part = {"type": "input_audio", "audio": audio}
    item = {"id": "big", "type": "message", "role": "user", "content": [part]}
    async with connect(
        f"{simulator.url}?model=m", additional_headers=KEY, max_size=None, max_queue=1
    ) as socket:
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        for _ in range(40):
            await socket.send('{"type":"conversation.item.retrieve","item_id":"big"}')
        (peer,) = simulator._engine._connections
        await turns(500)
        assert 0 < peer._outbox_bytes < HIGH_BYTES + 2 * len(audio)

        count = 0
        while count < 40:
            count += json.loads(await socket.recv())["type"] == "conversation.item.retrieved"
