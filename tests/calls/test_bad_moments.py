"""Calls by turns, where an engine or a door does something at a bad moment."""

import asyncio
from pathlib import Path

import pytest

from relay.calls.turns import TurnFailed
from relay.parts.interfaces import Reply, failed
from relay.parts.simple import Script
from relay.realtime import endings
from relay.realtime.endings import Ending
from tests.calls.by_hand import by_hand
from tests.calls.speaking import Told, calling
from tests.scenarios.stage import SPEECH, stage


async def settle() -> None:
    """Let what is on its way arrive."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_answer_that_begins_after_its_interruption_is_cancelled_and_not_heard() -> None:
    told = Told()
    async with by_hand(told) as (session, call):
        answering = asyncio.ensure_future(call.respond())
        turn = await session.asked()
        call.interrupt()
        assert (await answering).status == "cancelled"

        session.create("resp_1", turn)
        session.speak("resp_1", "Nobody asks.")
        assert (await session.gets("conversation.item.truncate"))["audio_end_ms"] == 0
        session.speak("resp_1", "Nobody asks.")
        session.done("resp_1", turn, "cancelled")
        await settle()

    assert session.of("response.cancel")[-1]["response_id"] == "resp_1"
    assert len(session.of("conversation.item.truncate")) == 1
    assert (told.text, told.audio, told.answers) == ("", b"", [])


async def test_the_next_answer_is_asked_for_once_the_interrupted_one_has_ended() -> None:
    async with by_hand() as (session, call):
        first = asyncio.ensure_future(call.respond())
        turn = await session.asked()
        session.create("resp_1", turn)
        session.speak("resp_1", "Well,")
        await settle()
        call.interrupt(played_ms=50)
        assert ((await first).text, (await first).response_id) == ("Well,", "resp_1")

        second = asyncio.ensure_future(call.respond())
        await settle()
        assert len(session.of("response.create")) == 1
        session.done("resp_1", turn, "cancelled")
        turn = await session.asked(2)
        session.create("resp_2", turn)
        session.speak("resp_2", "Yes.")
        session.done("resp_2", turn)
        assert (await second).text == "Yes."


async def test_a_turn_waits_until_what_a_coach_had_said_has_ended() -> None:
    told = Told()
    async with by_hand(told) as (session, call):
        session.create("resp_say")
        await settle()
        answering = asyncio.ensure_future(call.respond())
        await settle()
        assert not session.of("response.create")
        session.speak("resp_say", "Breathe.")
        session.done("resp_say")
        turn = await session.asked()
        session.create("resp_1", turn)
        session.done("resp_1", turn)
        assert (await answering).response_id == "resp_1"

    assert [answer.text for answer in told.answers] == ["Breathe.", ""]


async def test_an_answer_that_nobody_waits_for_any_more_is_cancelled() -> None:
    told = Told()
    async with by_hand(told) as (session, call):
        answering = asyncio.ensure_future(call.respond())
        turn = await session.asked()
        session.create("resp_1", turn)
        await settle()
        answering.cancel()
        assert (await session.gets("response.cancel"))["response_id"] == "resp_1"
        session.speak("resp_1", "Too late.")
        session.done("resp_1", turn, "cancelled")
        await settle()

    assert (told.text, told.answers) == ("", [])


async def test_an_interruption_before_the_first_sound_leaves_the_answer_before_alone() -> None:
    async with by_hand() as (session, call):
        first = asyncio.ensure_future(call.respond())
        turn = await session.asked()
        session.create("resp_1", turn)
        session.speak("resp_1", "Heard.")
        session.done("resp_1", turn)
        await first
        second = asyncio.ensure_future(call.respond())
        await session.asked(2)
        call.interrupt()
        await second
        await settle()

    assert not session.of("conversation.item.truncate")


@pytest.mark.parametrize("begins", [True, False])
async def test_an_engine_may_return_no_metadata(begins: bool) -> None:
    """As speaches does; and one may leave out `response.created`."""
    async with by_hand() as (session, call):
        for number in (1, 2):
            answering = asyncio.ensure_future(call.respond())
            await session.asked(number)
            if begins:
                session.create(f"resp_{number}")
            session.speak(f"resp_{number}", "Hello.")
            session.done(f"resp_{number}")
            assert (await asyncio.wait_for(answering, 20)).text == "Hello."


async def test_sound_of_a_turn_that_was_given_up_is_not_heard_in_the_next() -> None:
    async with by_hand() as (session, call):
        hearing = asyncio.ensure_future(call.hear(SPEECH))
        await session.gets("input_audio_buffer.commit")
        hearing.cancel()
        await session.gets("input_audio_buffer.clear")


async def test_a_session_that_takes_no_sound_fails_the_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.calls.turns.CONFIRM_SECONDS", 0.05)
    async with by_hand() as (session, call):
        call.writable(False)
        with pytest.raises(TurnFailed) as failure:
            await call.hear(SPEECH)
        assert failure.value.code == "timeout"
        await session.gets("input_audio_buffer.clear")


@pytest.mark.parametrize("ending", endings.ALL, ids=lambda ending: ending.name)
async def test_every_ending_is_told_once_and_releases_who_waits(ending: Ending) -> None:
    told = Told()
    async with by_hand(told) as (session, call):
        hearing = asyncio.ensure_future(call.hear(SPEECH))
        writing = asyncio.ensure_future(call.say("Hello?"))
        answering = asyncio.ensure_future(call.respond())
        await session.gets("input_audio_buffer.commit")
        session.end(ending)
        for turn in (hearing, writing, answering):
            with pytest.raises(TurnFailed):
                await asyncio.wait_for(turn, 20)

    (last,) = told.endings
    assert (last.code, last.reason) == (ending.code, ending.reason)


async def test_a_failed_answer_takes_nothing_from_the_one_before(tmp_path: Path) -> None:
    broken = Reply((), ending=failed("server_error", "The model failed."))
    async with stage(tmp_path, Script(replies=["All well.", broken])) as here:
        async with calling(here) as call:
            await call.say("How is it?")
            answer = await call.respond()
            call.played(60_000)
            await call.say("And now?")
            assert (await call.respond()).status == "failed"
            call.interrupt()
            conversation = call.conversation_id
        await here.emptied()
        said = await here.stored(conversation, 3)

    assert said[1]["record"].utterance.heard_text == answer.text == "All well."
