"""A coach takes over calls that came in by the doors of older systems, on the coach's page."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.app import App
from relay.engines.cascade.outputs import Pace
from tests.components import needs
from tests.doors.socketio.chatting import chatting
from tests.scenarios.stage import Stage
from tests.web.chromium import Screen, chromium, screen_of
from tests.web.far_end import PATIENCE
from tests.web.sound import syllables
from tests.web.two_people import coachs_voice, two_voices
from tests.web.whole import relay_before_openai

pytestmark = [pytest.mark.slow, needs("chromium")]

DOORS = ("sessions", "socketio")
PARTS = two_voices(
    learner=("Are you there?",),
    coach=("This is Kim, your coach.",),
    replies=("I am here.",),
)


@asynccontextmanager
async def relay_and_coach(folder: Path) -> AsyncIterator[tuple[App, Screen]]:
    """A relay with these doors on their own ports, and a coach's page before it."""
    settings = {
        "relay_doors": ("openai", "browser", *DOORS),
        "relay_open_doors": DOORS,
        "sessions_port": 0,
        "socketio_port": 0,
    }
    voice = coachs_voice(folder / "coach.wav")
    async with (
        relay_before_openai(folder, PARTS, Pace(burst=4.0), **settings) as app,
        chromium(voice) as browser,
        screen_of(browser, app.page_address("coach")) as coach,
    ):
        yield app, coach


async def taken_over(coach: Screen) -> None:
    """The coach opens the only call, and speaks in it."""
    await coach.open()
    await coach.page.locator("#live li button").click(timeout=PATIENCE * 1000)
    await coach.page.keyboard.press("t")
    await coach.page.locator("#standing[data-kind=mine]").wait_for(timeout=PATIENCE * 1000)
    await coach.row("coach final", "This is Kim, your coach.")


async def test_S2_11_a_coach_takes_over_a_socketio_call(tmp_path: Path) -> None:
    async with (
        relay_and_coach(tmp_path) as (app, coach),
        chatting(Stage(app, None, tmp_path)) as me,
    ):
        await me.say("Hello.")
        assert (await me.until("ai-response"))["message"]["text"] == "I am here."
        await taken_over(coach)
        answer = await me.until("ai-response")
        assert answer["message"]["text"].startswith("This is Kim")
        assert len(base64.b64decode(answer["audioBuffer"])) > 1_000
        await coach.row("learner final", "Hello.")
        await coach.row("model final", "I am here.")


async def test_S0_6_S0_24_a_coach_takes_over_a_session(tmp_path: Path) -> None:
    async with relay_and_coach(tmp_path) as (app, coach), aiohttp.ClientSession() as http:
        base = f"http://127.0.0.1:{app.http.door_ports['sessions']}"

        async def ask(method: str, path: str, body: Any = None) -> Any:
            async with http.request(method, base + path, json=body) as answer:
                assert answer.status == 200
                return (await answer.json())["data"]

        await ask("POST", "/api/session/create", {"sessionId": "one"})
        async with http.ws_connect(f"{base}/audio/one") as ear:
            low = syllables(tmp_path / "learner.wav", pause=0).read_bytes()
            said = base64.b64encode(low).decode()
            told = await ask("POST", "/api/session/one/audio", {"audioData": said})
            assert told["aiResponse"] == "I am here."
            await taken_over(coach)
            sound = b""
            while len(sound) < 24_000:
                message = await ear.receive_json(timeout=PATIENCE)
                if message["type"] == "audio_response":
                    sound += base64.b64decode(message["audioData"])
        record = await ask("GET", "/api/session/one/status")
        await coach.row("learner final", "Are you there?")

    assert [(one["speaker"], one["text"]) for one in record["transcript"]] == [
        ("client", "Are you there?"),
        ("coach", "This is Kim, your coach."),
    ]
