"""A coach acts in a live call: silence, a whisper, a word in the model's place, the end."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.parts.simple import Script
from tests.own_time import own_time
from tests.scenarios.coaching import assign, bearer, session_of, typed, watching
from tests.scenarios.stage import Line, Stage, stage, token

LONG = " ".join(f"word{number}" for number in range(60))
SCRIPT = Script(heard=("Hello? Anybody?",), replies=(LONG, "I am back.", "What is your name?"))


async def command(
    here: Stage, session_id: str, action: str, secret: str | None = None, **body: str
) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(headers=bearer(secret)) as http,
        http.post(f"{here.http}/api/sessions/{session_id}/{action}", json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_S0_7_S0_23_S0_24_SX_3_a_pause_silences_the_model_and_the_learner_is_heard(
    tmp_path: Path,
) -> None:
    """The coach reads along meanwhile."""
    async with stage(tmp_path, SCRIPT, burst=2.0) as here, here.openai_client("?relay=1") as line:
        session_id = await session_of(line)
        async with watching(here, session_id) as feed:
            await _half_a_second_of_a_story(line)
            status, told = await command(here, session_id, "pause")
            assert (status, told["changed"], told["session"]["paused"]) == (200, True, True)
            await line.until("relay.paused")
            done = await line.until("response.done")
            assert done["response"]["status"] == "cancelled"
            begun = len(line.events)
            await line.speak()
            said = await feed.final("Hello? Anybody?")
            assert said["utterance"]["speaker"] == "learner"
            await line.send({"type": "response.create", "event_id": "mine"})
            muted = await line.until("response.done")
            assert muted["response"]["status"] == "cancelled"
            after = [event["type"] for event in line.events[begun:]]
            assert "response.output_audio.delta" not in after
            story = next(row for row in feed.screen.rows if row["speaker"] == "model")
            assert story["state"] == "interrupted"
            assert story["heard_ms"] >= 500
            assert 0 < len(story["heard_text"]) < len(LONG)
            await command(here, session_id, "resume")
            await line.until("relay.resumed")
            await line.send({"type": "response.create"})
            answer = await line.until("response.output_audio_transcript.done")
            assert answer["transcript"] == "I am back."


async def _half_a_second_of_a_story(line: Line) -> None:
    """The model tells one, and the client says that it has played half a second of it."""
    await line.send(typed("Tell me a long story."), {"type": "response.create"})
    for _ in range(11):
        await line.until("response.output_audio.delta")
    sound = await line.until("response.output_audio.delta")
    played = {"type": "relay.playback", "item_id": sound["item_id"], "played_ms": 500}
    await line.send(played)


async def test_a_whisper_reaches_the_model_alone_and_is_written_down(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.openai_client("?relay=1") as line:
        session_id = await session_of(line)
        await assign(here, "carol", "ada")
        carol = token("carol", "coach")
        status, _ = await command(here, session_id, "whisper", carol, text="She is shy.")
        assert status == 200
        await command(here, session_id, "whisper", carol, text="Ask her name.", mode="say")
        await line.until("response.output_audio_transcript.done")
        assert "She is shy." not in json.dumps(line.events)
        assert "Ask her name." not in json.dumps(line.events)
        await command(here, session_id, "end", carol, reason="Time is up.")
        assert await line.closed() == (1000, "")
        actions = await _actions(tmp_path, 3)
        assert [(row["action"], row["coach_id"]) for row in actions] == [
            ("whisper", "carol"),
            ("whisper", "carol"),
            ("end", "carol"),
        ]
        assert json.loads(actions[0]["details"]) == {"text": "She is shy.", "mode": "context"}


async def _actions(folder: Path, count: int) -> list[sqlite3.Row]:
    async with asyncio.timeout(10):
        while True:
            with closing(sqlite3.connect(folder / "relay.db")) as file:
                file.row_factory = sqlite3.Row
                rows = file.execute("SELECT * FROM coach_actions ORDER BY at").fetchall()
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.02)


async def test_a_strangers_coach_and_the_learner_may_do_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, SCRIPT) as here, here.openai_client("?relay=1") as line:
        session_id = await session_of(line)
        for who, status in ((token("dave", "coach"), 404), (token("ada"), 403)):
            assert (await command(here, session_id, "pause", who))[0] == status
        await line.send({"type": "response.create"})
        await line.until("response.done")


@pytest.mark.parametrize("query", ["?relay=1", ""], ids=["aware", "unaware"])
async def test_from_the_command_to_the_flush_is_milliseconds(tmp_path: Path, query: str) -> None:
    """p95 within 80 ms on loopback, of forty pauses in the middle of answers."""
    flushes = "relay.paused" if query else "input_audio_buffer.speech_started"
    taken = []
    async with (
        stage(tmp_path, Script(replies=(LONG,) * 40), burst=4.0) as here,
        here.openai_client(query) as line,
        aiohttp.ClientSession(headers=bearer()) as http,
    ):
        await line.until("session.created")
        (session,) = (await _sessions(here))["sessions"]
        url = f"{here.http}/api/sessions/{session['id']}"
        for _ in range(40):
            await line.send(typed("More."), {"type": "response.create"})
            await line.until("response.output_audio.delta")
            began = own_time()
            asking = asyncio.ensure_future(http.post(f"{url}/pause"))
            await line.until(flushes)
            taken.append(own_time() - began)
            (await asking).release()
            await line.until("response.done")
            (await http.post(f"{url}/resume")).release()
    taken.sort()
    assert taken[37] <= 0.08, f"p95 {taken[37] * 1000:.1f} ms"


async def _sessions(here: Stage) -> Any:
    async with (
        aiohttp.ClientSession(headers=bearer()) as http,
        http.get(f"{here.http}/api/sessions") as answer,
    ):
        return await answer.json()
