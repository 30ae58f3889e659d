"""Chats by the `openai` client."""

from typing import Any

import pytest
from openai import APIError, BadRequestError, InternalServerError, RateLimitError

from relay.parts.interfaces import (
    CallOutput,
    FunctionCall,
    FunctionTool,
    MadeCall,
    McpCall,
    Message,
    PartFailed,
    Reply,
    ReplyDelta,
    ReplyRequest,
    SpokenMessage,
    TokenUsage,
    failed,
    incomplete,
)
from tests.simulator.http.twin import a_twin

HI: list[Any] = [{"role": "user", "content": "Hi."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = FunctionCall("get_weather", {"city": "London"})


async def test_an_answer():
    async with a_twin() as twin:
        answer = await twin.client.chat.completions.create(model="gpt-4o-mini", messages=HI)

    (choice,) = answer.choices
    assert choice.message.content == "Good morning to you."
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert answer.model == "gpt-4o-mini"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6


async def test_an_answer_as_it_is_written():
    async with (
        a_twin(answers=(ReplyDelta("Good"), ReplyDelta(" day."), TokenUsage(11, 2, 3))) as twin,
        await twin.client.chat.completions.create(
            model="m", messages=HI, stream=True, stream_options={"include_usage": True}
        ) as stream,
    ):
        chunks = [chunk async for chunk in stream]

    *written, usage = chunks
    assert written[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in written] == ["", "Good", " day", ".", None]
    assert [chunk.choices[0].finish_reason for chunk in written] == [None] * 4 + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert usage.choices == []
    assert usage.usage is not None
    assert (usage.usage.prompt_tokens, usage.usage.completion_tokens) == (11, 2)
    assert usage.usage.prompt_tokens_details is not None
    assert usage.usage.prompt_tokens_details.cached_tokens == 3


async def test_without_being_asked_for_no_usage_is_streamed():
    async with (
        a_twin() as twin,
        await twin.client.chat.completions.create(model="m", messages=HI, stream=True) as stream,
    ):
        chunks = [chunk async for chunk in stream]

    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("answers", [(ReplyDelta("Let me look."), CALL),
                                     (Reply((SpokenMessage("Let me look."), CALL)),)])  # fmt: skip
async def test_a_call_of_a_tool(answers: Any):
    async with a_twin(answers=answers) as twin:
        answer = await twin.client.chat.completions.create(
            model="m", messages=HI, tools=[WEATHER], tool_choice="required"
        )

    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"London"}')


async def test_calls_in_a_stream():
    async with (
        a_twin(answers=(CALL, FunctionCall("end", "{}"))) as twin,
        twin.client.chat.completions.stream(model="m", messages=HI, tools=[WEATHER]) as stream,
    ):
        chunks = [event.chunk async for event in stream if event.type == "chunk"]
        answer = await stream.get_final_completion()

    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("get_weather", '{"city":"London"}'),
        ("end", "{}"),
    ]
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert len([call for call in deltas if call.index == 0]) > 3


async def test_the_whole_conversation_reaches_the_responder():
    messages: list[Any] = [
        {"role": "system", "content": "Be short."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "Weather in London?"}]},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "get_weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
        {"role": "system", "content": "Hurry."},
    ]  # fmt: skip
    async with a_twin() as twin:
        await twin.client.chat.completions.create(
            model="m",
            messages=messages,
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            max_completion_tokens=50,
        )

    assert twin.thinking.requests == [
        ReplyRequest(
            history=(
                Message("user", "Weather in London?"),
                Message("assistant", "Let me look."),
                MadeCall("c1", "get_weather", "{}"),
                CallOutput("c1", "Rain."),
                Message("system", "Hurry."),
            ),
            instructions="Be short.\n\nBe kind.",
            tools=(
                FunctionTool(
                    "get_weather", "Tells the weather.", WEATHER["function"]["parameters"]
                ),
            ),
            tool_choice={"type": "function", "name": "get_weather"},
            max_tokens=50,
            max_wait=30.0,
        )
    ]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_cut_at_its_limit_and_the_responder_stopped(limit: str):
    async with a_twin(answers=(ReplyDelta("Good morning"), ReplyDelta(" to you."), ...)) as twin:
        answer = await twin.client.chat.completions.create(
            model="m",
            messages=HI,
            **{limit: 3},  # type: ignore[call-overload]
        )
        assert twin.thinking.stopped.is_set()

    assert answer.choices[0].message.content == "Good morning"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (incomplete("max_output_tokens"), "length"),
        (incomplete("content_filter"), "content_filter"),
    ],
)
async def test_an_answer_that_did_not_end_well(ending: Any, reason: str):
    async with a_twin(answers=(ReplyDelta("Good"), ending)) as twin:
        answer = await twin.client.chat.completions.create(model="m", messages=HI)

    assert answer.choices[0].finish_reason == reason


async def test_a_function_that_was_asked_for_by_name_is_no_reason_to_finish():
    async with a_twin(answers=(CALL, Reply((McpCall("docs", "search"),)))) as twin:
        answer = await twin.client.chat.completions.create(
            model="m",
            messages=HI,
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
        )

    assert answer.choices[0].finish_reason == "stop"
    assert len(answer.choices[0].message.tool_calls or ()) == 1


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ((failed("inference_rate_limit_exceeded", "Slow down."),), RateLimitError),
        ((failed("server_error", "It broke."),), InternalServerError),
        ((PartFailed("responder", "busy"),), RateLimitError),
        ((RuntimeError("what somebody said"),), InternalServerError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_fails_before_its_first_word(answers: Any, error, streamed: bool):
    async with a_twin(answers=answers) as twin:
        with pytest.raises(error) as refused:
            await twin.client.chat.completions.create(model="m", messages=HI, stream=streamed)

    assert "what somebody said" not in str(refused.value)


async def test_an_answer_that_fails_in_its_middle_ends_with_the_error():
    answers = (ReplyDelta("Good"), PartFailed("responder", "timeout"))
    async with a_twin(answers=answers) as twin:
        stream = await twin.client.chat.completions.create(model="m", messages=HI, stream=True)
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        assert (await anext(stream)).choices[0].delta.content == "Good"
        with pytest.raises(APIError, match="The responder failed: timeout"):
            await anext(stream)


TOOL_MESSAGE = {"role": "tool", "tool_call_id": "c1", "content": "Rain."}
UNANSWERED = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}],
}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "Hi."}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
         "messages[0].content"),
        ({"messages": [*HI, TOOL_MESSAGE]}, "messages[1].role"),
        ({"messages": [UNANSWERED, *HI]}, "messages[1].role"),
        ({"messages": [*HI, UNANSWERED]}, "messages"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [WEATHER],
          "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"n": 2}, "n"),
    ],
)  # fmt: skip
async def test_requests_that_contradict_themselves(fields: dict[str, Any], param: str):
    async with a_twin() as twin:
        with pytest.raises(BadRequestError) as refused:
            await twin.client.chat.completions.create(**{"model": "m", "messages": HI, **fields})

    assert refused.value.param == param
    assert not twin.thinking.requests
