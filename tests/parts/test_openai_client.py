"""The client that the OpenAI parts share: when it is made, what it sends where, what it reads."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relay.parts import openai_client
from relay.parts.interfaces import PartFailed, SynthesisRequest
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.parts.openai_tts import OpenAISynthesizer
from tests.own_time import own_time
from tests.parts.conformance import joined
from tests.parts.doubles.double import Double, Fault, serving
from tests.parts.doubles.openai_api import Answer
from tests.parts.subjects import asked, client
from tests.parts.subjects import openai_client as opened

TEXT = SynthesisRequest("Hello.")


@asynccontextmanager
async def answering(body: bytes, status: int = 200) -> AsyncIterator[OpenAIClient]:
    """Serve one body to every chat; yields a client for it."""
    double = Double()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        await response.write(body)
        return response

    route = web.post("/v1/chat/completions", answer)
    async with serving(double, route) as address, client(f"{address}/v1") as made:
        yield made


async def reply(made: OpenAIClient) -> str:
    part = OpenAIResponder(made, "gpt-4o-mini")
    return str(joined([piece async for piece in part.respond(asked("Hi"))]))


def chunk(text: str, finish: str | None = None) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]})


# ------------------------------------------------------------------------------ being made


def test_the_library_is_imported_only_where_a_client_is_made() -> None:
    script = (
        "import sys, relay.parts.openai_stt, relay.parts.openai_llm, relay.parts.openai_tts\n"
        "relay.parts.openai_client.OpenAIClient('https://api.openai.com/v1', 'k')\n"
        "assert 'openai' not in sys.modules and 'httpx2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


async def test_the_event_loop_goes_on_while_it_is_made() -> None:
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            began = own_time()
            await asyncio.sleep(0.001)
            gaps.append(own_time() - began)

    made = OpenAIClient("http://127.0.0.1:9/v1", "k")
    await made.prepare()  # the import is another matter: it is done once a process
    await made.aclose()
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        for _ in range(3):
            made = OpenAIClient("http://127.0.0.1:9/v1", "k")
            await made.prepare()
            await made.aclose()
        ticking.cancel()

    assert sorted(gaps)[len(gaps) * 9 // 10] < 0.02


async def test_without_the_library_its_parts_are_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    made = OpenAIClient("https://api.openai.com/v1", "k")

    with pytest.raises(ImportError):
        await made.prepare()
    with pytest.raises(PartFailed) as raised:
        await OpenAISynthesizer(made, "tts-1").synthesize(TEXT).__anext__()
    assert raised.value.detail == "openai is not installed"
    assert raised.value.code == "unavailable"


async def test_a_closed_client_says_so() -> None:
    async with opened() as (double, made):
        await made.prepare()
        await made.aclose()
        with pytest.raises(PartFailed) as raised:
            await reply(made)

    assert (raised.value.code, raised.value.detail) == ("unavailable", "closed")
    assert double.headers == []


@pytest.mark.parametrize(
    ("address", "is_openai"),
    [
        ("https://api.openai.com/v1", True),
        ("https://my-house.openai.azure.com/openai/v1", True),
        ("https://api.openai.com.example/v1", False),
        ("https://example.com/api.openai.com", False),
        ("http://localhost:11434/v1", False),
    ],
)
def test_whose_server_it_is_shows_in_its_address(address: str, is_openai: bool) -> None:
    assert OpenAIClient(address, "k").is_openai == is_openai


# ---------------------------------------------------------------------------- what it sends


async def test_nothing_of_the_operators_goes_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "the-operators-own")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    async with opened() as (double, made):
        double.faults.append(Fault(status=401))
        keyless = OpenAIClient(made._base_url, "")
        with pytest.raises(PartFailed):
            await reply(keyless)
        await keyless.aclose()

    assert "Authorization" not in double.headers[0]
    assert "the-operators-own" not in str(double.headers)


# ---------------------------------------------------------------------------- what it reads


async def test_events_are_read_however_they_are_cut_and_separated() -> None:
    events = f": ping\r\n\r\nevent: x\r\ndata: {chunk('Hel')}\r\n\r\ndata:{chunk('lo', 'stop')}\n\n"
    async with answering(events.encode()) as made:
        assert await reply(made) == "Hello"


async def test_what_comes_after_the_end_is_not_read() -> None:
    events = f"data: {chunk('Hello', 'stop')}\n\ndata: [DONE]\n\ndata: nonsense\n\n"
    async with answering(events.encode()) as made:
        assert await reply(made) == "Hello"


async def test_a_stream_that_is_done_need_not_end() -> None:
    async with opened() as (double, made):
        double.faults.append(Fault(stall_after=7))  # ping, role, two words, finish, count, "done"
        double.answer_with = Answer("Good morning")
        began = own_time()
        assert await reply(made) == "Good morning"
        assert own_time() - began < 3.0
        await double.rest()

    assert double.gone == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"data: {oops\n\n", "answer is not JSON"),
        (b"data: 7\n\n", "answer is not an object"),
        (b"<html>private</html>", "cut"),
        (b"", "cut"),
        (b'data: {"error": {"message": "private", "code": "overloaded"}}\n\n', "overloaded"),
        (b'data: {"error": {"message": "private"}}\n\n', "error event"),
        (b'data: {"choices": [{"delta": []}]}\n\n', "cut"),
        (b'data: {"choices": [{"delta": "private"}]}\n\n', "malformed answer"),
        (b'data: {"choices": 7}\n\n', "malformed answer"),
    ],
)
async def test_what_is_no_answer_is_a_failure_that_quotes_nothing(body: bytes, detail: str) -> None:
    async with answering(body) as made:
        with pytest.raises(PartFailed) as raised:
            await reply(made)

    assert (raised.value.code, raised.value.detail) == ("failed", detail)


async def test_an_event_without_an_end_is_not_collected_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_client, "MAX_EVENT_BYTES", 1000)
    async with answering(b"data: " + bytes(5000)) as made:
        with pytest.raises(PartFailed, match="event too large"):
            await reply(made)


async def test_an_error_as_long_as_a_book_is_not_read_to_its_end() -> None:
    async with answering(b"x" * 50_000_000, 500) as made:
        began = own_time()
        with pytest.raises(PartFailed) as raised:
            await reply(made)

    assert raised.value.detail == "500"
    assert own_time() - began < 2.0


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    async with opened() as (double, made):
        double.faults.append(Fault(wait=600))
        impatient = OpenAIClient(made._base_url, "k", timeout=0.2)
        await impatient.prepare()
        with pytest.raises(PartFailed) as raised:
            await reply(impatient)
        await double.rest()
        await impatient.aclose()

    assert raised.value.code == "timeout"
    assert double.gone == 1
