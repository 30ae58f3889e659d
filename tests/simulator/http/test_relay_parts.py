"""The relay's own remote parts before the simulator: what it serves is what they read."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.parts.interfaces import (
    FunctionCall,
    FunctionTool,
    Message,
    PartFailed,
    ReplyDelta,
    ReplyRequest,
    SynthesisRequest,
    TokenUsage,
    TranscriptionRequest,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.parts.openai_stt import OpenAITranscriber
from relay.parts.openai_tts import OpenAISynthesizer
from relay.parts.simple import tone
from tests.simulator.http.twin import SOUND, Twin, a_twin

QUESTION = ReplyRequest((Message("user", "Weather?"),), tools=(FunctionTool("get_weather"),))


async def all_of(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


def client_of(twin: Twin, key: str = "sk-good") -> OpenAIClient:
    return OpenAIClient(twin.simulator.base_url, key)


@pytest.mark.parametrize("model", ["gpt-4o-mini-transcribe", "whisper-1"])
async def test_a_turn_is_written_down(model: str):
    async with a_twin() as twin:
        transcriber = OpenAITranscriber(client_of(twin), model)
        words = await all_of(transcriber.transcribe(TranscriptionRequest(tone(500), "en")))
        await transcriber.aclose()

    assert "".join(words) == "Good morning."
    assert [request.language for request in twin.hearing.requests] == ["en"]
    assert twin.hearing.requests[0].pcm == tone(500)


async def test_a_conversation_is_answered():
    call = FunctionCall("get_weather", {"city": "London"})
    async with a_twin(answers=(ReplyDelta("Let me look."), call, TokenUsage(40, 12, 8))) as twin:
        client = client_of(twin)
        pieces = await all_of(OpenAIResponder(client, "gpt-4o-mini").respond(QUESTION))
        await client.aclose()

    assert "".join(p.text for p in pieces if isinstance(p, ReplyDelta)) == "Let me look."
    assert [p.name for p in pieces if isinstance(p, FunctionCall)] == ["get_weather"]
    assert [p for p in pieces if isinstance(p, TokenUsage)] == [TokenUsage(40, 12, 8)]
    (asked,) = twin.thinking.requests
    assert [tool.name for tool in asked.tools] == ["get_weather"]
    assert asked.prompt == "Weather?"


async def test_a_text_is_spoken():
    async with a_twin() as twin:
        client = client_of(twin)
        synthesizer = OpenAISynthesizer(client, "gpt-4o-mini-tts", "alloy")
        sound = await all_of(synthesizer.synthesize(SynthesisRequest("Good morning.")))
        await client.aclose()

    assert b"".join(sound) == SOUND * 2
    assert twin.speaking.requests[0].voice == "alloy"


@pytest.mark.parametrize(
    ("fault", "key", "code"),
    [
        ("", "bad-key", "unauthorized"),
        ('mode = "http_failed"\nstatus = 429\ncode = "rate_limit_exceeded"', "k", "rate_limited"),
        ('mode = "http_failed"\nstatus = 400\ntype = "invalid_request_error"', "k", "rejected"),
        ('mode = "http_failed"\nstatus = 503', "k", "unavailable"),
        ('mode = "http_cut"\nafter_pieces = 0', "k", "unavailable"),
    ],
)
async def test_a_fault_is_the_failure_it_stands_for(fault: str, key: str, code: str):
    async with a_twin(script=f"[[fault]]\n{fault}" if fault else "") as twin:
        client = client_of(twin, key)
        with pytest.raises(PartFailed) as failed:
            await all_of(OpenAIResponder(client, "gpt-4o-mini").respond(QUESTION))
        await client.aclose()

    assert (failed.value.part, failed.value.code) == ("responder", code)
