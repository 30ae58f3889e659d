"""Transcription by OpenAI's and other people's servers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relay.parts.interfaces import PartFailed, TranscriptionRequest
from relay.parts.openai_stt import OpenAITranscriber
from relay.parts.simple import silence, tone
from tests.parts.doubles.double import Double, serving
from tests.parts.subjects import client, openai_client

TURN = TranscriptionRequest(tone(500, 800))


async def words(part: OpenAITranscriber, request: TranscriptionRequest = TURN) -> list[str]:
    return [piece async for piece in part.transcribe(request)]


@asynccontextmanager
async def server(body: str) -> AsyncIterator[OpenAITranscriber]:
    """A server that answers every turn with this."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=body)

    double = Double()
    route = web.post("/v1/audio/transcriptions", answer)
    async with serving(double, route) as address, client(f"{address}/v1") as made:
        yield OpenAITranscriber(made, "some-model")


def events(*documents: object) -> str:
    return "".join(f"data: {json.dumps(document)}\n\n" for document in documents)


async def test_hints_go_along_and_a_turns_own_language_is_the_better_one() -> None:
    async with openai_client() as (double, made):
        part = OpenAITranscriber(made, "gpt-4o-transcribe", "de")
        await words(part)
        await words(part, TranscriptionRequest(TURN.pcm, "fr", "Grüße, Anna"))

    assert [(form["language"], form.get("prompt")) for form in double.bodies] == [
        ("de", None),
        ("fr", "Grüße, Anna"),
    ]
    assert all(form["stream"] == "true" for form in double.bodies)


async def test_a_model_that_does_not_stream_is_not_asked_to() -> None:
    async with openai_client() as (double, made):
        assert await words(OpenAITranscriber(made, "whisper-1")) == ["a tone of 800 hertz"]

    assert double.bodies == [{"model": "whisper-1", "response_format": "json"}]


async def test_a_server_that_ignores_the_wish_to_stream_is_understood() -> None:
    async with openai_client() as (double, made):
        assert await words(OpenAITranscriber(made, "a-whisper")) == ["a tone of 800 hertz"]

    assert double.bodies[0]["stream"] == "true"


async def test_silence_is_nothing_and_what_is_too_short_is_not_sent() -> None:
    async with openai_client() as (double, made):
        part = OpenAITranscriber(made, "gpt-4o-transcribe")
        assert "".join(await words(part, TranscriptionRequest(silence(500)))) == ""
        assert await words(part, TranscriptionRequest(tone(90))) == []

    assert len(double.headers) == 1


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        (events({"text": "Good"}, {"text": " morning."}), ["Good", " morning."]),
        (
            events(
                {"object": "transcription.chunk", "choices": [{"delta": {"content": "Good"}}]},
                {"object": "transcription.chunk", "choices": [{"delta": {"content": "."}}]},
                {"object": "transcription.chunk", "choices": [], "usage": {}},
            )
            + "data: [DONE]\n\n",
            ["Good", "."],
        ),
        (events({"type": "transcript.text.done", "text": "All at once."}), ["All at once."]),
        (json.dumps({"task": "transcribe", "text": "Good morning.", "segments": []}), None),
        (json.dumps({"text": ""}), []),
        (json.dumps({"text": None}), []),
        (json.dumps({}), []),
    ],
    ids=["speaches", "vllm", "done only", "verbose", "empty", "null", "other"],
)
async def test_other_servers_forms_are_understood(body: str, heard: list[str] | None) -> None:
    async with server(body) as part:
        assert await words(part) == (["Good morning."] if heard is None else heard)


async def test_a_stream_that_ends_before_it_says_so_was_cut() -> None:
    async with server(events({"type": "transcript.text.delta", "delta": "Good"})) as part:
        with pytest.raises(PartFailed, match="transcriber failed: cut"):
            await words(part)
