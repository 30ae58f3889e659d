"""Everything wrong that a caller can send: each gets its answer, and nobody else notices."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.scenarios.by_hand import browser, client, openai, provided
from tests.scenarios.stage import AGENT, SECRET, Line, Stage, stage, token
from tests.websocket.ends import TEXT


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One relay for the whole table: what one row breaks, the next would notice."""
    async with stage(
        tmp_path_factory.mktemp("bad"), allowed_origins=("https://good.example",)
    ) as it:
        yield it


pytestmark = pytest.mark.asyncio(loop_scope="module")


def append(audio: Any, **more: Any) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio, **more})


def item(given: Any, **more: Any) -> str:
    return json.dumps({"type": "conversation.item.create", "item": given, **more})


def truncate(**fields: Any) -> str:
    given = {"item_id": "i", "content_index": 0, "audio_end_ms": 0, **fields}
    kept = {name: value for name, value in given.items() if value != "absent"}
    return json.dumps({"type": "conversation.item.truncate", **kept})


# Frame and the code of the `error` event it is answered with; the session goes on.
FRAMES: list[tuple[str, str]] = [
    ("", "invalid_json"),
    (" ", "invalid_json"),
    ("{", "invalid_json"),
    ("nonsense", "invalid_json"),
    ("{'type': 'response.create'}", "invalid_json"),
    ('{"type": "response.create",}', "invalid_json"),
    ('{"type": "response.create"} trailing', "invalid_json"),
    ('{"type": "response.create"}{"type": "response.create"}', "invalid_json"),
    ("[" * 50_000, "invalid_json"),
    ('{"a":' * 20_000, "invalid_json"),
    ('{"type": NaN}', "invalid_json"),
    ('{"type": "\\ud800"}', "invalid_value"),
    ('{"type": "response.create", "n": 1e999}', "invalid_json"),
    ("\ufeff{}", "invalid_json"),
    ("null", "invalid_event"),
    ("true", "invalid_event"),
    ("17", "invalid_event"),
    ('"response.create"', "invalid_event"),
    ("[]", "invalid_event"),
    ('[{"type": "response.create"}]', "invalid_event"),
    ("{}", "missing_required_parameter"),
    ('{"Type": "response.create"}', "missing_required_parameter"),
    ('{"type": null}', "missing_required_parameter"),
    ('{"type": 5}', "missing_required_parameter"),
    ('{"type": ["response.create"]}', "missing_required_parameter"),
    ('{"type": ""}', "invalid_value"),
    ('{"type": "response.create "}', "invalid_value"),
    ('{"type": "RESPONSE.CREATE"}', "invalid_value"),
    ('{"type": "session.created"}', "invalid_value"),
    ('{"type": "response.done"}', "invalid_value"),
    ('{"type": "relay.token", "token": "x"}', "invalid_value"),
    ('{"type": "relay.session"}', "invalid_value"),
    ('{"type": "session.close"}', "invalid_value"),
    ('{"type": "response.create", "event_id": 5}', "invalid_type"),
    ('{"type": "response.create", "event_id": {"a": 1}}', "invalid_type"),
    (json.dumps({"type": "response.create", "event_id": "e" * 600}), "string_above_max_length"),
    ('{"type": "response.create", "response": "now"}', "invalid_type"),
    ('{"type": "response.create", "response": []}', "invalid_type"),
    ('{"type": "response.cancel", "response_id": 5}', "invalid_type"),
    ('{"type": "session.update"}', "missing_required_parameter"),
    ('{"type": "session.update", "session": null}', "invalid_type"),
    ('{"type": "session.update", "session": "gpt"}', "invalid_type"),
    ('{"type": "session.update", "session": {"type": "realtime"}, "session": 5}', "invalid_type"),
    ('{"type": "conversation.item.create"}', "missing_required_parameter"),
    (item(None), "invalid_type"),
    (item([]), "invalid_type"),
    (item({}), "missing_required_parameter"),
    (item({"type": 5}), "missing_required_parameter"),
    (item({"type": "message"}, previous_item_id=5), "invalid_type"),
    ('{"type": "conversation.item.retrieve"}', "missing_required_parameter"),
    ('{"type": "conversation.item.retrieve", "item_id": 7}', "invalid_type"),
    ('{"type": "conversation.item.delete", "item_id": null}', "invalid_type"),
    (truncate(item_id="absent"), "missing_required_parameter"),
    (truncate(content_index="0"), "invalid_type"),
    (truncate(content_index="absent"), "missing_required_parameter"),
    (truncate(audio_end_ms=1.5), "invalid_type"),
    (truncate(audio_end_ms=True), "invalid_type"),
    (truncate(audio_end_ms=None), "invalid_type"),
    ('{"type": "input_audio_buffer.append"}', "missing_required_parameter"),
    (append(None), "invalid_type"),
    (append(5), "invalid_type"),
    (append(["AAAA"]), "invalid_type"),
    (append("AAA"), "invalid_value"),
    (append("äöüß"), "invalid_value"),
    (append("AAAA", event_id=5), "invalid_type"),
    ('{"type":"input_audio_buffer.append","audio":"AAAA","type":"x"}', "invalid_value"),
    ('{"type":"input_audio_buffer.append","audio":"AAAA","audio":5}', "invalid_type"),
    ('{"type":"input_audio_buffer.append","audio":"AAAA"', "invalid_json"),
]


