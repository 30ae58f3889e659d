"""A coach's commands to a live session, and their answers."""

from typing import Any

import pytest

from relay.http.api.sessions import ACTIONS, MAX_BODY
from relay.realtime.coaching.control import Command, Outcome
from tests.feed.calls import FakeCall
from tests.http.api.running_api import SESSION, Answer, RunningApi, header, running_api
from tests.stores.words import LEARNER

COACH = header("kim", "coach")


async def post(api: RunningApi, action: str, body: Any = None, **options: Any) -> Answer:
    options.setdefault("headers", COACH)
    return await api.ask(f"/api/sessions/{SESSION}/{action}", "POST", json=body, **options)


def body_of(action: str) -> dict[str, str]:
    return {"text": "Slowly."} if action in ("whisper", "note") else {}


@pytest.mark.parametrize("action", ACTIONS)
async def test_S0_6_S0_7_a_coach_commands_the_session_of_an_assigned_learner(action: str) -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            answer = await post(api, action, body_of(action))
    assert answer.status == 200
    assert answer.json["changed"] is True
    assert answer.json["session"]["id"] == SESSION
    assert answer.json["session"]["paused"] is (action == "pause")
    assert [(command.action, command.coach_id) for command in call.commands] == [(action, "kim")]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("who", "error"),
    [
        (header(LEARNER, "learner"), (403, "not_a_coach")),
        (header("lee", "coach"), (404, "not_found")),
        (header("kim", "coach", ttl=-100), (401, "unauthorized")),
    ],
    ids=["the learner", "another coach", "an old token"],
)
async def test_other_callers_may_not(
    action: str, who: dict[str, str], error: tuple[int, str]
) -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            assert (await post(api, action, body_of(action), headers=who)).error == error
    assert call.commands == []


@pytest.mark.parametrize(
    ("outcome", "error"),
    [("busy", (409, "taken")), ("muted", (409, "silent")), ("over", (409, "over"))],
)
async def test_a_command_that_is_not_possible_now(outcome: Outcome, error: tuple[int, str]) -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall(outcome=outcome)):
            assert (await post(api, "takeover")).error == error


async def test_a_repeated_command_changes_nothing() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall(outcome="nothing")):
            answer = await post(api, "pause")
    assert (answer.status, answer.json["changed"]) == (200, False)


async def test_the_text_of_a_command_reaches_the_session() -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            await post(api, "whisper", {"text": "Ask her name.", "mode": "say"})
            await post(api, "end", {"reason": "Time is up."}, headers=header())
    assert call.commands == [
        Command("whisper", "kim", "Ask her name.", "say"),
        Command("end", "boss", "Time is up.", is_admin=True),
    ]


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("whisper", {}, "bad_text"),
        ("whisper", {"text": "  "}, "bad_text"),
        ("whisper", {"text": 7}, "bad_text"),
        ("whisper", {"text": "x" * 4001}, "bad_text"),
        ("whisper", {"text": "x", "mode": "shout"}, "bad_mode"),
        ("note", ["x"], "bad_text"),
        ("end", {"reason": None}, "bad_text"),
    ],
)
async def test_an_invalid_body_is_refused(action: str, body: Any, code: str) -> None:
    call = FakeCall()
    async with running_api() as api:
        with api.feeds.hub.track(call):
            assert (await post(api, action, body)).error == (400, code)
    assert call.commands == []


async def test_a_body_that_is_too_long_is_refused() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            path = f"/api/sessions/{SESSION}/note"
            answer = await api.ask(path, "POST", headers=COACH, data=b"x" * (MAX_BODY + 1))
            assert answer.error == (400, "bad_text")
            answer = await api.ask(path, "POST", headers=COACH, data=b"{")
            assert answer.error == (400, "bad_text")


async def test_a_session_that_has_ended_takes_no_command() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall(why="client_left")):
            pass
        assert (await post(api, "pause")).error == (409, "over")
