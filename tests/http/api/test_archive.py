"""Past conversations, and summaries: who may ask, and what is kept."""

import json
from typing import Any

import aiohttp
import pytest

from relay.http.api.openapi import document
from relay.http.api.sessions import MOST_USERS
from relay.interfaces import ConversationSummary
from relay.summary.summarizer import Chat, SummaryWriter
from tests.feed.calls import FakeCall, said
from tests.http.api.desk import SESSION, Assignments, Desk, Shelf, desk, header
from tests.http.api.test_openapi import matches
from tests.stores.words import CONVERSATION, LEARNER, MORNING, STRANGER
from tests.summary.chat_server import chat_server

COACH = header("kim", "coach")
LIST = "/api/conversations"
OF_SESSION = f"/api/sessions/{SESSION}/summary"
OF_CONVERSATION = f"/api/conversations/{CONVERSATION}/summary"


def talk(user: str, number: int = 0) -> ConversationSummary:
    return ConversationSummary(f"{user[:8]}-talk-{number}", user, "agent", MORNING, MORNING + 60, 7)


def schema(path: str, method: str) -> dict[str, Any]:
    answer = document()["paths"][path][method]["responses"]["200"]
    found: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return found


async def ids(here: Desk, path: str, who: dict[str, str]) -> list[str]:
    answer = await here.ask(path, headers=who)
    assert answer.status == 200
    assert matches(answer.json, schema(LIST, "get"))
    return [one["id"] for one in answer.json["conversations"]]


async def test_everybody_finds_the_conversations_they_may_see() -> None:
    theirs, strange = talk(LEARNER), talk(STRANGER)
    async with desk() as here:
        here.shelf.talks = [theirs, strange]
        assert await ids(here, LIST, header()) == [theirs.conversation_id, strange.conversation_id]
        assert await ids(here, LIST, COACH) == [theirs.conversation_id]
        assert await ids(here, LIST, header(STRANGER, "learner")) == [strange.conversation_id]
        assert await ids(here, f"{LIST}?user_id={LEARNER}", COACH) == [theirs.conversation_id]
        assert await ids(here, f"{LIST}?user_id={STRANGER}", COACH) == []
        assert await ids(here, f"{LIST}?user_id={STRANGER}", header(LEARNER, "learner")) == []
        assert (await here.ask(LIST, headers={})).refusal == (401, "unauthorized")


async def test_a_list_is_bounded() -> None:
    async with desk() as here:
        here.shelf.talks = [talk(LEARNER, number) for number in range(60)]
        assert len(await ids(here, LIST, COACH)) == 50
        assert len(await ids(here, f"{LIST}?limit=7", COACH)) == 7
        for limit in ("0", "201", "x", "-1"):
            refused = await here.ask(f"{LIST}?limit={limit}", headers=COACH)
            assert refused.refusal == (400, "bad_limit")


async def test_who_follows_very_many_names_one() -> None:
    async with desk() as here:
        here.learners.of["kim"] = frozenset(f"learner {n}" for n in range(MOST_USERS + 1))
        assert (await here.ask(LIST, headers=COACH)).refusal == (400, "name_a_user")
        assert await ids(here, f"{LIST}?user_id=learner 3", COACH) == []
        assert here.shelf.asked == [(["learner 3"], 50)]


async def test_a_store_that_is_away_is_a_503() -> None:
    class Away(Shelf):
        async def conversations(self, *_: Any) -> list[ConversationSummary]:
            raise OSError("the database is away")

    async with desk(archive=Away().archive()) as here:
        assert (await here.ask(LIST)).refusal == (503, "unavailable")
    assert Assignments().asked == 0


@pytest.mark.parametrize(
    ("address", "path", "session"),
    [
        (OF_SESSION, "/api/sessions/{id}/summary", SESSION),
        (OF_CONVERSATION, "/api/conversations/{id}/summary", None),
    ],
)
async def test_S0_13_a_summary_is_made_kept_and_shown(
    address: str, path: str, session: str | None
) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(1, "I will stretch my knee."), said(2, "My goal is to run."))
            answer = await here.ask(address, "POST", headers=COACH)
    assert answer.status == 200
    assert matches(answer.json, schema(path, "post"))
    assert answer.json["by"] == "extract"
    assert answer.json["session_id"] == session
    assert answer.json["total_interactions"] == 2
    assert answer.json["action_items"] == ["I will stretch my knee."]
    (kept,) = here.shelf.kept
    assert (kept.action, kept.coach_id, kept.head.session_id) == ("summary", "kim", SESSION)
    assert json.loads(kept.details["summary"]) == answer.json


async def test_a_models_summary_through_the_whole_api() -> None:
    async with chat_server() as server, aiohttp.ClientSession() as http:
        writer = SummaryWriter(http, Chat(server.url, "small-model"))
        async with desk(archive=Shelf().archive(writer)) as here:
            with here.house.hub.live(FakeCall()):
                here.house.commit(said(1, "My knee hurts."))
                answer = await here.ask(OF_SESSION, "POST", headers=COACH)
    assert (answer.json["by"], answer.json["model"]) == ("model", "small-model")
    assert answer.json["text"] == "They spoke about a knee."
    assert server.asked[0]["messages"][1]["content"] == "learner: My knee hurts."
    assert "authorization" not in server.given[0]


@pytest.mark.parametrize("address", [OF_SESSION, OF_CONVERSATION])
@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (header(LEARNER, "learner"), (403, "not_a_coach")),
        (header("lee", "coach"), (404, "not_found")),
        ({}, (401, "unauthorized")),
    ],
    ids=["the learner", "somebody else's coach", "nobody"],
)
async def test_nobody_else_pays_for_a_summary(
    address: str, who: dict[str, str], refusal: tuple[int, str]
) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(1))
            assert (await here.ask(address, "POST", headers=who)).refusal == refusal
    assert here.shelf.kept == []


@pytest.mark.parametrize("address", [OF_SESSION, OF_CONVERSATION])
async def test_where_nothing_was_said_there_is_nothing_to_summarise(address: str) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            refused = await here.ask(address, "POST", headers=COACH)
    assert refused.refusal == (409, "nothing_said")
    assert here.shelf.kept == []
