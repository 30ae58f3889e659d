"""The responder on llama.cpp: short spoken answers of a real small model, and what it is asked."""

import asyncio
import json
import re
from contextlib import aclosing
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
    ReplyRequest,
    TokenUsage,
)
from relay.parts.llama import (
    ANSWER_CHARACTERS,
    ANSWER_TOKENS,
    EXAMPLES,
    INSTRUCTION_CHARACTERS,
    INSTRUCTIONS,
    LONG_ANSWER_TOKENS,
    PROMPT_TOKENS,
    LlamaModel,
    LlamaResponder,
    answer_tokens,
    as_piece,
    estimated_tokens,
    packaged_model,
    prompt_messages,
    worker_request,
)
from relay.parts.llama_worker import (
    ContextExceeded,
    ShortAnswer,
    answer,
    chat_template,
    without_older_half,
)

needs_model = pytest.mark.skipif(
    packaged_model() is None, reason="the extra `voice-llm` and its model are not installed"
)

QUESTIONS = [
    "What is the capital of France?",
    "The museum is open until six.",
    "Tell me everything about the history of the world, in a list.",
]


def said(text: str, *earlier: Message, **options: Any) -> ReplyRequest:
    return ReplyRequest(history=(*earlier, Message("user", text)), **options)


def shortened(text: str, characters: int = 60, size: int = 3) -> str:
    """What is said of a text that a model writes in pieces of some characters."""
    short = ShortAnswer(characters)
    pieces = [short.add(text[place : place + size]) for place in range(0, len(text), size)]
    return "".join(pieces) + short.rest()


class TestShortAnswers:
    @pytest.mark.parametrize("size", [1, 3, 500])
    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("It is Paris.", "It is Paris."),
            ("It is Paris", "It is Paris"),
            ("Yes. It is. Why?", "Yes. It is. Why?"),
            (
                "That museum is open for a long time. When do you go? And why is that so?",
                "That museum is open for a long time.",
            ),
            (
                "That one is open. The other museum is open for a very long time too, says he.",
                "That one is open.",
            ),
            (
                "Well then, as far as I know, there is not one museum in this town that is open.",
                "Well then, as far as I know,",
            ),
            (
                "There is not one museum in this town that is open on a sunny day in May.",
                "There is not one museum in this town that is open on a.",
            ),
            ("Ask Dr. Who. He knows", "Ask Dr. Who."),
            ("**Paris**, \u201cof course\u201d \U0001f600", "Paris, of course"),
            ("", ""),
        ],
    )
    def test_they_end_with_a_sentence_where_they_can(self, written, said, size):
        assert shortened(written, size=size).strip() == said

    @pytest.mark.parametrize("text", ["x" * 500, "word " * 100, "a, " * 100, "No. " * 100])
    def test_they_are_never_longer_than_the_bound(self, text):
        assert 0 < len(shortened(text)) <= 61

    def test_a_first_clause_is_let_go_of_before_the_sentence_is_written(self):
        short = ShortAnswer(60)
        assert short.add("As far as I can tell, it") == "As far as I can tell,"

    def test_without_a_bound_everything_passes(self):
        text = "**One.** Two. " * 30
        assert shortened(text, characters=0) == text


