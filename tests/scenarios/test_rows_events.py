"""Promises of S3 about events and words: both ways, in order, once, over a whole relay."""

import base64
import contextlib
import json
import sqlite3
import uuid
from pathlib import Path

import pytest

from tests.realtime import wire_events as wire
from tests.scenarios.by_hand import CREATED, browser, client, metric, openai, provided, spoken
from tests.scenarios.stage import Event, new_id
from tests.websocket.ends import TEXT

CONVERSATION_CREATED = {"type": "conversation.created", "conversation": {"id": "conv_theirs"}}


async def test_S3_21_client_events_arrive_unchanged_and_in_order_early_ones_too(
    tmp_path: Path,
) -> None:
    async with provided(tmp_path) as (here, provider):
        provider.greets = False
        async with client(here, openai()) as end:
            call = await provider.call()
            sent = [_numbered(number) for number in range(200)]
            end.send(*sent[:100])
            await metric(here, 'relay_frames_total{direction="up"} 100.0')
            assert call.events == [], "nothing before it has greeted"
            call.send(CREATED)
            await end.until("session.created")
            end.send(*sent[100:])
            await call.until("conversation.item.create", 100)
            assert call.events[0]["type"] == "session.update", "what the relay has to say is first"
            assert call.events[1:] == sent
            assert set(call.kinds) == {TEXT}, "text frames, which the old relay's were not"


def _numbered(number: int) -> Event:
    if number % 2 == 0:
        audio = base64.b64encode(number.to_bytes(6)).decode()
        return {"type": "input_audio_buffer.append", "event_id": f"e{number}", "audio": audio}
    text = {"type": "input_text", "text": f"{number}", "extra": {"kept": [number, None, 1.5]}}
    item = {"id": f"item_{number}", "type": "message", "role": "user", "content": [text]}
    return {"type": "conversation.item.create", "event_id": f"e{number}", "item": item}


def _turn(number: int) -> list[Event]:
    """A spoken turn with an answer, an event nobody knows and sound between the words."""
    user, reply = f"item_u{number}", f"item_a{number}"
    turn = [
        *wire.spoken_turn(user, f"item_a{number - 1}" if number else None),
        wire.heard(user, f"Question {number}."),
        *wire.answer(reply, f"Answer number {number}.", user, response=f"resp_{number}"),
        {"type": "tomorrow.event", "grapes": [1, {"sour": None}]},
    ]
    delta = base64.b64encode(number.to_bytes(2) * 240).decode()
    ids = {"response_id": f"resp_{number}", "item_id": reply, "output_index": 0}
    sound = {"type": "response.output_audio.delta", **ids, "content_index": 0, "delta": delta}
    turn.insert(-5, sound)
    return [{"event_id": f"event_{number}_{at}", **event} for at, event in enumerate(turn)]


async def test_S3_22_S3_24_a_ga_client_sees_every_event_in_order_as_it_came(
    tmp_path: Path,
) -> None:
    aware = openai(more="&relay=1")  # so it sees the learner's words without asking for them
    async with provided(tmp_path) as (here, provider), client(here, aware) as end:
        await end.until("relay.session")
        call = await provider.call()
        turns = [event for number in range(40) for event in _turn(number)]
        await spoken(end, call, turns)
        sent = [json.dumps(event, separators=(",", ":")).encode() for event in turns]
        assert end.texts[2:-1] == sent, "byte by byte"
        assert set(end.kinds) == {TEXT}


HEARD = "conversation.item.input_audio_transcription.completed"
BETA = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
    "conversation.item.done": "",
}


@pytest.mark.parametrize("way", ["header", "subprotocol", "browser"])
async def test_S3_22_S3_23_S3_24_old_names_are_for_who_asks_for_them_and_in_the_same_order(
    tmp_path: Path, way: str
) -> None:
    more: dict[str, str] = {"OpenAI-Beta": "realtime=v1"} if way == "header" else {}
    if way == "subprotocol":
        more |= {"Sec-WebSocket-Protocol": "realtime, openai-beta.realtime-v1"}
    async with (
        provided(tmp_path) as (here, provider),
        client(here, browser() if way == "browser" else openai(), None, **more) as end,
    ):
        await end.until("session.created")
        turn = _turn(0)
        seen = await spoken(end, await provider.call(), turn)
        names = [BETA.get(event["type"], event["type"]) for event in turn]
        wanted = [name for name in names if name] + ["rate_limits.updated"]
        if way == "browser":
            wanted.remove("response.done")  # it waits until the answer was heard
            wanted[-1:-1] = ["conversation.created", "response.done"]
        else:
            wanted.remove(HEARD)  # nobody asked for the learner's words
        assert seen == wanted


