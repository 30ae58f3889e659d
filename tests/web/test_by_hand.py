"""The ten manual tests of S3 (S3-83), run by a browser with the whole relay."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from relay.app import App
from relay.engines.cascade.outputs import Pace
from relay.parts.simple import Script, scripted_parts
from tests.components import needs
from tests.scenarios.stage import token
from tests.web.cable import cable
from tests.web.chromium import Screen, chromium, screen_of
from tests.web.far_end import PATIENCE
from tests.web.sound import syllables
from tests.web.whole import relay_before_openai

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

GUIDE = Path(__file__).parents[2] / "docs" / "client.md"
ID = "sessionStorage.getItem('relay.conversation')"


@dataclass
class WholeRelay:
    """A relay, a browser whose microphone hears speech, and the store."""

    app: App
    browser: Browser
    folder: Path

    def rows(self, conversation: str) -> list[tuple[str, str]]:
        """What was stored of a conversation: role and text, in order."""
        with closing(sqlite3.connect(self.folder / "relay.db")) as file:
            found = file.execute(
                "SELECT role, content FROM chat_messages_v2 WHERE conversation_id = ?"
                " ORDER BY created_at",
                (conversation,),
            )
            return [(role, json.loads(content)["text"]) for role, content in found]

    async def stored(self, conversation: str, *wanted: tuple[str, str]) -> None:
        """Wait until this is stored; an answer becomes final when it was heard."""
        async with asyncio.timeout(PATIENCE):
            while not set(wanted) <= set(self.rows(conversation)):
                await asyncio.sleep(0.05)

    async def health(self) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.app.http.port}/health") as answer,
        ):
            return dict(await answer.json())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole(tmp_path_factory) -> AsyncIterator[WholeRelay]:
    folder = tmp_path_factory.mktemp("whole")
    spoken = syllables(folder / "spoken.wav", pause=3)
    script = Script(heard=["Good morning."], replies=["And to you."])
    async with (
        relay_before_openai(folder, scripted_parts(script), Pace(burst=5)) as app,
        chromium(spoken) as browser,
    ):
        yield WholeRelay(app, browser, folder)


@pytest_asyncio.fixture(loop_scope="session")
async def learner(whole: WholeRelay) -> AsyncIterator[Screen]:
    """A learner's browser with the page open."""
    async with screen_of(whole.browser, whole.app.page_address()) as screen:
        await screen.open()
        await screen.state("idle")
        yield screen
        assert screen.complaints == []


async def talk(screen: Screen) -> str:
    """Press Talk and wait for the conversation; returns its id."""
    await screen.page.get_by_role("button", name="Talk").click()
    await screen.page.wait_for_function(f"() => {ID} !== null", timeout=PATIENCE * 1000)
    return str(await screen.page.evaluate(ID))


async def stop(screen: Screen) -> None:
    await screen.page.get_by_role("button", name="Stop").click()
    await screen.state("idle")


async def test_S3_81_S3_83_connect_record_reply_persistence_and_latency(whole, learner):
    """Tests 1, 2, 3, 4 and 10: a call, a spoken turn, its answer, both stored, soon enough."""
    conversation = await talk(learner)
    await learner.until("numbers.connectMs > 0")
    assert (await whole.health())["activeConnections"] == 1
    await learner.page.wait_for_function(
        "() => Number(document.querySelector('#level').ariaValueNow) > 30"
    )
    await learner.row("user final", "Good morning.")
    await learner.row("assistant final", "And to you.")
    await learner.until("numbers.played > 0 && numbers.loudest > 0.05 && numbers.answerMs !== null")
    assert (await learner.numbers())["answerMs"] < 1000  # S3-53's alarm
    await learner.state("listening")  # it was heard to its end
    await stop(learner)
    await whole.stored(conversation, ("user", "Good morning."), ("assistant", "And to you."))
    assert whole.rows(conversation)[0] == ("user", "Good morning.")


async def test_S3_83_S3_82_a_conversation_is_created_gone_on_with_and_left(whole, learner):
    """Test 5, and the life of a conversation: the next call continues it, until a new one."""
    first = await talk(learner)
    await learner.row("assistant final", "And to you.")
    await stop(learner)
    assert await talk(learner) == first
    await learner.state("listening")
    await stop(learner)
    assert len(await learner.rows()) >= 2  # what was said is still there
    await learner.page.get_by_text("Settings").click()
    await learner.page.get_by_role("button", name="New conversation").click()
    assert await learner.rows() == []
    assert await learner.page.evaluate(ID) is None
    second = await talk(learner)
    assert second != first
    await stop(learner)
    with closing(sqlite3.connect(whole.folder / "relay.db")) as file:
        known = file.execute("SELECT conversation_id FROM conversation_sessions").fetchall()
    assert (first,) in known