async def still_there(line: Line) -> None:
    """The session answers as if nothing had happened."""
    await line.send({"type": "input_audio_buffer.clear"})
    await line.until("input_audio_buffer.cleared")


async def test_S3_44_every_malformed_frame_is_answered_and_none_reaches_the_engine(
    here: Stage,
) -> None:
    assert here.simulator is not None
    async with here.openai_client() as bystander, here.openai_client() as line:
        await bystander.until("session.created")
        await still_there(line)
        up_before = here.app.server._services.metrics.traffic.frames_up
        for frame, code in FRAMES:
            await line.socket.send(frame)
            error = await line.until("error")
            assert error["error"]["code"] == code, frame[:80]
            assert error["error"]["message"], frame[:80]
            assert error["event_id"].startswith("event_relay_"), "our answer, not the engine's"
        traffic = here.app.server._services.metrics.traffic
        assert traffic.frames_up == up_before + len(FRAMES), "each came, and was counted"
        await still_there(line)
        answered = [
            kind for kind in line.types if kind not in ("error", "input_audio_buffer.cleared")
        ]
        assert answered == ["session.created"], "the engine never heard of any of them"
        await still_there(bystander)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type":"nonsense"}', "invalid_value"),
        ("{", "invalid_json"),
        (append("AAA"), "invalid_value"),
    ],
)
async def test_S3_44_the_s3_door_says_it_in_s3s_shape(here: Stage, frame: str, code: str) -> None:
    async with here.s3_client() as line:
        await line.until("session.updated")
        await line.socket.send(frame)
        error = await line.until("error")
        assert (error["code"], error["error"]) == (code, error["message"])
        await still_there(line)


@pytest.mark.parametrize("address", [browser, openai])
async def test_S3_44_a_provider_sees_not_one_of_them(
    tmp_path: Path, address: Callable[[], str]
) -> None:
    async with provided(tmp_path) as (there, provider), client(there, address()) as end:
        await end.until("session.created")
        for given, _ in FRAMES:
            end.write(TEXT, given.encode())
        end.send({"type": "input_audio_buffer.clear"})
        call = await provider.call()
        await call.until("input_audio_buffer.clear")
        assert call.types == ["session.update", "input_audio_buffer.clear"]
        assert end.types == ["session.created"] + ["error"] * len(FRAMES)


async def test_a_binary_frame_is_1003_at_a_text_door(here: Stage) -> None:
    for caller in (here.openai_client(), here.s3_client()):
        async with caller as line:
            await line.until("session.created")
            await line.socket.send(b"\x00\x01")
            assert (await line.closed())[0] == 1003


def forged(claims: dict[str, Any], key: str = SECRET, **header: Any) -> str:
    now = int(time.time())
    given = {"sub": "ada", "aud": "authenticated", "iat": now, "exp": now + 600, **claims}
    kept = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(kept, key, algorithm="HS256", headers=header or None)


def unsigned() -> str:
    _, body, _ = token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{none}.{body}."


def tampered() -> str:
    head, body, signature = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "eve"}).encode()).rstrip(b"=")
    return f"{head}.{other.decode()}.{signature}"


TOKENS: dict[str, str] = {
    "nonsense": "nonsense",
    "dots": "..",
    "two parts": "a.b",
    "expired": forged({"exp": int(time.time()) - 60}),
    "without expiry": forged({"exp": None}),
    "not yet valid": forged({"nbf": int(time.time()) + 600}),
    "issued tomorrow": forged({"iat": int(time.time()) + 86_400}),
    "of another audience": forged({"aud": "anon"}),
    "without audience": forged({"aud": None}),
    "without subject": forged({"sub": None}),
    "with an empty subject": forged({"sub": ""}),
    "signed by another": forged({}, key="another secret of more than thirty-two characters"),
    "unsigned": unsigned(),
    "tampered": tampered(),
    "with its own key": forged({}, jku="https://evil.example/keys"),
    "too long": forged({"padding": "x" * 3000}) + "x" * 100,
}


