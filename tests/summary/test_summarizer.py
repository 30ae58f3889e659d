"""Summaries by a text model over HTTP, well behaved and not; else an extract that says so."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from relay.summary.extract import MOST_POINTS, Points, SpokenLine
from relay.summary.summarizer import (
    AT_ONCE,
    FAILED,
    MOST_READ,
    MOST_SENT,
    NO_MODEL,
    ChatEndpoint,
    ModelFailed,
    Summarizer,
    SummaryWriter,
    TooManySummaries,
)
from tests.stores.words import CONVERSATION, SESSION, Call
from tests.summary.chat_server import POINTS, ChatServer, chat_server, completion

CALL = Call()

SAID = [CALL.user("I will stretch my knee."), CALL.assistant("Your knee will thank you.")]

NOW = 1_760_000_100.0


class Model:
    """Answers when it may."""

    model = "small-model"

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.asked = 0
        self.broken = False

    async def write(self, lines: Sequence[SpokenLine]) -> Points:
        self.asked += 1
        await self.may.wait()
        if self.broken:
            raise ModelFailed("status 500")
        return Points(text=f"{len(lines)} lines.", main_topics=["knee"])


async def test_S0_13_without_a_model_it_says_that_sentences_were_chosen() -> None:
    summary = await Summarizer(None, lambda: NOW).summary(CONVERSATION, SESSION, SAID)
    assert (summary.by, summary.model, summary.reason) == ("extract", None, NO_MODEL)
    assert summary.action_items == ["I will stretch my knee."]
    assert (summary.total_interactions, summary.ai_responses) == (2, 1)
    assert summary.client_satisfaction is None
    assert summary.created_at == "2025-10-09T08:55:00.000000+00:00"


async def test_a_summary_names_the_model_that_wrote_it() -> None:
    summary = await Summarizer(Model(), lambda: NOW).summary(CONVERSATION, None, SAID)
    assert (summary.by, summary.model, summary.reason) == ("model", "small-model", None)
    assert (summary.text, summary.session_id) == ("2 lines.", None)
    assert summary.total_interactions == 2


async def test_a_failed_model_is_replaced_by_an_extract_with_the_reason() -> None:
    model = Model()
    model.broken = True
    summary = await Summarizer(model, lambda: NOW).summary(CONVERSATION, None, SAID)
    assert (summary.by, summary.reason) == ("extract", FAILED)
    assert summary.action_items == ["I will stretch my knee."]


async def test_silence_sends_no_request() -> None:
    model = Model()
    unheard = [CALL.assistant("Hm.", heard_text="", state="unheard")]
    summary = await Summarizer(model, lambda: NOW).summary(CONVERSATION, None, unheard)
    assert (summary.by, summary.text, model.asked) == ("extract", "", 0)


async def test_only_so_many_summaries_are_written_at_once() -> None:
    model = Model()
    model.may.clear()
    summariser = Summarizer(model, lambda: NOW)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(summariser.summary(CONVERSATION, None, SAID))
        while model.asked < AT_ONCE:
            await asyncio.sleep(0)
        with pytest.raises(TooManySummaries):
            await summariser.summary(CONVERSATION, None, SAID)
        model.may.set()
    assert (await summariser.summary(CONVERSATION, None, SAID)).by == "model"


TALK = [SpokenLine("learner", "My knee\nhurts."), SpokenLine("coach", "Stretch it.")]


async def asked(server: ChatServer, lines: Any = TALK, seconds: float = 5.0) -> Points:
    async with aiohttp.ClientSession() as http:
        chat = ChatEndpoint(server.url + "/", "small-model", "sk-summary")
        return await SummaryWriter(http, chat, seconds).write(lines)


async def test_utterances_are_sent_and_the_points_come_back() -> None:
    async with chat_server() as server:
        points = await asked(server)
    assert points == Points(
        text="They spoke about a knee.",
        main_topics=["knee"],
        action_items=["Stretch every morning"],
    )
    (question,) = server.asked
    assert question["model"] == "small-model"
    assert [message["role"] for message in question["messages"]] == ["system", "user"]
    assert question["messages"][1]["content"] == "learner: My knee hurts.\ncoach: Stretch it."
    assert server.given[0]["authorization"] == "Bearer sk-summary"


async def test_text_around_the_json_is_ignored() -> None:
    async with chat_server() as server:
        server.body = completion(f"Certainly!\n```json\n{json.dumps(POINTS)}\n```\n")
        assert (await asked(server)).main_topics == ["knee"]


async def test_an_answer_that_is_too_long_is_cut() -> None:
    book = {"text": "x" * 9000, "action_items": ["y" * 900] * 50}
    async with chat_server() as server:
        server.body = completion(json.dumps(book))
        points = await asked(server)
    assert len(points.text) == 4000
    assert [len(item) for item in points.action_items] == [300] * MOST_POINTS


async def test_of_a_very_long_conversation_the_latest_part_is_sent() -> None:
    lines = [SpokenLine("learner", f"word {number}") for number in range(20_000)]
    async with chat_server() as server:
        await asked(server, lines)
    sent = server.asked[0]["messages"][1]["content"]
    assert len(sent) == MOST_SENT
    assert sent.endswith("learner: word 19999")


@pytest.mark.parametrize(
    "broken",
    [
        {"status": 401, "body": '{"error":{"message":"Incorrect API key provided: sk-summary"}}'},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}},
        {"body": "not JSON"},
        {"body": b"\xff\xfe"},
        {"body": "{}"},
        {"body": '{"choices":[]}'},
        {"body": completion("I would rather not.")},
        {"body": completion('{"text": "  "}')},
        {"body": completion('{"text": 7}')},
        {"body": b" " * (MOST_READ + 1)},
    ],
    ids=[
        *("refused", "sent elsewhere", "no JSON", "no text", "no choices", "none"),
        *("prose", "empty", "wrong type", "too much"),
    ],
)
async def test_an_unusable_answer_fails_with_a_reason_that_quotes_nothing(broken: Any) -> None:
    async with chat_server() as server:
        for name, value in broken.items():
            setattr(server, name, value)
        with pytest.raises(ModelFailed) as failed:
            await asked(server)
    assert "sk-summary" not in str(failed.value)
    assert "127.0.0.1" not in str(failed.value)


async def test_a_model_that_takes_too_long_is_given_up() -> None:
    async with chat_server() as server:
        server.gate = asyncio.Event()
        with pytest.raises(ModelFailed, match="too slow"):
            await asked(server, seconds=0.05)


async def test_an_unreachable_server_is_reported_without_its_address() -> None:
    server = ChatServer(url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelFailed) as failed:
        await asked(server)
    assert "127.0.0.1" not in str(failed.value)


def test_the_key_is_not_shown_by_accident() -> None:
    assert "sk-summary" not in repr(ChatEndpoint("http://127.0.0.1/v1", "m", "sk-summary"))
