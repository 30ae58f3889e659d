"""Errors as they travel, seen by a plain HTTP client, and the bounds that cause some of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError, RateLimitError

from relay.parts.interfaces import ReplyDelta
from relay.simulator.http import bodies
from relay.simulator.http.server import SeenRequest
from tests.simulator.http.test_transcriptions import HELLO
from tests.simulator.http.twin import Twin, a_twin

KEY = {"Authorization": "Bearer sk-good"}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}


@asynccontextmanager
async def plainly(**options: Any) -> AsyncIterator[tuple[Twin, httpx.AsyncClient]]:
    async with (
        a_twin(**options) as twin,
        httpx.AsyncClient(base_url=twin.simulator.base_url, headers=KEY) as client,
    ):
        yield twin, client


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer that has nothing else."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    body = answer.json()
    assert list(body) == ["error"]
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return dict(body["error"])


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"Authorization": "Bearer bad-key"}, "invalid_api_key"),
        ({"Authorization": "Bearer"}, None),
        ({"Authorization": "Basic sk-good"}, None),
        ({"Authorization": ""}, None),
    ],
)
@pytest.mark.parametrize("path", ["/models", "/chat/completions", "/nowhere"])
async def test_without_a_good_key_nothing_is_told(
    header: dict[str, str], code: str | None, path: str
):
    async with plainly() as (_, client):
        answer = await client.get(path, headers=header)

    assert answer.status_code == 401
    error = error_of(answer)
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert "bad-key" not in error["message"]


async def test_the_clients_own_errors():
    async with a_twin(key="bad-key") as twin:
        with pytest.raises(AuthenticationError):
            await twin.client.models.list()
    async with a_twin(models=frozenset({"m"})) as twin:
        with pytest.raises(NotFoundError) as unknown:
            await twin.client.chat.completions.create(**{**CHAT, "model": "other"})
        with pytest.raises(NotFoundError):
            await twin.client.audio.transcriptions.create(model="other", file=HELLO)
        assert (await twin.client.chat.completions.create(**CHAT)).model == "m"

    assert unknown.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, None),
        ("POST", "/v1/chat/completions", 404, None),
        ("GET", "/chat/completions", 405, "method_not_supported"),
        ("DELETE", "/models/m", 405, "method_not_supported"),
    ],
)
async def test_wrong_addresses(method: str, path: str, status: int, code: str | None):
    async with plainly() as (_, client):
        answer = await client.request(method, path)

    assert answer.status_code == status
    assert error_of(answer)["code"] == code


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"not json", None),
        (b"\xff", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":1,"messages":[]}', "model"),
        (b'{"model":"m","messages":[{"content":"x"}]}', "messages[0].role"),
    ],
)
async def test_wrong_bodies(body: bytes, param: str | None):
    async with plainly() as (_, client):
        answer = await client.post("/chat/completions", content=body)

    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        ({"Content-Type": "multipart/form-data"}, b"--x--"),
        (FORM, b"nothing of a form"),
        (FORM, b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\r\n--x--\r\n'),
        (FORM, b'--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n'),
        (FORM, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 70 + b"--x--\r\n"),
        (FORM, b"--x--\r\n"),
    ],
)  # fmt: skip
async def test_wrong_forms(headers: dict[str, str], body: bytes):
    async with plainly() as (_, client):
        answer = await client.post("/audio/transcriptions", content=body, headers=headers)

    assert answer.status_code == 400
    assert error_of(answer)["type"] == "invalid_request_error"


async def test_a_form_without_a_file():
    async with plainly() as (_, client):
        answer = await client.post(
            "/audio/transcriptions", data={"model": "m"}, files={"x": ("x", b"x")}
        )

    assert error_of(answer)["param"] == "file"


@pytest.mark.parametrize("name", ["MAX_UPLOAD_BYTES", "MAX_FIELD_BYTES", "MAX_JSON_BYTES"])
async def test_what_is_too_large(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bodies, name, 1000)
    async with plainly() as (_, client):
        if name == "MAX_JSON_BYTES":
            answer = await client.post("/embeddings", content=b" " * 1001)
        else:
            field = "file" if name == "MAX_UPLOAD_BYTES" else "prompt"
            answer = await client.post(
                "/audio/transcriptions", files={field: (None, b"x" * 1001)}, data={"model": "m"}
            )

    assert answer.status_code == 413
    assert "1000 bytes" in error_of(answer)["message"]


async def test_a_whole_upload_fits():
    pcm = bytes(bodies.MAX_UPLOAD_BYTES - 100)
    async with a_twin() as twin:
        with pytest.raises(Exception, match=r"read|longer than") as refused:
            await twin.client.audio.transcriptions.create(model="m", file=("a.wav", pcm))

    assert getattr(refused.value, "status_code", None) == 400


async def test_more_requests_than_there_may_be():
    async with (
        plainly(max_requests=1, answers=(ReplyDelta("Good"), ...)) as (twin, client),
        await twin.client.chat.completions.create(**CHAT, stream=True) as first,
    ):
        await anext(first)
        assert twin.simulator.requests == 1
        answer = await client.get("/models")
        with pytest.raises(RateLimitError):
            await twin.client.models.list()

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    error = error_of(answer)
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")


def test_what_all_requests_hold_is_bounded():
    load = bodies.Load(max_requests=3, max_bytes=100)
    with load.admit() as one, load.admit() as other:
        one.add(60)
        with pytest.raises(Exception, match="429"):
            other.add(41)
        other.add(40)
    assert (load.requests, load.held_bytes) == (0, 0)


async def test_a_client_that_leaves_stops_the_work():
    async with plainly(answers=(ReplyDelta("Good"), ...)) as (twin, client):
        asked = {**CHAT, "stream": True}
        async with client.stream("POST", "/chat/completions", json=asked) as answer:
            await anext(answer.aiter_bytes())
        await twin.thinking.stopped.wait()
        while twin.simulator.requests:
            await asyncio.sleep(0)


async def test_a_client_that_leaves_before_the_first_word_stops_the_work():
    async with plainly(answers=(...,)) as (twin, client):
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/chat/completions", json=CHAT, timeout=0.2)
        await twin.thinking.stopped.wait()


async def test_requests_are_visible_to_tests():
    seen: list[SeenRequest] = []
    async with a_twin(on_request=seen.append) as twin:
        azure = twin.simulator.base_url.replace("/v1", "/openai/v1")
        async with AsyncOpenAI(base_url=azure, api_key="sk-good") as client:
            await client.chat.completions.create(**CHAT)
        await twin.client.audio.transcriptions.create(model="m", file=HELLO, language="en")

    chat, heard = seen
    assert (chat.path, chat.headers["authorization"]) == ("/v1/chat/completions", "Bearer sk-good")
    assert chat.fields["messages"] == CHAT["messages"]
    assert heard.path == "/v1/audio/transcriptions"
    assert json.loads(json.dumps(heard.fields)) == {"model": "m", "language": "en"}