@pytest.mark.parametrize("name", TOKENS)
async def test_S3_4_a_bad_token_is_refused_at_both_doors(here: Stage, name: str) -> None:
    async with here.s3_client(token=TOKENS[name]) as line:
        assert await line.closed() == (4001, "Unauthorized")
    headers = {"Authorization": f"Bearer {TOKENS[name]}"}
    async with here.openai_client(additional_headers=headers) as line:
        assert await line.closed() == (3000, "invalid_request_error.invalid_api_key")
        assert line.events[0]["error"]["code"] == "invalid_api_key"
        assert TOKENS[name] not in json.dumps(line.events)


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/v1/realtime?conversation_id=1234", 4003, "Forbidden"),
        ("/v1/realtime?conversation_id=%00", 4003, "Forbidden"),
        ("/v1/realtime?agent_id=" + "a" * 300, 4003, "Forbidden"),
        ("/v1/realtime?intent=transcription", 4000, "invalid_request_error.unsupported_intent"),
        ("/v1/realtime?call_id=rtc_1", 4000, "invalid_request_error.unsupported_call_id"),
        ("/v1/realtime/client_secrets", 4000, "invalid_request_error.unknown_path"),
        ("/v1/nothing", 4000, "invalid_request_error.unknown_path"),
        ("/openai/v2/realtime", 4000, "invalid_request_error.unknown_path"),
        ("/", 4000, "Missing token or agent_id"),
        (f"/?agent_id={AGENT}&conversation_id=not-a-uuid", 4003, "Forbidden"),
    ],
)
async def test_a_bad_query_has_its_ending(here: Stage, path: str, code: int, reason: str) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    async with here._connect(here.voice + path, additional_headers=headers) as line:
        assert await line.closed() == (code, reason)


GOOD_HEAD = {
    "Host": "relay",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(line: str = "GET /v1/realtime HTTP/1.1", **changed: str | None) -> bytes:
    """A handshake with some headers changed or taken out; `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in changed.items()}
    head = {name: value for name, value in {**GOOD_HEAD, **named}.items() if value is not None}
    return "\r\n".join([line, *(f"{n}: {v}" for n, v in head.items()), "", ""]).encode("latin-1")


# A raw request and the beginning of what it is answered with (empty: just closed).
HANDSHAKES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "plain GET": (b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", (400, 426)),
    "POST": (request("POST /v1/realtime HTTP/1.1"), (400, 405)),
    "HTTP/1.0": (request("GET /v1/realtime HTTP/1.0"), (400, 505)),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (0, 400)),
    "no key": (request(Sec_WebSocket_Key=None), (400,)),
    "a short key": (request(Sec_WebSocket_Key="c2hvcnQ="), (400,)),
    "a key that is no base64": (request(Sec_WebSocket_Key="!!!!"), (400,)),
    "no version": (request(Sec_WebSocket_Version=None), (400, 426)),
    "an old version": (request(Sec_WebSocket_Version="8"), (400, 426)),
    "no upgrade": (request(Upgrade=None), (400, 426)),
    "another upgrade": (request(Upgrade="h2c"), (400, 426)),
    "a foreign origin": (request(Origin="https://evil.example"), (403,)),
    "the null origin": (request(Origin="null"), (403,)),
    "a long query": (request(f"GET /v1/realtime?x={'a' * 17000} HTTP/1.1"), (431,)),
    "many parameters": (request(f"GET /?{'a=1&' * 100} HTTP/1.1"), (400, 414)),
    "a bad subprotocol": (request(Sec_WebSocket_Protocol="re(al)time"), (400,)),
    "many subprotocols": (
        request(Sec_WebSocket_Protocol=", ".join(f"p{n}" for n in range(100))),
        (400,),
    ),
    "a header without an end": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, (431,)),
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_a_bad_handshake_gets_a_short_answer(here: Stage, name: str) -> None:
    sent, allowed = HANDSHAKES[name]
    active = here.app.directory.active
    reader, writer = await asyncio.open_connection("127.0.0.1", here.app.listener.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(15):
            answer = await reader.read()
    except ConnectionError:
        answer = b""  # closed with our bytes unread: a reset
    finally:
        writer.close()
    status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    assert status in allowed, answer[:200]
    assert b"Traceback" not in answer
    assert b"picows" not in answer
    assert here.app.directory.active == active, "it never counted"
    async with here.openai_client() as line:
        await line.until("session.created")


async def test_the_table_is_as_long_as_it_was_asked_to_be() -> None:
    assert len(FRAMES) + len(TOKENS) + len(HANDSHAKES) >= 100


async def test_S3_14_after_all_that_nothing_is_left(here: Stage) -> None:
    await here.emptied()
    assert here.app.directory.active == 0
    assert len(here.app.server._tasks) == 0
