"""Past conversations and summaries: access, limits, and what is recorded."""

import json
from typing import Any

import aiohttp
import pytest

from relay.http.api.openapi import document
from relay.http.api.sessions import MAX_USERS
from relay.interfaces import ConversationSummary
from relay.summary.summarizer import ChatEndpoint, SummaryWriter
from tests.feed.calls import FakeCall, said
from tests.http.api.running_api import (
    SESSION,
    FakeArchive,
    FakeAssignments,
    RunningApi,
    header,
    running_api,
)
from tests.http.api.test_openapi import matches
from tests.stores.words import CONVERSATION, LEARNER, MORNING, STRANGER
from tests.summary.chat_server import chat_server

COACH = header("kim", "coach")
LIST = "/api/conversations"
OF_SESSION = f"/api/sessions/{SESSION}/summary"
OF_CONVERSATION = f"/api/conversations/{CONVERSATION}/summary"


def conversation(user: str, number: int = 0) -> ConversationSummary:
    return ConversationSummary(
        f"{user[:8]}-conversation-{number}", user, "agent", MORNING, MORNING + 60, 7
    )


def schema(path: str, method: str) -> dict[str, Any]:
    answer = document()["paths"][path][method]["responses"]["200"]
    found: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return found


async def ids(api: RunningApi, path: str, who: dict[str, str]) -> list[str]:
    answer = await api.ask(path, headers=who)
    assert answer.status == 200
    assert matches(answer.json, schema(LIST, "get"))
    return [one["id"] for one in answer.json["conversations"]]


async def test_callers_list_the_conversations_they_may_see() -> None:
    own, other = conversation(LEARNER), conversation(STRANGER)
    async with running_api() as api:
        api.archive.stored = [own, other]
        assert await ids(api, LIST, header()) == [own.conversation_id, other.conversation_id]
        assert await ids(api, LIST, COACH) == [own.conversation_id]
        assert await ids(api, LIST, header(STRANGER, "learner")) == [other.conversation_id]
        assert await ids(api, f"{LIST}?user_id={LEARNER}", COACH) == [own.conversation_id]
        assert await ids(api, f"{LIST}?user_id={STRANGER}", COACH) == []
        assert await ids(api, f"{LIST}?user_id={STRANGER}", header(LEARNER, "learner")) == []
        assert (await api.ask(LIST, headers={})).error == (401, "unauthorized")


async def test_a_list_is_limited() -> None:
    async with running_api() as api:
        api.archive.stored = [conversation(LEARNER, number) for number in range(60)]
        assert len(await ids(api, LIST, COACH)) == 50
        assert len(await ids(api, f"{LIST}?limit=7", COACH)) == 7
        for limit in ("0", "201", "x", "-1"):
            refused = await api.ask(f"{LIST}?limit={limit}", headers=COACH)
            assert refused.error == (400, "bad_limit")


async def test_a_coach_of_too_many_learners_must_name_one() -> None:
    async with running_api() as api:
        api.assignments.of["kim"] = frozenset(f"learner {n}" for n in range(MAX_USERS + 1))
        assert (await api.ask(LIST, headers=COACH)).error == (400, "name_a_user")
        assert await ids(api, f"{LIST}?user_id=learner 3", COACH) == []
        assert api.archive.queries == [(["learner 3"], 50)]


async def test_a_store_that_fails_is_a_503() -> None:
    class BrokenArchive(FakeArchive):
        async def conversations(self, *_: Any) -> list[ConversationSummary]:
            raise OSError("the database is away")

    async with running_api(archive=BrokenArchive().services()) as api:
        assert (await api.ask(LIST)).error == (503, "unavailable")
    assert FakeAssignments().asked == 0


@pytest.mark.parametrize(
    ("address", "path", "session"),
    [
        (OF_SESSION, "/api/sessions/{id}/summary", SESSION),
        (OF_CONVERSATION, "/api/conversations/{id}/summary", None),
    ],
)
async def test_S0_13_a_summary_is_made_recorded_and_shown(
    address: str, path: str, session: str | None
) -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            api.feeds.commit(said(1, "I will stretch my knee."), said(2, "My goal is to run."))
            answer = await api.ask(address, "POST", headers=COACH)
    assert answer.status == 200
    assert matches(answer.json, schema(path, "post"))
    assert answer.json["by"] == "extract"
    assert answer.json["session_id"] == session
    assert answer.json["total_interactions"] == 2
    assert answer.json["action_items"] == ["I will stretch my knee."]
    (recorded,) = api.archive.recorded
    assert (recorded.action, recorded.coach_id, recorded.head.session_id) == (
        "summary",
        "kim",
        SESSION,
    )
    assert json.loads(recorded.details["summary"]) == answer.json


async def test_a_summary_by_a_model() -> None:
    async with chat_server() as server, aiohttp.ClientSession() as http:
        writer = SummaryWriter(http, ChatEndpoint(server.url, "small-model"))
        async with running_api(archive=FakeArchive().services(writer)) as api:
            with api.feeds.directory.track(FakeCall()):
                api.feeds.commit(said(1, "My knee hurts."))
                answer = await api.ask(OF_SESSION, "POST", headers=COACH)
    assert (answer.json["by"], answer.json["model"]) == ("model", "small-model")
    assert answer.json["text"] == "They spoke about a knee."
    assert server.asked[0]["messages"][1]["content"] == "learner: My knee hurts."
    assert "authorization" not in server.given[0]


@pytest.mark.parametrize("address", [OF_SESSION, OF_CONVERSATION])
@pytest.mark.parametrize(
    ("who", "error"),
    [
        (header(LEARNER, "learner"), (403, "not_a_coach")),
        (header("lee", "coach"), (404, "not_found")),
        ({}, (401, "unauthorized")),
    ],
    ids=["the learner", "another coach", "no token"],
)
async def test_other_callers_get_no_summary(
    address: str, who: dict[str, str], error: tuple[int, str]
) -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            api.feeds.commit(said(1))
            assert (await api.ask(address, "POST", headers=who)).error == error
    assert api.archive.recorded == []


@pytest.mark.parametrize("address", [OF_SESSION, OF_CONVERSATION])
async def test_an_empty_conversation_has_no_summary(address: str) -> None:
    async with running_api() as api:
        with api.feeds.directory.track(FakeCall()):
            refused = await api.ask(address, "POST", headers=COACH)
    assert refused.error == (409, "nothing_said")
    assert api.archive.recorded == []