class TestThePrompt:
    def test_orders_and_examples_come_first_then_the_agents_and_the_conversation(self):
        request = said("Hi.", instructions="Talk like a pirate.")
        messages = prompt_messages(request, EXAMPLES, calls_tools=False)
        assert len(messages) == 1 + 2 * len(EXAMPLES) + 2
        assert messages[0] == {"role": "system", "content": INSTRUCTIONS}
        assert messages[-2:] == [
            {"role": "system", "content": "Talk like a pirate."},
            {"role": "user", "content": "Hi."},
        ]

    def test_a_model_without_examples_gets_one_system_message(self):
        request = said("Hi.", instructions="Talk like a pirate.")
        assert prompt_messages(request, (), calls_tools=False) == [
            {"role": "system", "content": f"{INSTRUCTIONS} Talk like a pirate."},
            {"role": "user", "content": "Hi."},
        ]

    def test_an_agents_long_instructions_are_cut(self):
        request = said("Hi.", instructions="x" * 5000)
        first = prompt_messages(request, (), calls_tools=False)[0]["content"]
        assert first == f"{INSTRUCTIONS} " + "x" * INSTRUCTION_CHARACTERS

    def test_an_out_of_band_request_has_its_own_instructions_alone(self):
        request = said("Hi.", instructions="Name the language.", out_of_band=True)
        assert prompt_messages(request, EXAMPLES, calls_tools=False) == [
            {"role": "system", "content": "Name the language."},
            {"role": "user", "content": "Hi."},
        ]

    def test_the_oldest_messages_are_dropped_and_it_begins_with_a_user(self):
        talk = [Message("user" if i % 2 == 0 else "assistant", f"{i} " * 100) for i in range(60)]
        messages = prompt_messages(said("Last.", *talk), EXAMPLES, calls_tools=False)
        kept = messages[1 + 2 * len(EXAMPLES) :]
        assert sum(map(estimated_tokens, messages)) <= PROMPT_TOKENS
        assert 5 < len(kept) < 60
        assert kept[0]["role"] == "user"
        assert kept[-1]["content"] == "Last."

    def test_a_message_that_is_too_long_by_itself_keeps_its_end(self):
        messages = prompt_messages(said("word " * 5000 + "end"), (), calls_tools=False)
        assert messages[-1]["content"].endswith("word end")
        assert sum(map(estimated_tokens, messages)) <= PROMPT_TOKENS

    def test_a_template_without_tools_is_told_what_functions_returned(self):
        history = (
            Message("user", "How warm is it?"),
            MadeCall("c1", "weather", "{}"),
            CallOutput("c1", "21"),
        )
        request = ReplyRequest(history=history, tools=(FunctionTool("weather"),))
        body = json.loads(worker_request(request, 9, (), calls_tools=False))["body"]
        assert [message["role"] for message in body["messages"]] == ["system", "user", "user"]
        assert body["messages"][-1]["content"] == "A function returned: 21"
        assert "tools" not in body

    def test_a_template_with_tools_gets_them(self):
        request = said("How warm is it?", tools=(FunctionTool("weather"),), tool_choice="required")
        body = json.loads(worker_request(request, 9, (), calls_tools=True))["body"]
        assert body["tools"][0]["function"]["name"] == "weather"
        assert body["tool_choice"] == "required"

    @pytest.mark.parametrize(
        ("options", "tokens"),
        [
            ({}, ANSWER_TOKENS),
            ({"max_tokens": 7}, 7),
            ({"max_tokens": 4096}, ANSWER_TOKENS),
            ({"out_of_band": True}, LONG_ANSWER_TOKENS),
        ],
    )
    def test_the_answer_is_bounded(self, options, tokens):
        assert answer_tokens(said("Hi.", **options)) == tokens

    def test_half_of_the_older_messages_can_go(self):
        assert without_older_half(["system", *"abcd", "last"]) == ["system", "c", "d", "last"]
        assert without_older_half(["system", "last"]) == ["system", "last"]


class ServerByHand:
    """llama.cpp's server, as its stream was seen; `most` messages fit."""

    def __init__(self, *chunks: dict[str, Any], most: int = 99) -> None:
        self.chunks = chunks
        self.most = most
        self.asked: list[int] = []

    def handle_chat_completions(self, body, take):
        self.asked.append(len(body["messages"]))
        if len(body["messages"]) > self.most:
            take({"error": {"code": 400, "type": "exceed_context_size_error", "message": "long"}})
            return
        for chunk in self.chunks:
            if take(chunk):
                return


def delta(**content: Any) -> dict[str, Any]:
    timings = {"cache_n": 3, "prompt_n": 4, "predicted_n": 5}
    return {"choices": [{"index": 0, "delta": content}], "timings": timings}


def answered(server: Any, messages: int = 2) -> list[dict[str, Any]]:
    body = {"messages": [{"role": "user", "content": str(i)} for i in range(messages)]}
    request = {"body": body, "max_tokens": 9, "characters": 95}
    return [json.loads(piece) for piece in answer(server, request, lambda: False)]


