"""Two browsers before one relay: a learner talks, a coach reads, pauses, whispers and speaks."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.components import needs
from tests.web.far_end import PATIENCE
from tests.web.two_people import Two, two_people, two_voices

pytestmark = [pytest.mark.slow, needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

STORY = (
    "That is a good goal. Let me tell you a story about somebody who spoke a little every morning, "
    "and by the end of the winter whole meetings listened, and nobody could say why."
)
PARTS = two_voices(
    learner=(
        "I want to speak up in meetings.",
        "Sorry, that was too fast for me.",
        "Yes. I will write down one sentence before every meeting.",
    ),
    coach=("This is Kim, your coach. Take your time.",),
    replies=(STORY, "Then your goal for next week is one sentence in every meeting."),
)
HUSHED = 0.004
"""Root mean square of what nobody hears."""
ACTIONS = ["pause", "whisper", "takeover", "release", "resume", "summary", "end"]


@pytest_asyncio.fixture(loop_scope="session")
async def unchecked_loop() -> AsyncIterator[None]:
    """A loop without asyncio's checks of every callback.

    The microphones, the relay, its provider and the drivers of both browsers share it: with the
    checks, a busy machine falls ever further behind.
    """
    loop = asyncio.get_running_loop()
    checks = loop.get_debug()
    loop.set_debug(False)
    yield
    loop.set_debug(checks)


@pytest.mark.usefixtures("unchecked_loop")
async def test_S0_6_S0_9_S0_23_S0_24_a_coach_in_the_loop(tmp_path: Path) -> None:
    async with two_people(tmp_path, PARTS) as two:
        await two.call()
        await two.speak()
        await read_along(two)

        silent_after = await paused(two)
        assert silent_after <= 200, "ms after the click"
        await two.row("model interrupted", "That is a good goal.")
        unheard = two.coach.page.locator("#transcript .model .unheard")
        assert "every morning" in await unheard.inner_text()
        await two.learner.row("assistant interrupted", "That is a good goal.")

        await whispered(two, "She is shy. Speak slowly.")
        await two.speak()
        await two.row("learner final", "Sorry, that was too fast for me.")
        await two.picture("coach-paused")

        await taken_over(two)
        await given_back(two)
        await two.speak()
        await two.row("model final", "Then your goal for next week")
        await summarised(two)
        await seen_on_a_phone_at_night(two)
        await ended(two)
        assert await two.coach.page.inner_text("#problem") == ""
        assert two.coach.complaints == []
        assert two.learner.complaints == []
    assert told(tmp_path) == ["learner", "model", "learner", "coach", "learner", "model"]
    assert done(tmp_path) == ACTIONS


async def read_along(two: Two) -> None:
    """Into the middle of the answer: some of it was heard."""
    await two.row("learner final", "I want to speak up in meetings.")
    await two.row("model open", "That is a good goal.")
    await two.learner.state("speaking")
    await asyncio.sleep(1.5)
    await two.picture("coach-reads")
    await two.picture("learner-listens", two.learner)


async def paused(two: Two) -> float:
    """Click at pause: after how many ms the last sound was heard; afterwards nothing is."""
    await two.coach.page.evaluate(
        """() => document.getElementById("pause").addEventListener("click", () => {
             window.clickedAt = performance.timeOrigin + performance.now();
           }, { capture: true, once: true })"""
    )
    await two.coach.page.get_by_role("button", name="Pause", exact=True).click()
    await two.stands("paused")
    await two.learner.state("paused")
    await asyncio.sleep(1.2)
    clicked: float = await two.coach.page.evaluate("() => clickedAt")
    before = await two.heard(clicked - 400, clicked)
    assert max(level for _, level in before) > 0.05, "it was really speaking"
    after = await two.heard(clicked)
    assert after[-1][0] > clicked + 900, "and the tap still runs"
    return max((at - clicked for at, level in after if level > HUSHED), default=0.0)


async def whispered(two: Two, text: str) -> None:
    await two.coach.page.keyboard.press("w")
    await two.coach.page.keyboard.type(text)
    await two.coach.page.keyboard.press("Enter")
    await two.coach.page.get_by_text("The voice knows.").wait_for()
    await two.coach.page.keyboard.press("Escape")
    assert text not in await two.learner.page.inner_text("body")


async def taken_over(two: Two) -> None:
    """The coach speaks, and the learner hears that and nothing else."""
    await two.coach.page.keyboard.press("t")
    await two.stands("mine")
    await two.learner.page.get_by_text("A coach is speaking").wait_for()
    began: float = await two.learner.page.evaluate(
        "() => performance.timeOrigin + performance.now()"
    )
    await two.row("coach final", "This is Kim, your coach.")
    async with asyncio.timeout(PATIENCE):  # until the learner hears the coach
        while not any(level > 0.05 for _, level in await two.heard(began)):
            await asyncio.sleep(0.1)
    await two.learner.row("coach", "This is Kim, your coach.")
    await two.picture("coach-speaks")
    await two.picture("learner-hears-coach", two.learner)


async def given_back(two: Two) -> None:
    await two.coach.page.keyboard.press("t")
    await two.stands("paused")
    await two.learner.page.get_by_text("A coach is here").wait_for()
    heard: dict[str, int] = await two.coach.page.evaluate("() => coachPage.heard")
    assert heard["learner"] > 24_000, "the coach heard the learner as well"
    await two.coach.page.keyboard.press("p")
    await two.stands("live")
    await two.coach.page.keyboard.press("l")
    await two.coach.page.locator("#listen[aria-pressed=false]").wait_for()


async def summarised(two: Two) -> None:
    await two.coach.page.get_by_role("button", name="Summarise").click()
    await two.coach.page.get_by_text("no text model is configured").wait_for()
    listed = two.coach.page.locator("#summary li")
    assert "I will write down one sentence before every meeting." in await listed.all_inner_texts()


async def seen_on_a_phone_at_night(two: Two) -> None:
    await two.picture("coach-summary")
    await two.coach.page.emulate_media(color_scheme="dark")
    await two.picture("coach-dark")
    size = two.coach.page.viewport_size
    assert size is not None
    await two.coach.page.set_viewport_size({"width": 360, "height": 740})
    assert await two.coach.page.evaluate("document.documentElement.scrollWidth") <= 360
    await two.picture("coach-phone")
    await two.coach.page.set_viewport_size(size)


async def ended(two: Two) -> None:
    """The coach is asked first; then the call is over for both, and kept among the earlier ones."""
    await two.coach.page.keyboard.press("e")
    await two.coach.page.get_by_label("Reason, for the record").fill("Time is up.")
    await two.coach.page.get_by_role("button", name="End the call").click()
    await two.stands("ended")
    await two.learner.state("error")
    await two.coach.page.locator("#past li button").click()
    await two.coach.page.locator("#standing[data-kind=ended]").wait_for()
    await two.row("coach", "This is Kim, your coach.")


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "relay.db")) as file:
        return file.execute(query).fetchall()


def told(folder: Path) -> list[str]:
    """Who spoke in the stored transcript, one after the other."""
    stored = rows(
        folder,
        "SELECT role, sender_user_id, sender_agent_id FROM chat_messages_v2"
        " ORDER BY json_extract(metadata, '$.position')",
    )
    by = [
        "learner" if role == "user" else "model" if agent else "coach" for role, _, agent in stored
    ]
    assert {user for role, user, _ in stored if role == "user"} == {"developer"}
    assert {user for role, user, agent in stored if role != "user" and not agent} == {"coach"}
    return [who for who, _ in groupby(by)]


def done(folder: Path) -> list[str]:
    """What the coach did, as it is kept."""
    kept = rows(folder, "SELECT action, coach_id, details FROM coach_actions ORDER BY at")
    assert {coach for _, coach, _ in kept} == {"coach"}
    details = {action: json.loads(text) for action, _, text in kept}
    assert details["whisper"] == {"text": "She is shy. Speak slowly.", "mode": "context"}
    assert json.loads(details["summary"]["summary"])["coach_interventions"] >= 1
    return [action for action, _, _ in kept]
