"""The guide's example in a real browser, on the real database: every utterance, never a gap."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Route, async_playwright

from tests.components import needs, require
from tests.stores.words import LEARNER, SESSION, STRANGER, corrected
from tests.supabase.api import Api
from tests.supabase.coach_page import coach_page
from tests.supabase.people import CALL, COACH, OTHER_COACH, settle
from tests.supabase.project import Project

pytestmark = [
    pytest.mark.slow,
    needs("postgresql", "postgrest", "chromium", "supabase_js"),
    pytest.mark.asyncio(loop_scope="module"),
]
TOPIC = f"voice:{SESSION}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("chromium"), headless=True, args=["--no-first-run"]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    yield context
    await context.close()


async def say(project: Project, first: int, last: int, pause: float = 0.0) -> None:
    """Lines of the call, one row at a time, as they settle."""
    service = Api(project)
    for number in range(first, last + 1):
        assert await service.put(CALL.user(f"Line {number}.", float(number))) == {}
        await asyncio.sleep(pause)


async def until_refused(project: Project, count: int, within: float = 30.0) -> list[str]:
    """Why joins were refused or channels ended, once there are so many."""
    async with asyncio.timeout(within):
        while len(project.realtime.refused) < count:
            await asyncio.sleep(0.01)
    return project.realtime.refused


def said(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(row["seq"], row["text"]) for row in rows]


async def test_S0_24_a_coach_sees_the_transcript_live_from_the_database_alone(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    async with coach_page(context, project) as page:
        await page.follow(project.mint(COACH), SESSION)
        assert said(await page.shows(2)) == [(1, "When?"), (2, "At nine.")]
        await page.joined(TOPIC)
        await say(project, 3, 12)
        shown = said(await page.shows(12))
        assert shown[2:] == [(number, f"Line {number}.") for number in range(3, 13)]
        question = CALL.user("When?")
        await Api(project).put(corrected(question, "Since when?", 13))
        last = (await page.shows(13))[-1]
        assert (last["id"], last["seq"], last["text"]) == (question.id, 13, "Since when?")
        asked = project.misbehave.seen["/rest/v1/rpc/voice_feed"]
        assert asked == 2, "the past, and that there is no more of it: the rest was broadcast"
        await page.leave()
        await say(project, 14, 15)
        assert len(await page.rows()) == 13


async def test_a_hundred_reconnects_end_with_the_list_of_an_unbroken_subscription(
    project: Project, context: BrowserContext
) -> None:
    """Sockets are cut at random, in the middle of joins and answers too, and broadcasts lost."""
    await settle(project)
    chance, words = random.Random(100), 250
    token = project.mint(COACH)
    async with (
        coach_page(context, project, patience_ms=5) as page,
        asyncio.TaskGroup() as group,
    ):
        await page.follow(token, SESSION)
        talk = group.create_task(say(project, 3, words, 0.01))
        for cut in range(1, 101):
            await page.joined(TOPIC, cut)
            await asyncio.sleep(chance.uniform(0.0, 0.04))
            project.realtime.lose(0.3 if cut % 10 == 0 else 0.0)
            project.realtime.cut()
            if cut % 3 == 0:  # and again while it is on its way back
                await asyncio.sleep(chance.uniform(0.0, 0.03))
                project.realtime.cut()
        project.realtime.lose(0.0)
        await talk
        shown = await page.shows(words)
    stayed = await Api(project).call("voice_feed", {"session": SESSION})
    assert len(stayed) == words
    assert [row["seq"] for row in shown] == list(range(1, words + 1)), "no gap, no double"
    assert [row["id"] for row in shown] == [row["id"] for row in stayed]
    assert project.realtime.joined[TOPIC] > 100


async def test_lost_or_early_broadcasts_are_read_from_the_database(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    async with coach_page(context, project) as page:
        await page.follow(project.mint(COACH), SESSION)
        await page.shows(2)
        await page.joined(TOPIC)
        project.realtime.lose(1.0)
        await say(project, 3, 5)
        await project.realtime.heard(3)
        project.realtime.lose(0.0)
        project.misbehave.path = "/rest/v1/rpc/voice_feed"
        project.misbehave.next("503")
        await say(project, 6, 6)
        assert [row["seq"] for row in await page.shows(6)] == [1, 2, 3, 4, 5, 6]


async def test_a_broadcast_during_a_read_causes_another_read(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    held, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        """The second answer, which says that there is no more, is held back."""
        answer = await route.fetch()
        if await answer.json() == [] and not held.is_set():
            held.set()
            await go_on.wait()
        await route.fulfill(response=answer)

    async with coach_page(context, project) as page:
        await page.page.route("**/rpc/voice_feed*", hold)
        await page.follow(project.mint(COACH), SESSION)
        await asyncio.wait_for(held.wait(), 10)
        project.realtime.lose(1.0)
        await say(project, 3, 3)
        await project.realtime.heard(1)
        project.realtime.lose(0.0)
        await say(project, 4, 4)
        await project.realtime.heard(2)
        go_on.set()
        shown = await page.shows(4, within=5)
        assert [row["seq"] for row in shown] == [1, 2, 3, 4]
        # A handler that still reads an answer would fail once the page is gone.
        await page.page.unroute_all(behavior="wait")


async def test_S3_84_only_the_calls_learner_and_coach_see_it(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    others = (OTHER_COACH, STRANGER)
    for number, sub in enumerate(others, 1):
        async with coach_page(context, project) as page:
            await page.follow(project.mint(sub), SESSION)
            refused = await until_refused(project, number)
            await say(project, 2 + number, 2 + number)
            assert "You do not have permissions" in refused[-1]
            assert await page.rows() == []
    async with coach_page(context, project) as page:
        await page.follow(project.mint(LEARNER), SESSION)
        assert len(await page.shows(4)) == 4
    assert project.realtime.joined[TOPIC] <= 1


async def test_an_expired_token_is_refused_and_a_fresh_one_is_not(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    async with coach_page(context, project, patience_ms=100) as page:
        await page.follow(project.mint(COACH, exp=time.time() - 60), SESSION)
        assert (await until_refused(project, 1))[0] == "InvalidJWTToken: Token has expired"
        assert project.realtime.joined[TOPIC] == 0
        assert await page.rows() == []
        await page.renew(project.mint(COACH))
        await page.shows(2)


async def test_a_token_that_runs_out_ends_the_channel_until_there_is_another(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    async with coach_page(context, project, patience_ms=100) as page:
        await page.follow(project.mint(COACH, exp=int(time.time()) + 2), SESSION)
        await page.joined(TOPIC)
        assert (await until_refused(project, 1))[0] == "Token has expired"
        await say(project, 3, 3)
        await page.renew(project.mint(COACH))
        assert [row["seq"] for row in await page.shows(3)] == [1, 2, 3]
        await page.joined(TOPIC, 2)
