"""Answers by OpenAI's and other people's servers, and by a real llama.cpp."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from relay.parts.interfaces import (
    CallOutput,
    FunctionCall,
    FunctionTool,
    MadeCall,
    Message,
    PartFailed,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    TokenUsage,
    incomplete,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import MAX_CALLS, OpenAIResponder
from tests.parts.conformance import joined
from tests.parts.doubles.double import Fault
from tests.parts.doubles.ollama import MODEL, ollama
from tests.parts.doubles.openai_api import Answer
from tests.parts.llama_server import llama_server
from tests.parts.subjects import asked, client, openai_client

USAGE = TokenUsage(11, 7, 5)
WEATHER = FunctionTool("weather", "Tells the weather.", {"type": "object", "properties": {}})
BOUNDED = ReplyRequest((Message("user", "Hi"),), max_tokens=50)


async def reply(made: OpenAIClient, request: ReplyRequest | None = None) -> list[ReplyPiece]:
    part = OpenAIResponder(made, "gpt-4o-mini")
    return [piece async for piece in part.respond(request or asked("Hi"))]


async def answer(given: Answer, request: ReplyRequest | None = None) -> list[ReplyPiece]:
    """Return what the responder makes of an answer."""
    async with openai_client() as (double, made):
        double.answer_with = given
        return await reply(made, request)


# ------------------------------------------------------------------------------- words


async def test_words_come_as_they_are_written_and_the_count_at_the_end() -> None:
    assert await answer(Answer("Good morning, Anna.")) == [
        ReplyDelta("Good"),
        ReplyDelta(" morning,"),
        ReplyDelta(" Anna."),
        USAGE,
    ]


async def test_without_a_name_the_first_model_that_is_listed_answers() -> None:
    async with ollama() as (_, address), client(f"{address}/v1", "") as made:
        part = OpenAIResponder(made, "")
        before = part.name
        answers = [[piece async for piece in part.respond(asked("Hi"))] for _ in range(2)]

    assert all(ReplyDelta in map(type, pieces) for pieces in answers)
    assert (before, part.name) == ("first listed", MODEL)


async def test_an_empty_answer_is_one() -> None:
    assert await answer(Answer()) == [USAGE]


async def test_thoughts_are_not_said() -> None:
    deltas = ("<thi", "nk>They ", "greet me.</", "think>\n\n", "Hello", " there.")

    pieces = await answer(Answer(deltas=deltas))

    assert pieces == [ReplyDelta("Hello"), ReplyDelta(" there."), USAGE]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
async def test_an_answer_that_was_stopped_says_why(finish: str, reason: str) -> None:
    pieces = await answer(Answer("Well,", finish=finish))

    assert pieces == [ReplyDelta("Well,"), USAGE, incomplete(reason)]


async def test_a_stream_that_ends_in_the_middle_was_cut() -> None:
    with pytest.raises(PartFailed, match="responder failed: cut"):
        await answer(Answer("Well,", finish=None, done=False))


async def test_a_server_that_does_not_stream_is_understood() -> None:
    calls = [("c1", "weather", "{}")]
    pieces = await answer(Answer("Let me see.", calls=calls, finish="tool_calls", whole=True))

    assert pieces == [ReplyDelta("Let me see."), FunctionCall("weather", "{}"), USAGE]


# ------------------------------------------------------------------------------- calls


async def test_calls_are_put_together_from_their_pieces() -> None:
    calls = [("c1", "weather", '{"city": "Rome"}'), ("c2", "weather", '{"city": "Oslo, Norway"}')]
    pieces = await answer(Answer(calls=calls, finish="tool_calls"))

    assert pieces == [*(FunctionCall(name, arguments) for _, name, arguments in calls), USAGE]


async def test_a_call_that_was_cut_is_not_made() -> None:
    calls = [("c1", "weather", '{"city": "Rome"}'), ("c2", "weather", '{"city": "Os')]
    pieces = await answer(Answer(calls=calls, finish="length"))

    assert pieces == [
        FunctionCall("weather", '{"city": "Rome"}'),
        USAGE,
        incomplete("max_output_tokens"),
    ]


async def test_calls_have_an_end() -> None:
    calls = [(f"c{number}", "weather", "{}") for number in range(MAX_CALLS + 1)]
    with pytest.raises(PartFailed, match="too many calls"):
        await answer(Answer(calls=calls, finish="tool_calls"))


WRITTEN = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("tools", "made"),
    [((WEATHER,), [FunctionCall("weather", '{"city":"Rome"}')]), ((), [])],
)
async def test_a_call_written_as_text_is_made_if_there_is_such_a_function(
    tools: tuple[FunctionTool, ...], made: Sequence[ReplyPiece]
) -> None:
    request = ReplyRequest((Message("user", "Hi"),), tools=tools)
    pieces = await answer(Answer(deltas=("One moment.", WRITTEN[:20], WRITTEN[20:])), request)

    assert pieces == [ReplyDelta("One moment."), *made, USAGE]


async def test_the_conversation_and_the_functions_go_along() -> None:
    history = (
        Message("user", "How is it in Rome?"),
        MadeCall("c1", "weather", '{"city": "Rome"}'),
        CallOutput("c1", "sunny"),
    )
    choice = {"type": "function", "name": "weather"}
    async with openai_client() as (double, made):
        await reply(made, ReplyRequest(history, "Be short.", (WEATHER,), choice))

    sent: dict[str, Any] = double.chats[0]
    assert [message["role"] for message in sent["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


# -------------------------------------------------------------------- the bound of an answer


async def test_a_bound_has_the_name_that_the_server_knows_it_by_and_that_is_remembered() -> None:
    async with openai_client() as (double, made):
        double.limit = "max_completion_tokens"
        for _ in range(2):
            assert joined(await reply(made, BOUNDED)) == "You said: Hi."

    bounds = [sorted(name for name in chat if name.startswith("max_")) for chat in double.chats]
    assert bounds == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]


async def test_a_request_that_is_wrong_otherwise_is_not_sent_a_third_time() -> None:
    async with openai_client() as (double, made):
        double.faults.extend([Fault(status=400)] * 3)
        with pytest.raises(PartFailed) as raised:
            await reply(made, BOUNDED)

    assert (raised.value.code, len(double.headers)) == ("rejected", 2)
    assert made.token_limits == {}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
    ],
)
async def test_the_name_depends_on_whose_server_it_is(
    address: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    part = OpenAIResponder(OpenAIClient(address, "k"), "gpt-4o-mini")

    async def refuse(form: dict[str, Any]) -> Any:
        sent.append(form)
        raise PartFailed("responder", "rate_limited", "429")
        yield

    monkeypatch.setattr(part, "_attempt", refuse)
    with pytest.raises(PartFailed):
        [piece async for piece in part.respond(BOUNDED)]
    assert [form[name] for form in sent] == [50]


# ------------------------------------------------------------------ the model and its temperature


async def test_a_model_that_refuses_a_temperature_is_asked_without_one_from_then_on() -> None:
    tempered = replace(BOUNDED, temperature=0.2)
    async with openai_client() as (double, made):
        for _ in range(2):
            assert joined(await reply(made, tempered)) == "You said: Hi."

    assert [chat.get("temperature") for chat in double.chats] == [0.2, 0.2, None, None]


async def test_a_temperature_reaches_a_model_that_takes_one() -> None:
    async with ollama() as (double, address), client(f"{address}/v1", "") as made:
        part = OpenAIResponder(made, MODEL)
        _ = [piece async for piece in part.respond(replace(asked("Hi"), temperature=1.5))]

    assert double.chats[0]["temperature"] == 1.5


@pytest.mark.parametrize(
    ("own", "wanted", "model", "told"),
    [
        ("other", MODEL, MODEL, [MODEL]),
        (MODEL, "gpt-4", MODEL, []),
        (MODEL, MODEL, MODEL, []),
        ("", MODEL, MODEL, [MODEL]),
    ],
)
async def test_a_model_that_is_asked_for_answers_where_the_server_has_it(
    own: str, wanted: str, model: str, told: list[str]
) -> None:
    names: list[str] = []
    request = replace(asked("Hi"), model=wanted, taken_over=names.append)
    async with ollama() as (double, address), client(f"{address}/v1", "") as made:
        _ = [piece async for piece in OpenAIResponder(made, own).respond(request)]

    assert ([chat["model"] for chat in double.chats], names) == ([model], told)


async def test_a_probe_tells_whether_the_server_is_there() -> None:
    async with ollama() as (_, address), client(f"{address}/v1", "") as made:
        part = OpenAIResponder(made, MODEL)
        await part.probe()
    with pytest.raises(PartFailed):
        await part.probe()


# ------------------------------------------------------------------------------- others


async def test_ollama_needs_no_key_and_has_errors_of_its_own() -> None:
    async with ollama() as (double, address), client(f"{address}/v1", "") as made:
        part = OpenAIResponder(made, MODEL)
        assert joined([piece async for piece in part.respond(BOUNDED)]) == "You said: Hi."

        with pytest.raises(PartFailed) as raised:
            [piece async for piece in OpenAIResponder(made, "absent").respond(BOUNDED)]

    assert str(raised.value) == "responder rejected: 404 not_found_error"
    assert all("Authorization" not in headers for headers in double.headers)


@pytest.mark.slow
async def test_a_real_llama_cpp_answers_is_bounded_and_can_be_stopped() -> None:
    async with llama_server() as address, client(f"{address}/v1", "") as made:
        part = OpenAIResponder(made, "smollm2")
        request = asked("Say hello to me in one short sentence.")
        pieces = [piece async for piece in part.respond(request)]
        usage = next(piece for piece in pieces if isinstance(piece, TokenUsage))
        assert joined(pieces)  # whatever the model says: it may be one word
        assert len([piece for piece in pieces if isinstance(piece, ReplyDelta)]) > 1
        assert usage.input > 10
        assert usage.output > 1

        story = ReplyRequest((Message("user", "Tell a long story."),), max_tokens=5)
        pieces = [piece async for piece in part.respond(story)]
        assert pieces[-1] == incomplete("max_output_tokens")
        assert [piece.output for piece in pieces if isinstance(piece, TokenUsage)] == [5]

        for _ in range(3):  # each would go on for a minute and there are as many slots
            endless = part.respond(ReplyRequest((Message("user", "Count to ten thousand."),)))
            await anext(endless)
            await endless.aclose()
        assert joined([piece async for piece in part.respond(request)])
