"""A coach on the line: listens, speaks in the model's place, and gives the word back."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.app import running
from relay.parts.simple import Script
from relay.session import coach_bridge as booth
from tests.scenarios.coaching import assign, watching
from tests.scenarios.on_the_line import LEARNER, MODEL, on_the_line, sound_of
from tests.scenarios.stage import SILENCE, SPEECH, Line, Stage, loaded, stage, token
from tests.scenarios.test_coach_commands import _actions, _sessions, command

HELLO = "Hello Ada, this is Carol."
SCRIPT = Script(
    heard=("Can anybody help me?", HELLO, "Thank you, Carol."),
    replies=("I am listening.", "I am back."),
)
ANSWER = (
    *("response.created", "response.output_item.added", "conversation.item.added"),
    *("response.content_part.added", "response.output_audio.delta", "response.output_audio.done"),
    *("response.output_audio_transcript.delta", "response.output_audio_transcript.done"),
    *("response.content_part.done", "conversation.item.done", "response.output_item.done"),
    "response.done",
)
CAROL = token("carol", "coach")


async def id_of(here: Stage, line: Line) -> str:
    """The id of the only session, whose client need not know it."""
    await line.until("session.created")
    (session,) = (await _sessions(here))["sessions"]
    await assign(here, "carol", "ada")
    return str(session["id"])


async def take_over(here: Stage, session_id: str, who: str = CAROL) -> None:
    assert (await command(here, session_id, "takeover", who))[0] == 200


async def heard_all(line: Line) -> None:
    """An answer comes, and the learner has heard it to its end."""
    (item,) = (await line.until("response.done"))["response"]["output"]
    ms = len(sound_of(line.events, item["id"])) // 48
    await line.send({"type": "relay.playback", "item_id": item["id"], "played_ms": ms})


def senders(folder: Path) -> dict[str, tuple[str, str]]:
    """Role and sender of every stored message, by its text."""
    with closing(sqlite3.connect(folder / "relay.db")) as file:
        asked = file.execute("SELECT content, role, sender_user_id FROM chat_messages_v2")
        return {json.loads(said)["text"]: (role, sender) for said, role, sender in asked}


async def test_a_coach_hears_the_learner_and_the_model_from_the_moment_the_line_opens(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.openai_client() as line:
        session_id = await id_of(here, line)
        async with on_the_line(here, session_id, CAROL) as carol:
            await line.speak()
            (item,) = (await line.until("response.done"))["response"]["output"]
            assert await carol.hear(LEARNER, 96_000) == SPEECH + SILENCE
            answer = sound_of(line.events, item["id"])
            assert await carol.hear(MODEL, len(answer)) == answer


async def test_a_coach_is_heard_as_an_ordinary_answer(tmp_path: Path) -> None:
    async with stage(tmp_path, Script(heard=(HELLO,))) as here, here.openai_client() as line:
        session_id = await id_of(here, line)
        async with on_the_line(here, session_id, CAROL) as carol:
            await take_over(here, session_id)
            await carol.say(SPEECH + SILENCE)
            done = await line.until("response.done")
        begun = line.types.index("response.created")
        assert tuple(dict.fromkeys(line.types[begun:])) == ANSWER
        (item,) = done["response"]["output"]
        assert item["content"] == [{"type": "output_audio", "transcript": HELLO}]
        assert (done["response"]["status"], done["response"]["usage"]) == ("completed", None)
        coach = sound_of(line.events, item["id"])
        assert len(SPEECH) < len(coach) < len(SPEECH + SILENCE)
        assert coach == (SPEECH + SILENCE)[: len(coach)], "sample by sample"
        assert len({event["event_id"] for event in line.events}) == len(line.events)


async def test_the_stored_story_has_the_right_speakers_in_order(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.openai_client("?relay=1") as line:
        hello = await line.until("relay.session")
        session_id = hello["session_id"]
        await assign(here, "carol", "ada")
        async with (
            on_the_line(here, session_id, CAROL) as carol,
            watching(here, session_id) as feed,
        ):
            await line.speak()
            await heard_all(line)
            await feed.final("I am listening.")
            await take_over(here, session_id)
            assert (await line.until("relay.coach"))["speaking"] is True
            await carol.say(SPEECH + SILENCE)
            await heard_all(line)
            said = await feed.final(HELLO)
            assert (said["utterance"]["speaker"], said["utterance"]["state"]) == ("coach", "final")
            await command(here, session_id, "release", CAROL)
            assert (await line.until("relay.coach"))["speaking"] is False
            await line.speak()
            await heard_all(line)
        assert "error" not in line.types
        rows = await here.stored(hello["conversation_id"], 5)
        assert [(r["role"], r["text"], r["record"].utterance.coach_id) for r in rows] == [
            ("user", "Can anybody help me?", None),
            ("assistant", "I am listening.", None),
            ("assistant", HELLO, "carol"),
            ("user", "Thank you, Carol.", None),
            ("assistant", "I am back.", None),
        ]
        created = [row["record"].utterance.created_at for row in rows]
        assert created == sorted(created)
        assert senders(tmp_path)[HELLO] == ("assistant", "carol")
        actions = await _actions(tmp_path, 2)
        assert [(row["action"], row["coach_id"]) for row in actions] == [
            ("takeover", "carol"),
            ("release", "carol"),
        ]


@pytest.mark.parametrize("door", ["browser", "beta"])
async def test_a_client_of_beta_names_hears_a_coach_as_any_answer(
    tmp_path: Path, door: str
) -> None:
    async with stage(tmp_path, Script(heard=(HELLO,))) as here:
        beta = {"Authorization": f"Bearer {token()}", "OpenAI-Beta": "realtime=v1"}
        client = (
            here.s3_client() if door == "browser" else here.openai_client(additional_headers=beta)
        )
        async with client as line:
            session_id = await id_of(here, line)
            async with on_the_line(here, session_id, CAROL) as carol:
                await take_over(here, session_id)
                await carol.say(SPEECH + SILENCE)
                done = await line.until("response.done")
                (item,) = done["response"]["output"]
                words = [e for e in line.events if e["type"] == "response.audio_transcript.done"]
                assert [e["transcript"] for e in words] == [HELLO]
                coach = sound_of(line.events, item["id"])
                assert len(coach) > len(SPEECH)
                assert coach == (SPEECH + SILENCE)[: len(coach)]
                assert item["content"][0]["type"] == "audio"
                assert not {k for k in line.types if "output_audio" in k or k == "error"}


async def test_a_learner_interrupts_a_coach_who_goes_on_in_a_new_answer(tmp_path: Path) -> None:
    script = Script(heard=("Let me tell you", "But I wanted to ask", "about the weather."))
    async with stage(tmp_path, script) as here, here.openai_client("?relay=1") as line:
        hello = await line.until("relay.session")
        session_id = hello["session_id"]
        async with on_the_line(here, session_id) as coach:
            await take_over(here, session_id, token("boss", "admin"))
            await coach.say(SPEECH)
            first = (await line.until("response.output_audio.delta"))["item_id"]
            while len(sound_of(line.events, first)) < len(SPEECH):
                await line.until("response.output_audio.delta")
            await line.speak(SPEECH)
            await line.until("input_audio_buffer.speech_started")
            heard = {"content_index": 0, "audio_end_ms": 400}
            await line.send({"type": "conversation.item.truncate", "item_id": first, **heard})
            truncated = await line.until("conversation.item.truncated")
            assert (truncated["item_id"], truncated["audio_end_ms"]) == (first, 400)
            done = await line.until("response.done")
            assert done["response"]["status"] == "cancelled"
            assert done["response"]["output"][0]["status"] == "incomplete"
            await line.speak(SILENCE)
            await line.until("conversation.item.input_audio_transcription.completed")
            await coach.say(SPEECH + SILENCE)
            assert (await line.until("response.done"))["response"]["output"][0]["id"] != first
        assert "error" not in line.types
        await line.socket.close()
        rows = await here.stored(hello["conversation_id"], 3)
        assert [(row["role"], row["text"]) for row in rows] == [
            ("assistant", "Let me tell you"),
            ("user", "But I wanted to ask"),
            ("assistant", "about the weather."),
        ]
        cut = rows[0]["record"].utterance
        assert (cut.state, cut.heard_ms, cut.coach_id) == ("interrupted", 400, "boss")


async def test_of_two_coaches_the_one_who_has_the_word_is_heard_and_both_listen(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, Script(heard=(HELLO,))) as here, here.openai_client() as line:
        session_id = await id_of(here, line)
        boss = token("boss", "admin")
        async with (
            on_the_line(here, session_id, CAROL) as carol,
            on_the_line(here, session_id, boss) as other,
        ):
            await take_over(here, session_id)
            assert (await command(here, session_id, "takeover", boss))[0] == 409
            await other.say(SPEECH + SILENCE)
            await carol.say(SPEECH + SILENCE)
            done = await line.until("response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"] == HELLO
            assert line.types.count("response.created") == 1
            await line.speak(SPEECH)
            assert await carol.hear(LEARNER, 48_000) == SPEECH
            assert await other.hear(LEARNER, 48_000) == SPEECH


async def test_nobody_hears_a_coach_who_has_not_taken_over(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.openai_client() as line:
        session_id = await id_of(here, line)
        async with on_the_line(here, session_id, CAROL) as carol:
            await carol.say(SPEECH + SILENCE)
            await carol.socket.send(json.dumps({"type": "hello"}))
            await line.speak()
            await carol.hear(LEARNER, 96_000)
            done = await line.until("response.done")
            assert "relay" not in done["response"]["id"]
            assert line.types.count("response.created") == 1
            assert here.simulator is not None
            assert here.simulator.connections == 1, "and no ear was opened"


async def test_who_hangs_up_with_the_word_gives_it_back_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booth, "GRACE_SECONDS", 0.05)
    async with stage(tmp_path, SCRIPT) as here, here.openai_client("?relay=1") as line:
        session_id = await id_of(here, line)
        async with on_the_line(here, session_id, CAROL) as carol:
            await take_over(here, session_id)
            await line.until("relay.coach")
            await carol.say(SPEECH)
            await line.until("response.output_audio.delta")
        assert (await line.until("relay.coach"))["speaking"] is False
        (session,) = (await _sessions(here))["sessions"]
        assert session["speaker"] is None
        actions = await _actions(tmp_path, 2)
        assert [row["action"] for row in actions] == ["takeover", "release"]
        assert here.simulator is not None
        async with asyncio.timeout(10):
            while here.simulator.connections > 1:
                await asyncio.sleep(0.005)


async def test_who_comes_back_soon_keeps_the_word_and_the_older_line_is_replaced(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.openai_client("?relay=1") as line:
        session_id = await id_of(here, line)
        async with on_the_line(here, session_id, CAROL) as old:
            await take_over(here, session_id)
            async with on_the_line(here, session_id, CAROL) as new:
                assert await old.closed() == (4009, "Replaced")
                await new.say(SPEECH)
                await line.until("response.output_audio.delta")
        async with on_the_line(here, session_id, CAROL) as newer:
            (session,) = (await _sessions(here))["sessions"]
            assert session["speaker"] == "carol"
            await line.socket.close()
            assert await newer.closed() == (1000, "client_left")


async def test_what_a_coach_said_last_is_written_down_though_the_learner_hung_up(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, Script(heard=(HELLO,))) as here:
        async with here.openai_client("?relay=1") as line:
            hello = await line.until("relay.session")
            async with on_the_line(here, hello["session_id"]) as coach:
                await take_over(here, hello["session_id"], token("boss", "admin"))
                await coach.say(SPEECH)
                await line.until("response.output_audio.delta")
                await line.socket.close()
        (row,) = await here.stored(hello["conversation_id"], 1)
        assert (row["role"], row["text"]) == ("assistant", HELLO)
        assert row["record"].utterance.coach_id == "boss"
        await here.emptied()


async def test_the_offline_voice_has_an_ear_too(tmp_path: Path) -> None:
    """What it understands of a tone is its own; that it says so is what counts."""
    settings = loaded(tmp_path, relay_engine="offline")
    async with running(settings) as app:
        here = Stage(app, None, tmp_path)
        async with here.openai_client("?relay=1") as line:
            hello = await line.until("relay.session")
            async with on_the_line(here, hello["session_id"]) as coach:
                await take_over(here, hello["session_id"], token("boss", "admin"))
                await coach.say(SPEECH + SILENCE)
                done = await line.until("response.done", within=20.0)
                (item,) = done["response"]["output"]
                assert len(sound_of(line.events, item["id"])) > len(SPEECH)
