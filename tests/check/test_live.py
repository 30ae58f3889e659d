"""Both turns of `relay check --live`, against the simulated provider on a real socket."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from relay.check.engine import (
    TEXT_QUESTION,
    LiveCheckFailed,
    LiveCheckOptions,
    LiveReport,
    run_live_check,
)
from relay.engines.cascade.outputs import Pace
from relay.engines.openai import FixedKey, OpenAIEngine, OpenAIOptions
from relay.parts.simple import Script, scripted_parts, tone
from relay.realtime.billing.pricing import DATE
from relay.simulator import SimulatorOptions, simulate

MODEL = "gpt-realtime-2.1"
OPTIONS = LiveCheckOptions(MODEL, "gpt-realtime-whisper", tone(1500))
SCRIPT = Script(heard=("What is the capital?",), replies=("Paris.", "Rome."))
Event = dict[str, Any]


async def converse(url: str, options: LiveCheckOptions = OPTIONS, key: str = "sk-1") -> LiveReport:
    engine = OpenAIEngine(OpenAIOptions(FixedKey(key), url))
    return await run_live_check(engine, options, seconds=10)


async def test_both_turns_are_taken_measured_and_priced() -> None:
    sent: list[Event] = []
    options = SimulatorOptions(
        parts=scripted_parts(SCRIPT),
        pace=Pace(burst=50),
        on_frame=lambda frame: sent.append(json.loads(frame)),
    )
    async with await simulate(options) as simulator:
        report = await converse(simulator.base_url)

    assert (report.heard, report.spoken, report.written) == (
        "What is the capital?",
        "Paris.",
        "Rome.",
    )
    assert report.model == MODEL
    assert report.audio_seconds == pytest.approx(0.36)  # "Paris." as the simulator's tone
    assert min(report.connect_ms, report.first_audio_ms, report.first_text_ms) >= 0
    assert max(report.connect_ms, report.first_audio_ms, report.first_text_ms) < 10_000
    assert report.unknown == {}
    assert 0 < report.cost_usd < 0.01
    assert (report.unpriced, report.priced_at) == ((), DATE)
    assert [event["type"] for event in sent] == [
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "response.create",
        "conversation.item.create",
        "response.create",
    ]
    assert sent[0]["session"]["audio"]["input"] == {
        "turn_detection": None,
        "transcription": {"model": "gpt-realtime-whisper"},
    }
    assert sent[-1]["response"] == {"output_modalities": ["text"]}
    assert sent[-2]["item"]["content"] == [{"type": "input_text", "text": TEXT_QUESTION}]


async def test_a_model_without_a_price_is_listed_as_unpriced() -> None:
    options = SimulatorOptions(parts=scripted_parts(SCRIPT), pace=Pace(burst=50))
    async with await simulate(options) as simulator:
        report = await converse(
            simulator.base_url, LiveCheckOptions("my-own", "whisper-1", tone(500))
        )

    assert (report.model, set(report.unpriced)) == ("my-own", {"my-own"})


async def test_a_key_that_is_refused_is_not_shown() -> None:
    async with await simulate(SimulatorOptions(parts=scripted_parts())) as simulator:
        with pytest.raises(LiveCheckFailed) as failed:
            await converse(simulator.base_url, key="bad-key")

    assert str(failed.value) == "the conversation broke off: invalid_api_key"


async def test_no_server() -> None:
    with pytest.raises(LiveCheckFailed) as failed:
        await converse("ws://127.0.0.1:8")

    assert str(failed.value).startswith("no session: OpenAI connection closed. ")


# A provider with scripted answers.

RESPONSE = "response.output_audio"
HEARD = "conversation.item.input_audio_transcription"
USAGE = {
    "input_token_details": {"text_tokens": 100, "audio_tokens": 20},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 10},
}
SPOKEN: Sequence[Event] = (
    {"type": f"{RESPONSE}.delta", "delta": base64.b64encode(bytes(24_000)).decode()},
    {"type": f"{RESPONSE}_transcript.done", "transcript": "Paris."},
    {"type": "response.done", "response": {"status": "completed", "usage": USAGE}},
    {
        "type": f"{HEARD}.completed",
        "transcript": "What?",
        "usage": {"type": "duration", "seconds": 2},
    },
)
TEXT: Sequence[Event] = (
    {"type": "response.output_text.delta", "delta": "Rome."},
    {"type": "response.output_text.done", "text": "Rome."},
    {"type": "response.done", "response": {"status": "completed", "usage": USAGE}},
)


@asynccontextmanager
async def provider(spoken: Sequence[Event], written: Sequence[Event] = TEXT) -> AsyncIterator[str]:
    """Answers the first `response.create` with `spoken`, the second with `written`."""

    async def answer(connection: ServerConnection) -> None:
        async def say(*events: Event) -> None:
            for event in events:
                await connection.send(json.dumps(event))

        answers = iter((spoken, written))
        await say({"type": "session.created", "session": {"model": MODEL}})
        async for message in connection:
            kind = json.loads(message)["type"]
            if kind == "session.update":
                await say({"type": "session.updated", "session": {}})
            elif kind == "response.create":
                await say(*next(answers))

    async with serve(answer, "127.0.0.1", 0, close_timeout=1) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_unknown_events_of_the_provider_are_counted() -> None:
    news = {"type": "response.mood.delta", "mood": "good"}
    async with provider((news, news, *SPOKEN), ({"type": "session.aged"}, *TEXT)) as url:
        report = await converse(url)

    assert report.unknown == {"response.mood.delta": 2, "session.aged": 1}
    assert report.audio_seconds == 0.5
    # twice (100·4 + 20·32 + 10·24 + 10·64) for a million tokens, and 2 s at 0.017 a minute
    assert report.cost_usd == pytest.approx(2 * 0.00192 + 0.017 / 30, abs=2e-6)


async def test_a_transcript_that_comes_before_the_answer_is_kept() -> None:
    async with provider((SPOKEN[-1], *SPOKEN[:-1])) as url:
        assert (await converse(url)).heard == "What?"


FAILED = {
    "status": "failed",
    "status_details": {"type": "failed", "error": {"code": "insufficient_quota"}},
}
CUT = {"status": "incomplete", "status_details": {"reason": "max_output_tokens"}}
NOT_HEARD = {"type": f"{HEARD}.failed", "error": {"code": "audio_unintelligible"}}
QUOTA = {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow down."}}


def done(response: Event) -> Event:
    return {"type": "response.done", "response": response}


@pytest.mark.parametrize(
    ("spoken", "written", "error"),
    [
        ((done(FAILED),), TEXT, "the voice turn is failed: insufficient_quota"),
        ((done(CUT),), TEXT, "the voice turn is incomplete: max_output_tokens"),
        ((done({"status": "cancelled"}),), TEXT, "the voice turn is cancelled: no reason given"),
        ((done({"status": "completed"}),), TEXT, "the voice turn had an empty answer"),
        (
            (*SPOKEN[:-1], NOT_HEARD),
            TEXT,
            "the question was not transcribed: audio_unintelligible",
        ),
        (SPOKEN, (done(FAILED),), "the text turn is failed: insufficient_quota"),
        (SPOKEN, (done({"status": "completed"}),), "the text turn had an empty answer"),
        ((QUOTA,), TEXT, "the conversation broke off: rate_limit_exceeded: Slow down."),
        (SPOKEN, (QUOTA,), "the conversation broke off: rate_limit_exceeded: Slow down."),
    ],
)
async def test_a_failed_turn_is_reported(
    spoken: Sequence[Event], written: Sequence[Event], error: str
) -> None:
    async with provider(spoken, written) as url:
        with pytest.raises(LiveCheckFailed) as failed:
            await converse(url)

    assert str(failed.value) == error


async def test_an_endless_answer_is_cut_off() -> None:
    async with provider(SPOKEN[:1]) as url:
        engine = OpenAIEngine(OpenAIOptions(FixedKey("sk-1"), url))
        with pytest.raises(LiveCheckFailed) as failed:
            await run_live_check(engine, OPTIONS, seconds=0.2)

    assert str(failed.value) == "the conversation was not over after 0 s"