async def test_S3_25_an_old_clients_session_goes_up_in_ga_shape(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider), client(here, browser()) as end:
        await end.until("session.created")
        call = await provider.call()
        session = {
            "modalities": ["audio", "text"],
            "instructions": "Be brief.",
            "voice": "verse",
            "input_audio_format": "pcm16",
            "output_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
            "temperature": 0.7,
            "max_response_output_tokens": 300,
        }
        end.send({"type": "session.update", "event_id": "mine", "session": session})
        update = await call.until("session.update", 2)
    told = update["session"]
    assert told["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert told["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200
    assert told["audio"]["input"]["transcription"]["model"], "never switched off"
    assert told["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "verse"}
    assert (told["type"], told["output_modalities"]) == ("realtime", ["audio"])
    assert (told["instructions"], told["max_output_tokens"]) == ("Be brief.", 300)
    assert not {"temperature", "modalities", "turn_detection", "voice"} & told.keys()


async def test_S3_26_S3_27_theirs_is_not_shown_and_ours_comes_once_before_the_first_answer_is_done(
    tmp_path: Path,
) -> None:
    async with provided(tmp_path) as (here, provider), client(here, browser()) as end:
        await end.until("session.created")
        call = await provider.call()
        call.send(CONVERSATION_CREATED)
        first = await spoken(end, call, _turn(0))
        assert first[first.index("response.done") - 1] == "conversation.created"
        call.send(CONVERSATION_CREATED)
        assert "conversation.created" not in await spoken(end, call, _turn(1))
        (ours,) = [one for one in end.events if one["type"] == "conversation.created"]
        assert set(ours) == {"type", "conversation_id"}
        assert uuid.UUID(ours["conversation_id"]).version == 4
        assert len(await here.stored(ours["conversation_id"], 4)) == 4, "and it is the stored one"


async def test_S3_28_a_given_conversation_is_announced_only_while_new_and_gets_the_words(
    tmp_path: Path,
) -> None:
    mine = new_id()
    async with provided(tmp_path) as (here, provider):
        for number in (0, 1):
            async with client(here, browser(conversation_id=mine)) as end:
                await end.until("session.created")
                call = await provider.call()
                call.send(CONVERSATION_CREATED)
                announced = (await spoken(end, call, _turn(number))).count("conversation.created")
                assert announced == (1 if number == 0 else 0)
            await call.gone.wait()
        words = [row["text"] for row in await here.stored(mine, 4)]
        assert sorted(words) == sorted(
            f"{kind} {n}." for n in (0, 1) for kind in ("Question", "Answer number")
        )


async def test_S3_35_a_transcript_that_comes_late_is_stored_once_in_its_place(
    tmp_path: Path,
) -> None:
    mine = new_id()
    async with provided(tmp_path) as (here, provider):
        async with client(here, browser(conversation_id=mine)) as end:
            await end.until("session.created")
            call = await provider.call()
            turn = [
                *wire.spoken_turn("U1", None),
                *wire.answer("A1", "An answer.", "U1"),
                *wire.spoken_turn("U2", "A1"),
                *wire.answer("A2", "Another one.", "U2", response="resp_2"),
            ]
            late = [
                wire.heard("U2", "Second."),
                wire.heard("U1", "First."),
                wire.heard("U1", "First."),
            ]
            await spoken(end, call, turn + late)
        rows = await here.stored(mine, 4)
        said = ["First.", "An answer.", "Second.", "Another one."]
        assert [row["text"] for row in rows] == said
    assert stored_messages(tmp_path) == 4, "once each"


async def test_S3_38_silence_makes_no_row_and_no_conversation(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider), client(here, browser()) as end:
        await end.until("session.created")
        call = await provider.call()
        turn = [*wire.spoken_turn("U1", None), wire.heard("U1", ""), *_speechless("U1")]
        seen = await spoken(end, call, turn)
        assert "response.done" in seen
        assert "conversation.created" not in seen
    assert stored_messages(tmp_path) == 0
    assert stored_messages(tmp_path, "conversation_sessions") == 0


def _speechless(previous: str) -> list[Event]:
    """An answer without a word, such as a function call that nobody heard."""
    done = {"id": "resp_1", "status": "completed", "conversation_id": "conv_1", "output": []}
    return [wire.response_created("resp_1"), {"type": "response.done", "response": done}]


def stored_messages(folder: Path, table: str = "chat_messages_v2") -> int:
    """How many rows of this table the store has, once the relay has stopped."""
    path = folder / "relay.db"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as file:
        known = file.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,))
        if known.fetchone() is None:
            return 0
        (count,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        return int(count)
