"""Calls by turns are ordinary sessions: answered, paused, interrupted, recorded and ended."""

import asyncio
from pathlib import Path

import pytest

from relay.calls.turns import TurnFailed
from relay.parts.interfaces import Reply, failed
from relay.parts.simple import Script
from relay.realtime.coaching.control import Command
from relay.realtime.endings import AT_CAPACITY, ENDED_BY_COACH, FORBIDDEN, SessionRefused
from tests.calls.speaking import Told, calling
from tests.scenarios.stage import SPEECH, Stage, live_sessions, new_id, stage

LONG = "A long answer, that goes on for quite a while, so that there is time to interrupt it. " * 4


async def test_what_is_said_is_heard_and_answered(tmp_path: Path) -> None:
    told = Told()
    async with stage(tmp_path, Script(heard=["How are you?"])) as here:
        async with calling(here, told) as call:
            assert await call.hear(SPEECH) == "How are you?"
            answer = await call.respond()
            conversation = call.conversation_id
        await here.emptied()
        said = await here.stored(conversation, 2)

    assert (answer.text, answer.status) == ("You said: How are you?", "completed")
    assert told.text == answer.text
    assert len(told.audio) > 4_800
    assert [(one["role"], one["text"]) for one in said] == [
        ("user", "How are you?"),
        ("assistant", "You said: How are you?"),
    ]
    assert [ending.name for ending in told.endings] == ["client_left"]


async def test_what_is_written_is_answered(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, calling(here) as call:
        await call.say("Good morning.")
        assert (await call.respond()).text == "You said: Good morning."
        await call.say("And again.")
        assert (await call.respond()).text == "You said: And again."


async def test_silence_and_a_click_are_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, Script(heard=[""])) as here, calling(here) as call:
        assert await call.hear(SPEECH) == ""
        assert await call.hear(b"\0\0" * 100) == ""


async def test_twenty_calls_at_once_are_not_mixed(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:

        async def one(number: int) -> None:
            async with calling(here, sub=f"user {number}") as call:
                await call.say(f"I am number {number}.")
                assert (await call.respond()).text == f"You said: I am number {number}."

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                _ = group.create_task(one(number))


async def until_sound(told: Told) -> None:
    async with asyncio.timeout(20):
        while len(told.audio) < 48_000:
            await asyncio.sleep(0.005)


def coach(here: Stage, action: str, **more: str) -> str:
    """A coach's command in the only session."""
    (session,) = live_sessions(here.app)
    return session.execute(Command(action, "coach", **more))  # type: ignore[arg-type]


async def test_a_pause_cancels_the_answer_and_keeps_the_words(tmp_path: Path) -> None:
    told = Told()
    async with stage(tmp_path, Script(replies=[LONG]), burst=1.0) as here:
        async with calling(here, told, pace_ms=200) as call:
            await call.say("Go on.")
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(call.respond())
                await until_sound(told)
                assert coach(here, "pause") == "done"
            assert answering.result().status == "cancelled"
            assert told.pauses == [True]
            assert told.flushes == 1
            await call.say("Are you there?")
            assert (await call.respond()).status == "cancelled"
            coach(here, "resume")
            await call.say("Now?")
            async with asyncio.TaskGroup() as group:
                _ = group.create_task(call.respond())
                await until_sound(told)
                call.interrupt()
            conversation = call.conversation_id
        await here.emptied()
        said = await here.stored(conversation, 4)

    assert [one["text"] for one in said if one["role"] == "user"] == [
        "Go on.",
        "Are you there?",
        "Now?",
    ]


async def test_an_interruption_keeps_what_was_heard(tmp_path: Path) -> None:
    told = Told()
    async with stage(tmp_path, Script(replies=[LONG, "As you like."]), burst=4.0) as here:
        async with calling(here, told) as call:
            await call.say("Go on.")
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(call.respond())
                await until_sound(told)
                call.interrupt(played_ms=500)
            assert answering.result().status == "cancelled"
            call.interrupt()
            await call.say("Stop.")
            assert (await call.respond()).text == "As you like."
            conversation = call.conversation_id
        await here.emptied()
        said = await here.stored(conversation, 4)

    heard = said[1]["record"].utterance
    assert said[1]["state"] == "interrupted"
    assert heard.heard_ms == 500
    assert LONG.startswith(heard.heard_text)
    assert [answer.text for answer in told.answers] == ["As you like."]


async def test_an_interruption_before_the_first_sound(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, calling(here) as call:
        await call.say("Go on.")
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(call.respond())
            await asyncio.sleep(0)
            call.interrupt()
        assert answering.result().status == "cancelled"
        await call.say("Again.")
        assert (await call.respond()).text == "You said: Again."


async def test_what_a_coach_has_said_comes_unasked(tmp_path: Path) -> None:
    told = Told()
    async with stage(tmp_path) as here, calling(here, told):
        coach(here, "whisper", text="Say hello.", mode="say")
        async with asyncio.timeout(20):
            while not told.answers:
                await asyncio.sleep(0.005)

    assert told.answers[0].text
    assert not told.answers[0].from_coach


async def test_a_failed_answer_says_why(tmp_path: Path) -> None:
    broken = Reply((), ending=failed("server_error", "The model failed."))
    async with stage(tmp_path, Script(replies=[broken])) as here, calling(here) as call:
        await call.say("Hello?")
        answer = await call.respond()

    assert (answer.status, answer.failure) == ("failed", "server_error")


async def test_an_ending_releases_who_waits(tmp_path: Path) -> None:
    told = Told()
    async with (
        stage(tmp_path, Script(replies=[LONG]), burst=1.0) as here,
        calling(here, told) as call,
    ):
        await call.say("Go on.")
        answering = asyncio.ensure_future(call.respond())
        await until_sound(told)
        coach(here, "end")
        with pytest.raises(TurnFailed) as failure:
            await answering
        with pytest.raises(TurnFailed):
            await call.say("Anybody?")

    assert failure.value.code == ENDED_BY_COACH.name
    assert [ending.name for ending in told.endings] == ["ended_by_coach"]


async def test_who_may_not_call_is_told_why(tmp_path: Path) -> None:
    async with stage(tmp_path, max_connections=1) as here:
        with pytest.raises(SessionRefused) as refused:
            async with calling(here, conversation_id="no uuid"):
                pass
        assert refused.value.ending.name == FORBIDDEN.name
        async with calling(here):
            with pytest.raises(SessionRefused) as refused:
                async with calling(here, sub="eve"):
                    pass
        assert refused.value.ending.name == AT_CAPACITY.name


async def test_a_conversation_goes_on(tmp_path: Path) -> None:
    conversation = new_id()
    async with stage(tmp_path) as here:
        async with calling(here, conversation_id=conversation) as call:
            await call.say("Remember me.")
            await call.respond()
        await here.emptied()
        async with calling(here, conversation_id=conversation) as call:
            assert call.conversation_id == conversation
            await call.say("Do you?")
            assert (await call.respond()).text == "You said: Do you?"
        await here.emptied()
        said = await here.stored(conversation, 4)

    assert len(said) == 4
