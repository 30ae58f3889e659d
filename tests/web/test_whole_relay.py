"""The page with the whole relay: listeners, doors, session, engine and store."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from relay.app import App
from relay.config import Settings
from relay.engines.cascade.outputs import Pace
from relay.parts.simple import Script, scripted_parts
from relay.voice import make_parts
from tests.components import needs
from tests.web.chromium import Screen, chromium, screen_of
from tests.web.sound import read, silence, syllables, write
from tests.web.whole import relay, relay_before_openai

LOCAL = Settings(relay_engine="offline", relay_llm="local")
"""A voice of this machine's own, also where an Ollama runs."""

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def talking(app: App, hears: Path) -> AsyncIterator[Screen]:
    async with chromium(hears) as browser, screen_of(browser, app.page_address()) as screen:
        await screen.open()
        await screen.page.get_by_role("button", name="Talk").click()
        yield screen


async def test_the_page_talks_through_the_relay_with_openai(tmp_path):
    script = Script(heard=["Good morning."], replies=["And to you."])
    spoken = syllables(tmp_path / "spoken.wav", pause=5)
    async with (
        relay_before_openai(tmp_path, scripted_parts(script), Pace(burst=5)) as app,
        talking(app, spoken) as screen,
    ):
        await screen.row("user final", "Good morning.")
        await screen.row("assistant final", "And to you.")
        await screen.state("listening")
        assert not await screen.page.locator("#voice").is_visible()  # no demonstration here
        numbers = await screen.numbers()
        assert numbers["played"] > 0
        assert numbers["loudest"] > 0.05
        assert screen.complaints == []

        await screen.page.get_by_role("button", name="Stop").click()
        await screen.state("idle")
    assert (tmp_path / "relay.db").exists()


async def test_speaking_really_interrupts(tmp_path):
    """A loud microphone against a long answer that came in one burst."""
    script = Script(heard=["Tell me a story."], replies=["And so it went, " * 12])
    spoken = syllables(tmp_path / "spoken.wav", pause=3)
    async with (
        relay_before_openai(tmp_path, scripted_parts(script), Pace(burst=50)) as app,
        talking(app, spoken) as screen,
    ):
        await screen.until("numbers.truncates > 0")
        await screen.row("assistant interrupted", "And so it went")
        numbers = await screen.numbers()
        heard = screen.page.locator("#transcript li.assistant.interrupted").first
        assert await heard.locator(".unheard").inner_text() != ""
        assert 0 < numbers["played"] < 24 * 60 * 16 * 12  # as many ms as the tone's characters ask
        assert screen.complaints == []


@pytest.mark.slow
@needs("voice", "human_recordings", "ffmpeg")
async def test_a_human_voice_and_the_local_voice(tmp_path, human_wav):
    said = read(human_wav("queue-thankyou")) + silence(9)
    spoken = write(tmp_path / "spoken.wav", said)
    async with (
        relay(tmp_path, relay_engine="offline", relay_llm="local") as app,
        talking(app, spoken) as screen,
    ):
        assert await screen.page.get_by_text("Demonstration voice").is_visible()
        await screen.row("user final", "Thank you for your patience.")
        await screen.row("assistant final", " ")
        await screen.until("numbers.played > 24000")
        assert (await screen.numbers())["loudest"] > 0.02
        assert screen.complaints == []


@needs("voice", "human_recordings", "ffmpeg")
async def test_a_human_voice_through_the_openai_engine(tmp_path, human_wav):
    """What `relay talk` shows a newcomer, in a browser: understood, answered, heard and stored."""
    said = read(human_wav("queue-thankyou")) + silence(9)
    spoken = write(tmp_path / "spoken.wav", said)
    async with (
        relay_before_openai(tmp_path, make_parts(LOCAL)) as app,
        talking(app, spoken) as screen,
    ):
        await screen.row("user final", "Thank you for your patience.")
        await screen.row("assistant final", " ")
        await screen.until("numbers.played > 24000")
        assert (await screen.numbers())["loudest"] > 0.02
        shown = dict(await screen.rows())
        assert screen.complaints == []
        await screen.page.get_by_role("button", name="Stop").click()
        await screen.state("idle")
    with closing(sqlite3.connect(tmp_path / "relay.db")) as file:
        stored = file.execute("SELECT role, content FROM chat_messages_v2 ORDER BY created_at")
        words = [(role, json.loads(content)["text"]) for role, content in stored]
    # The recording may begin in the middle when the microphone opens, and is spoken again.
    assert ("user", "Thank you for your patience.") in words
    answers = [text for role, text in words if role == "assistant"]
    assert any(text.startswith(shown["assistant final"].split(".")[0]) for text in answers)
