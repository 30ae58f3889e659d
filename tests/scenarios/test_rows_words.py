"""Promises of S3 about words, voices, money and engines, seen from outside a whole relay."""

import base64
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from relay.app import running
from relay.parts.simple import Script
from tests.components import needs
from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import browser, client, openai, provided, spoken
from tests.scenarios.stage import AGENT, Event, Line, Stage, loaded, stage

SCRIPT = Script(heard=("Good morning.", "And good night."), replies=("Good morning to you.",))
SECOND = bytes(48_000)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table of the embedded store."""
    with closing(sqlite3.connect(folder / "relay.db")) as file:
        file.row_factory = sqlite3.Row
        return [dict(row) for row in file.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a constant


async def typed(line: Line, text: str) -> None:
    """A typed turn, up to the end of its answer."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await line.send({"type": "conversation.item.create", "item": item}, {"type": "response.create"})
    await line.until("response.done")


async def test_S3_31_S3_32_S3_34_a_turn_becomes_two_rows_of_one_conversation(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        async with here.s3_client(voice="coral") as line:
            await line.until("session.updated")
            await line.speak()
            told = await line.until("conversation.created")
            await line.until("response.done")
        await here.stored(told["conversation_id"], 2)
        (conversation,) = rows(tmp_path, "conversation_sessions")
        assert (conversation["title"], conversation["status"]) == ("Voice Chat", "active")
        assert '"started_via": "realtime_voice"' in conversation["session_state"]
        assert (conversation["user_id"], conversation["message_count"]) == ("ada", 2)
        user, assistant = sorted(
            rows(tmp_path, "chat_messages_v2"), key=lambda row: row["created_at"]
        )
        assert (user["role"], user["sender_user_id"], user["sender_agent_id"]) == (
            "user",
            "ada",
            None,
        )
        assert '"input_method": "realtime_voice"' in user["metadata"]
        assert '"text": "Good morning."' in user["content"]
        assert (assistant["role"], assistant["sender_agent_id"]) == ("assistant", AGENT)
        assert '"voice": "coral"' in assistant["metadata"]
        assert '"model": "gpt-realtime-2.1"' in assistant["metadata"]


async def test_S3_36_several_user_turns_before_one_answer_are_all_stored(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider), client(here, openai(more="&relay=1")) as end:
        told = await end.until("relay.session")
        turn = [
            *wire.spoken_turn("U1", None),
            *wire.spoken_turn("U2", "U1"),
            wire.heard("U2", "No, two."),
            *wire.answer("A1", "Two.", "U2"),
            wire.heard("U1", "One."),
        ]
        await spoken(end, await provider.call(), turn)
        said = await here.stored(told["conversation_id"], 3)
        assert [(row["role"], row["text"]) for row in said] == [
            ("user", "One."),
            ("user", "No, two."),
            ("assistant", "Two."),
        ]


async def test_S3_37_an_interrupted_answer_is_stored_as_far_as_it_was_heard(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider), client(here, openai(more="&relay=1")) as end:
        told = await end.until("relay.session")
        answer = wire.answer("A1", "One two three four five six seven eight.", None)
        sound = [
            {
                "type": "response.output_audio.delta",
                "response_id": "resp_1",
                "item_id": "A1",
                "output_index": 0,
                "content_index": 0,
                "delta": base64.b64encode(SECOND).decode(),
            }
        ] * 8
        call = await provider.call()
        await spoken(end, call, [*answer[:3], *sound, *answer[3:]])
        end.send({"type": "relay.playback", "item_id": "A1", "played_ms": 4000})
        end.send(
            {
                "type": "conversation.item.truncate",
                "item_id": "A1",
                "content_index": 0,
                "audio_end_ms": 4000,
            }
        )
        await call.until("conversation.item.truncate")
        (row,) = await here.stored(told["conversation_id"], 1)
        heard = row["record"].utterance
        assert (row["state"], heard.audio_ms) == ("interrupted", 8000)
        assert 4000 <= (heard.heard_ms or 0) <= 4060, "its clock went on until it said that it cut"
        assert heard.text == "One two three four five six seven eight."
        assert heard.heard_text == "One two three four"
        (stored,) = rows(tmp_path, "chat_messages_v2")
        assert '"text": "One two three four"' in stored["content"]


async def test_S3_52_S3s_own_hook_which_connects_again_after_the_first_answer(
    tmp_path: Path,
) -> None:
    """It closes and dials anew when it learns of its conversation, and must not lose the thread."""
    async with stage(tmp_path, SCRIPT) as here:
        async with here.s3_client() as line:
            await line.speak()
            told = await line.until("conversation.created")
            await line.until("response.done")
        async with here.s3_client(conversation_id=told["conversation_id"]) as line:
            await line.until("session.updated")
            await line.speak()
            await line.until("response.done")
            assert "conversation.created" not in line.types
            assert "Good morning to you." not in str(line.events[:4]), "it has seen that already"
        said = await here.stored(told["conversation_id"], 4)
        said.sort(key=lambda row: row["record"].head.started_at)
        assert [row["text"] for row in said][:3] == [
            "Good morning.",
            "Good morning to you.",
            "And good night.",
        ]
        assert len({row["record"].head.session_id for row in said}) == 2


async def test_S3_52_the_new_engine_knows_what_was_said(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider):
        async with client(here, browser()) as end:
            call = await provider.call()
            turn = [*wire.spoken_turn("U1", None), wire.heard("U1", "My name is Ada.")]
            await spoken(end, call, [*turn, *wire.answer("A1", "Hello, Ada.", "U1")])
            told = await end.until("conversation.created")
        async with client(here, browser(conversation_id=told["conversation_id"])) as end:
            await end.until("session.created")
            again = await provider.call()
            await again.until("conversation.item.create", 2)
            texts = [event["item"]["content"][0]["text"] for event in again.events[1:]]
            assert texts == ["My name is Ada.", "Hello, Ada."]


async def test_S3_75_metrics_show_connections_errors_tokens_and_money(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here:
        async with here.openai_client() as line:
            await typed(line, "Hello?")
        await here.emptied()
        _, text = await here.get("/metrics")
        for name in (
            "relay_sessions_active 0.0",
            'relay_sessions_ended_total{door="openai",ending="client_left"} 1.0',
            'relay_tokens_total{kind="audio_out"}',
            "relay_cost_dollars_total",
            "relay_engine_connect_seconds",
            "relay_journal_depth",
        ):
            assert name in text, name
        dollars = float(text.split("\nrelay_cost_dollars_total ")[1].split()[0])
        assert dollars > 0


async def test_S3_91_every_event_that_a_client_gets_is_one_of_the_published_types(
    tmp_path: Path,
) -> None:
    published: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
    async with stage(tmp_path, SCRIPT) as here, here.openai_client() as line:
        await line.until("session.created")
        await line.send({"type": "session.update", "session": {"type": "realtime"}})
        await line.until("session.updated")
        await line.speak()
        await line.until("response.done")
        await typed(line, "And now in writing.")
        await line.send({"type": "conversation.item.retrieve", "item_id": "item_none"})
        await line.until("error")
        assert len(set(line.types)) > 15
        for event in line.events:
            read = published.validate_python(event)
            assert read.type == event["type"]
            assert _unknown(read, event) == set(), event["type"]


def _unknown(read: Any, event: Event) -> set[str]:
    """Fields that the published type does not have; `obfuscation` comes all the same (WIRE §3)."""
    return event.keys() - set(type(read).model_fields) - {"obfuscation"}


@needs("voice")
async def test_S3_92_a_local_engine_stands_in_for_openai(tmp_path: Path) -> None:
    async with running(loaded(tmp_path, relay_engine="offline")) as app:
        here = Stage(app, None, tmp_path)
        async with here.s3_client() as line:
            created = await line.until("session.created")
            assert created["session"]["id"].startswith("sess_")
            await typed(line, "Hello?")
            assert "response.audio.delta" in line.types
