"""The learner's words come after the answer's end, and the client has left by then."""

from pathlib import Path
from typing import Any

import pytest

from relay.realtime.records import newest
from relay.session import last_words
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import End, Provider, browser, client, metric, openai, provided
from tests.scenarios.stage import new_id
from tests.stores.words import texts

QUESTION = "What is two and two?"
ANSWER = "Four."
LIMITS = ("max_connections", "max_sessions_per_user", "max_connections_per_ip")


def told(call: End) -> list[str]:
    """What the engine was told of the past, in order."""
    creates = [event for event in call.events if event["type"] == "conversation.item.create"]
    return [event["item"]["content"][0]["text"] for event in creates]


async def answered(end: End, provider: Provider) -> End:
    """The learner asks and hears the answer; no words of the question yet."""
    await end.until("session.created")
    call = await provider.call()
    call.send(*wire.spoken_turn("U1", None), *wire.answer("A1", ANSWER, "U1"))
    await end.until("response.done")
    return call


@pytest.mark.parametrize("waits_for", ["conversation.created", "response.done"])
async def test_S3_27_the_older_front_ends_hook_loses_no_words(
    tmp_path: Path, waits_for: str
) -> None:
    """It closes at once and dials anew; the new engine is not called before the words are there."""
    async with (
        provided(tmp_path, max_sessions_per_user=1) as (here, provider),
        client(here, browser()) as end,
    ):
        call = await answered(end, provider)
        talk = (await end.until("conversation.created"))["conversation_id"]
        await end.until(waits_for)
        end.say_goodbye(1000)
        async with client(here, browser(conversation_id=talk)) as again:
            await end.ended()
            assert len(provider.calls) == 1
            assert not call.gone.is_set()
            call.send(wire.heard("U1", QUESTION))
            await again.until("session.created")
            second = await provider.call()
            assert second is not call
            await second.until("conversation.item.create", 2)
            assert told(second) == [QUESTION, ANSWER]
            assert await call.ended() == (1000, "Client disconnected")
        rows = await here.stored(talk, 2)
    assert texts(newest(row["record"] for row in rows)) == [QUESTION, ANSWER]
    assert len(rows) == 2, "each is stored once"


async def test_words_that_never_come_keep_the_next_session_waiting_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_words, "LAST_WORDS_SECONDS", 0.05)
    talk = new_id()
    async with provided(tmp_path) as (here, provider):
        async with client(here, openai(more=f"&conversation_id={talk}")) as end:
            await answered(end, provider)
        async with client(here, openai(more=f"&conversation_id={talk}")) as again:
            await again.until("session.created")
            second = await provider.call()
            await second.until("conversation.item.create")
            assert told(second) == [ANSWER]


async def test_who_left_counts_against_no_limit(tmp_path: Path) -> None:
    """The same user begins another conversation, and another user takes the only place."""
    full: dict[str, Any] = dict.fromkeys(LIMITS, 1)
    async with provided(tmp_path, **full) as (here, provider):
        async with client(here, openai()) as end:
            call = await answered(end, provider)
        for sub in ("ada", "eve"):
            async with client(here, openai(sub)) as other:
                await other.until("session.created")
                assert not call.gone.is_set(), "its words are still to come"
            await (await provider.call(sub)).ended()
        call.send(wire.heard("U1", QUESTION))
        await call.ended()
        await metric(here, "relay_sessions_active 0.0")


async def test_a_stopping_relay_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_words, "LAST_WORDS_SECONDS", 1000.0)
    async with provided(tmp_path) as (here, provider):
        async with client(here, openai()) as end:
            call = await answered(end, provider)
        await here.app.drain(0.0)
        assert await call.ended() == (1000, "Client disconnected")