async def test_S3_83_voice(whole, learner):
    """Test 6: the voice that is asked for is the one that speaks."""
    voice = await learner.page.evaluate(
        """async () => {
          const { RelayClient } = await import("/relay-client.js");
          const { url, token } = await (await fetch("config.json")).json();
          const client = new RelayClient();
          const updated = new Promise((resolve) => {
            client.on("event", ({ type, session }) => {
              if (type === "session.updated") resolve(session);
            });
          });
          await client.connect({ url, token, voice: "sage" });
          const session = await updated;
          client.close();
          return session.audio.output.voice;
        }"""
    )
    assert voice == "sage"


async def test_S3_81_S3_83_errors(whole, learner):
    """Test 7: an invalid token is shown as a sentence with advice."""
    config = {"url": f"ws://localhost:{whole.app.listener.port}/v1/realtime", "token": "no.to.ken"}
    await learner.page.route("**/config.json", lambda route: route.fulfill(json=config))
    await learner.page.get_by_role("button", name="Talk").click()
    problem = await learner.problem()
    assert "does not accept this token" in problem
    assert "Reload the page" in problem
    await learner.state("error")


async def test_S3_52_S3_81_S3_83_reconnect(whole, learner):
    """Test 8: the cable is pulled in mid-call; the page comes back into its conversation."""
    async with cable(whole.app.listener.port) as line:
        config = {"url": f"ws://localhost:{line.port}/v1/realtime", "token": token("bea")}
        await learner.page.route("**/config.json", lambda route: route.fulfill(json=config))
        await learner.page.reload()
        await learner.state("idle")
        conversation = await talk(learner)
        await learner.row("assistant final", "And to you.")
        line.pull()
        await learner.state("reconnecting")
        assert "Trying again" in await learner.problem()
        await learner.until("numbers.reconnects === 1")
        assert await learner.page.evaluate("relayPage.client.conversationId") == conversation
        assert await learner.page.inner_text("#problem") == ""
        await whole.stored(conversation, ("user", "Good morning."))
        said = len(whole.rows(conversation))
        await learner.page.wait_for_function(
            "() => document.querySelectorAll('#transcript .assistant.final').length > 1",
            timeout=PATIENCE * 1000,
        )
        await stop(learner)
    async with asyncio.timeout(PATIENCE):  # what is said now joins what was said before
        while len(whole.rows(conversation)) <= said:
            await asyncio.sleep(0.05)


async def test_S3_83_concurrency(whole):
    """Test 9: three people at once, each with an answer and a conversation of their own."""
    async with AsyncExitStack() as stack:
        screens = [
            await stack.enter_async_context(screen_of(whole.browser, whole.app.page_address()))
            for _ in range(3)
        ]
        for screen in screens:
            await screen.open()
            await screen.state("idle")
        conversations = [await talk(screen) for screen in screens]
        assert len(set(conversations)) == 3
        for screen in screens:
            await screen.row("assistant final", "And to you.")
            await screen.until("numbers.played > 0")
            assert screen.complaints == []
        for screen in screens:
            await stop(screen)
    assert all(whole.rows(conversation) for conversation in conversations)


async def test_the_example_of_the_guide_works(whole, learner):
    """The example of docs/client.md runs unchanged in a page of the relay's own origin."""
    (example,) = re.findall(r"^```js\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(example.splitlines()) <= 25
    address = f"ws://localhost:{whole.app.listener.port}/v1/realtime"
    assert "wss://voice.example.org/v1/realtime" in example
    script = example.replace("wss://voice.example.org/v1/realtime", address)
    await learner.page.route("**/token", lambda route: route.fulfill(body=token("cleo")))
    await learner.page.route(
        "**/example.js",
        lambda route: route.fulfill(content_type="text/javascript", body=script),
    )
    await learner.page.evaluate(
        """async () => {
          document.body.innerHTML = "<button>talk</button><ol></ol>";
          await import("/example.js");
        }"""
    )
    await learner.page.get_by_role("button", name="talk").click()
    said = learner.page.locator("ol > li")
    await said.filter(has_text="user: Good morning.").first.wait_for(timeout=PATIENCE * 1000)
    await said.filter(has_text="assistant: And to you.").first.wait_for(timeout=PATIENCE * 1000)
