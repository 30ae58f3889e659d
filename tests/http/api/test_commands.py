"""What a coach may do to a live session, and how it is answered."""

from typing import Any

import pytest

from relay.http.api.sessions import ACTIONS, MAX_BODY
from relay.realtime.coaching.control import Command, Outcome
from tests.feed.calls import FakeCall
from tests.http.api.desk import SESSION, Answer, Desk, desk, header
from tests.stores.words import LEARNER

COACH = header("kim", "coach")


async def post(here: Desk, action: str, body: Any = None, **options: Any) -> Answer:
    options.setdefault("headers", COACH)
    return await here.ask(f"/api/sessions/{SESSION}/{action}", "POST", json=body, **options)


def body_of(action: str) -> dict[str, str]:
    return {"text": "Slowly."} if action in ("whisper", "note") else {}


@pytest.mark.parametrize("action", ACTIONS)
async def test_S0_6_S0_7_a_coach_commands_the_session_of_an_assigned_learner(action: str) -> None:
    call = FakeCall()
    async with desk() as here:
        with here.house.hub.live(call):
            answer = await post(here, action, body_of(action))
    assert answer.status == 200
    assert answer.json["changed"] is True
    assert answer.json["session"]["id"] == SESSION
    assert answer.json["session"]["paused"] is (action == "pause")
    assert [(command.action, command.coach_id) for command in call.commands] == [(action, "kim")]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (header(LEARNER, "learner"), (403, "not_a_coach")),
        (header("lee", "coach"), (404, "not_found")),
        (header("kim", "coach", ttl=-100), (401, "unauthorized")),
    ],
    ids=["the learner", "somebody else's coach", "an old token"],
)
async def test_nobody_else_does(action: str, who: dict[str, str], refusal: tuple[int, str]) -> None:
    call = FakeCall()
    async with desk() as here:
        with here.house.hub.live(call):
            assert (await post(here, action, body_of(action), headers=who)).refusal == refusal
    assert call.commands == []


@pytest.mark.parametrize(
    ("outcome", "refusal"),
    [("busy", (409, "taken")), ("muted", (409, "silent")), ("over", (409, "over"))],
)
async def test_what_cannot_be_done_now_is_told(outcome: Outcome, refusal: tuple[int, str]) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall(outcome=outcome)):
            assert (await post(here, "takeover")).refusal == refusal


async def test_a_repeat_is_no_error() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall(outcome="nothing")):
            answer = await post(here, "pause")
    assert (answer.status, answer.json["changed"]) == (200, False)


async def test_what_a_command_was_given_reaches_the_session() -> None:
    call = FakeCall()
    async with desk() as here:
        with here.house.hub.live(call):
            await post(here, "whisper", {"text": "Ask her name.", "mode": "say"})
            await post(here, "end", {"reason": "Time is up."}, headers=header())
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
async def test_a_body_that_says_nothing_sensible_is_refused(
    action: str, body: Any, code: str
) -> None:
    call = FakeCall()
    async with desk() as here:
        with here.house.hub.live(call):
            assert (await post(here, action, body)).refusal == (400, code)
    assert call.commands == []


async def test_a_body_without_an_end_is_not_read_to_it() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            path = f"/api/sessions/{SESSION}/note"
            answer = await here.ask(path, "POST", headers=COACH, data=b"x" * (MAX_BODY + 1))
            assert answer.refusal == (400, "bad_text")
            answer = await here.ask(path, "POST", headers=COACH, data=b"{")
            assert answer.refusal == (400, "bad_text")


async def test_a_session_that_ended_cannot_be_commanded() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall(why="client_left")):
            pass
        assert (await post(here, "pause")).refusal == (409, "over")