class TestTheStream:
    def test_text_and_usage_are_told(self):
        server = ServerByHand(delta(role="assistant", content=None), delta(content="It is."))
        assert answered(server) == [{"text": "It is."}, {"input": 7, "output": 5, "cached": 3}]

    def test_a_call_comes_whole(self):
        first = {"index": 0, "function": {"name": "weather", "arguments": ""}}
        second = {"index": 0, "function": {"arguments": '{"city": 1}'}}
        pieces = answered(ServerByHand(delta(tool_calls=[first]), delta(tool_calls=[second])))
        assert pieces[0] == {"call": {"name": "weather", "arguments": '{"city": 1}'}}
        assert as_piece(pieces[0]) == FunctionCall("weather", '{"city": 1}')

    def test_a_conversation_that_does_not_fit_is_halved_until_it_does(self):
        server = ServerByHand(delta(content="It is."), most=5)
        assert answered(server, messages=18)[0] == {"text": "It is."}
        assert server.asked == [18, 10, 6, 4]

    def test_a_prompt_that_never_fits_is_rejected(self):
        with pytest.raises(PartFailed) as failure:
            answered(ServerByHand(most=0), messages=4)
        assert failure.value.code == "rejected"

    def test_another_error_fails_without_its_text(self):
        chunk = {"error": {"code": 500, "type": "server_error", "message": "what was said"}}
        with pytest.raises(PartFailed) as failure:
            answered(ServerByHand(chunk))
        assert (failure.value.code, failure.value.detail) == ("failed", "server_error")

    def test_an_exception_of_the_library_is_raised(self):
        class Broken:
            def handle_chat_completions(self, body, take):
                raise ContextExceeded

        with pytest.raises(PartFailed):
            answered(Broken())


@pytest.mark.slow
@needs_model
class TestTheModel:
    async def test_it_answers_shortly_and_plainly_and_counts_its_tokens(self):
        model = LlamaModel(device="auto")
        await model.prepare()
        assert model.name == "SmolLM2-135M-Instruct.Q4_1"
        assert model.device == "cpu"
        assert not model.calls_tools
        responder = LlamaResponder(model)
        for question in QUESTIONS:
            pieces = [piece async for piece in responder.respond(said(question, max_wait=60.0))]
            text = "".join(piece.text for piece in pieces if isinstance(piece, ReplyDelta))
            usage = pieces[-1]
            assert re.search(r"\w", text)
            assert len(text) <= ANSWER_CHARACTERS + 1
            assert not set(text) & set("*#_`\n")
            assert isinstance(usage, TokenUsage)
            assert 0 < usage.output <= ANSWER_TOKENS
            assert usage.cached > 100  # the orders and examples
            assert "Paris" in text or "France" not in question
        assert "Paris" in "".join(
            [
                p.text
                async for p in responder.respond(said(QUESTIONS[0]))
                if isinstance(p, ReplyDelta)
            ]
        )
        await model.aclose()

    async def test_who_leaves_stops_it_and_the_next_is_served(self):
        model = LlamaModel()
        await model.prepare()
        responder = LlamaResponder(model)
        long = said("Tell me a very long story.", out_of_band=True, max_wait=60.0)
        async with aclosing(responder.respond(long)) as pieces:
            assert isinstance(await anext(pieces), ReplyDelta)
        async with asyncio.timeout(30):  # 400 tokens would be before it, else
            next_one = [piece async for piece in responder.respond(said("Hello.", max_wait=60.0))]
        assert isinstance(next_one[-1], TokenUsage)
        await model.aclose()
        with pytest.raises(PartFailed, match="closed"):
            await anext(responder.respond(said("Hello.")))

    async def test_another_file_may_be_named(self):
        model = LlamaModel(str(packaged_model()))
        pieces = [piece async for piece in LlamaResponder(model).respond(said("Hello."))]
        assert isinstance(pieces[0], ReplyDelta)
        await model.aclose()

    def test_its_template_knows_no_tools(self):
        template = chat_template(str(packaged_model()))
        assert "<|im_start|>" in template
        assert "tools" not in template


async def test_a_file_that_is_not_there_says_so():
    model = LlamaModel("/nowhere/model.gguf")
    with pytest.raises(PartFailed, match="the file that LLM_MODEL names does not exist"):
        await model.prepare()
    await model.aclose()
