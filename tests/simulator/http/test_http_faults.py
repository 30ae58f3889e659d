"""Every fault of HTTP requests, seen by the `openai` client."""

import asyncio
from typing import Any

import httpx2  # what `openai` is made with
import pytest
from openai import APIConnectionError, APIStatusError

from relay.parts.interfaces import ReplyDelta
from tests.simulator.http.twin import SOUND, Twin, a_twin

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
SPEECH: dict[str, Any] = {
    "model": "m",
    "voice": "alloy",
    "input": "Hello.",
    "response_format": "pcm",
}


LOST = (APIConnectionError, httpx2.RemoteProtocolError, httpx2.ReadError)


async def answered(twin: Twin) -> str | int:
    """What a chat brings: its text, or the status that refuses it."""
    try:
        answer = await twin.client.chat.completions.create(**CHAT)
    except APIStatusError as refused:
        return refused.status_code
    return answer.choices[0].message.content or ""


async def reads(twin: Twin, into: list[str]) -> None:
    """Read a chat as it is written, for as long as it comes."""
    stream: Any = await twin.client.chat.completions.create(**CHAT, stream=True)
    while True:
        into.append((await anext(stream)).choices[0].delta.content)


async def test_a_status_with_its_error():
    script = """
    [[fault]]
    mode = "http_failed"
    status = 429
    retry_after = 3
    type = "tokens"
    code = "rate_limit_exceeded"
    message = "Slow down."
    path = "/v1/chat/completions"
    only = { request = 2 }
    """
    async with a_twin(script=script) as twin:
        assert await answered(twin) == "Good morning to you."
        await twin.client.models.list()  # another path, not counted
        with pytest.raises(APIStatusError) as refused:
            await twin.client.chat.completions.create(**CHAT)
        assert await answered(twin) == "Good morning to you."

    assert refused.value.status_code == 429
    assert refused.value.response.headers["retry-after"] == "3"
    assert refused.value.body == {
        "message": "Slow down.", "type": "tokens", "param": None, "code": "rate_limit_exceeded"
    }  # fmt: skip
    assert len(twin.thinking.requests) == 2


async def test_every_third_request_of_any_path():
    script = '[[fault]]\nmode = "http_failed"\nstatus = 503\nevery = 3'
    async with a_twin(script=script) as twin:
        assert [await answered(twin) for _ in range(6)] == ["Good morning to you."] * 2 + [503] + [
            "Good morning to you."
        ] * 2 + [503]


async def test_the_clients_own_retry_gets_over_one_failure():
    script = '[[fault]]\nmode = "http_failed"\nstatus = 500\nonly = { request = 1 }'
    async with a_twin(script=script) as twin:
        patient = twin.client.with_options(max_retries=1)
        answer = await patient.chat.completions.create(**CHAT)

    assert answer.choices[0].message.content == "Good morning to you."


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_first_byte_comes_late(streamed: bool):
    script = '[[fault]]\nmode = "http_late"\nseconds = 0.3'
    loop = asyncio.get_running_loop()
    async with a_twin(script=script) as twin:
        started = loop.time()
        answer: Any = await twin.client.chat.completions.create(**CHAT, stream=streamed)
        took = loop.time() - started
        if streamed:
            await answer.close()

    assert 0.3 <= took < 5


async def test_what_the_part_took_is_no_addition():
    """The part's own 300 ms and those of the fault are the same."""
    late = '[[fault]]\nmode = "http_late"\nseconds = 0.3'
    loop = asyncio.get_running_loop()
    async with a_twin(script=late) as twin:
        begin = loop.time()
        async with twin.client.audio.speech.with_streaming_response.create(**SPEECH) as answer:
            first = loop.time() - begin
            assert await answer.read() == SOUND * 2

    assert 0.3 <= first < 5


@pytest.mark.parametrize("whole", [True, False])
async def test_the_connection_drops_in_the_middle(whole: bool):
    script = '[[fault]]\nmode = "http_cut"\nafter_pieces = 2'
    async with a_twin(script=script, answers=[ReplyDelta("x" * 20_000)]) as twin:
        text: list[str] = []
        with pytest.raises(LOST):
            await (answered(twin) if whole else reads(twin, text))

    assert text == ([] if whole else ["", "x" * 6])


async def test_a_short_answer_is_cut_as_well():
    async with a_twin(script='[[fault]]\nmode = "http_cut"') as twin:
        with pytest.raises(APIConnectionError):
            await twin.client.models.list()


async def test_a_stream_stalls_and_a_client_that_leaves_ends_it():
    script = '[[fault]]\nmode = "http_stalled"\nafter_pieces = 1'
    async with a_twin(script=script) as twin:
        heard = b""
        async with twin.client.audio.speech.with_streaming_response.create(
            **SPEECH, timeout=httpx2.Timeout(10, read=1)
        ) as answer:
            sound = answer.iter_bytes()
            while len(heard) < 4800:
                heard += await anext(sound)
            with pytest.raises(httpx2.ReadTimeout):
                await anext(sound)
        await twin.speaking.stopped.wait()

    assert heard == SOUND[:4800]


async def test_pieces_come_slowly():
    script = '[[fault]]\nmode = "http_slow"\nseconds = 0.1\npath = "/v1/audio/speech"'
    loop = asyncio.get_running_loop()
    async with a_twin(script=script) as twin:
        began = loop.time()
        answer = await twin.client.audio.speech.create(**SPEECH)
        took = loop.time() - began

    assert answer.content == SOUND * 2
    pieces = len(SOUND * 2) // 4800
    assert took >= 0.1 * (pieces - 1)


async def test_it_stops_while_an_answer_stalls():
    async with a_twin(script='[[fault]]\nmode = "http_stalled"\nafter_pieces = 1') as twin:
        stream = await twin.client.chat.completions.create(**CHAT, stream=True)
        await anext(stream)
        async with asyncio.timeout(10):
            await twin.simulator.aclose()
        with pytest.raises(LOST):
            await anext(stream)
