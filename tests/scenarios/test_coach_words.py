"""What a coach said is written down by a second engine, and the model is told; seen by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.scenarios.by_hand import End, Provider, client, openai, provided
from tests.scenarios.on_the_line import on_the_line, sound_of
from tests.scenarios.stage import SILENCE, SPEECH, Event, token
from tests.scenarios.test_coach_commands import _sessions, command

HELLO = "Hello Ada, this is Carol."
BOSS = token("boss", "admin")
REFUSED = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def spoken(tmp_path: Path, *, deaf: bool = False) -> AsyncIterator[tuple[End, Provider]]:
    """The learner has said U1, and a coach something after it; U2 came before its words."""
    async with provided(tmp_path) as (here, provider), client(here, openai()) as learner:
        engine = await provider.call()
        await learner.until("session.created")
        if deaf:
            provider.refusal = REFUSED
        (session,) = (await _sessions(here))["sessions"]
        async with on_the_line(here, session["id"], BOSS) as coach:
            engine.send(*user("U1", None))
            await learner.until("conversation.item.added")
            assert (await command(here, session["id"], "takeover", BOSS))[0] == 200
            await coach.say(SPEECH + SILENCE)
            await learner.until("response.output_audio.done")
            engine.send(*user("U2", "U1"))
            yield learner, provider
        learner.say_goodbye(1000)
        await learner.ended()


async def understood(provider: Provider) -> End:
    """The ear has the whole turn, and says what it was."""
    async with asyncio.timeout(10):
        while len(provider.calls) < 2:
            await asyncio.sleep(0.005)
    ear = provider.calls[1]
    await ear.until("input_audio_buffer.commit")
    ear.send({"type": "input_audio_buffer.committed", "item_id": "E1"}, words("E1"))
    return ear


def user(item_id: str, previous: str | None) -> list[Event]:
    content = [{"type": "input_audio", "transcript": None}]
    item = {"id": item_id, "type": "message", "status": "completed", "role": "user"}
    given = {**item, "content": content}
    committed = {"type": "input_audio_buffer.committed", "item_id": item_id}
    return [{**committed, "previous_item_id": previous}, placed("added", given, previous)]


def placed(kind: str, item: dict[str, Any], previous: str | None) -> Event:
    return {"type": f"conversation.item.{kind}", "previous_item_id": previous, "item": item}


def words(item_id: str) -> Event:
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": item_id, "content_index": 0, "transcript": HELLO}


async def test_an_ear_listens_and_answers_nothing(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (learner, provider):
        ear = await understood(provider)
        await learner.until("response.done")
    update = ear.events[0]["session"]
    assert update["audio"]["input"]["turn_detection"] is None
    assert update["audio"]["input"]["transcription"]["model"]
    assert update["output_modalities"] == ["text"]
    kinds = set(ear.types)
    wanted = {"session.update", "input_audio_buffer.append", "input_audio_buffer.commit"}
    assert kinds == wanted


async def test_the_model_is_told_what_was_said_in_its_place(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (learner, provider):
        (said,) = [e for e in learner.events if e["type"] == "response.output_audio.done"]
        second = await learner.until("conversation.item.added", 3)
        assert second["item"]["id"] == "U2"
        assert second["previous_item_id"] == said["item_id"], "for the client it stands behind it"
        await understood(provider)
        engine = provider.calls[0]
        told = await engine.until("conversation.item.create")
        assert told["previous_item_id"] == "U1"
        assert told["item"] == {
            "id": said["item_id"],
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": HELLO}],
        }
        await learner.until("response.done")
        engine.send(placed("added", told["item"], "U1"), placed("done", told["item"], "U1"))
        engine.send(*user("U3", "U2"))
        third = await learner.until("conversation.item.added", 4)
        assert (third["item"]["id"], third["previous_item_id"]) == ("U3", "U2")


async def test_no_id_of_the_relays_own_goes_up_but_the_item_it_made_there(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (learner, provider):
        await understood(provider)
        done = await learner.until("response.done")
        (item,) = done["response"]["output"]
        named = {"item_id": item["id"]}
        learner.send({"type": "conversation.item.retrieve", **named})
        kept = await learner.until("conversation.item.retrieved")
        assert kept["item"]["content"][0]["transcript"] == HELLO
        cut = {"type": "conversation.item.truncate", **named, "content_index": 0}
        learner.send({**cut, "audio_end_ms": 90_000}, {**cut, "audio_end_ms": 300})
        assert "already shorter" in (await learner.until("error"))["error"]["message"]
        assert (await learner.until("conversation.item.truncated"))["audio_end_ms"] == 300
        learner.send({"type": "response.cancel", "response_id": done["response"]["id"]})
        refused = await learner.until("error", 2)
        assert refused["error"]["code"] == "response_cancel_not_active"
    engine = provider.calls[0]
    about = [e for e in engine.events if "relay_coach" in str(e)]
    assert [e["type"] for e in about] == ["conversation.item.create"]


async def test_where_nobody_writes_it_down_the_coach_is_heard_all_the_same(tmp_path: Path) -> None:
    async with spoken(tmp_path, deaf=True) as (learner, _):
        done = await learner.until("response.done")
        (item,) = done["response"]["output"]
        assert done["response"]["status"] == "completed"
        assert item["content"] == [{"type": "output_audio"}]
        assert len(sound_of(learner.events, item["id"])) > len(SPEECH)
