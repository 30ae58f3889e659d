"""The guide's example in a real browser, on the real database: every utterance, never a gap."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.components import needs, require
from tests.stores.words import SESSION, corrected
from tests.supabase.api import Api
from tests.supabase.coach_page import coach_page
from tests.supabase.people import CALL, COACH, settle
from tests.supabase.project import Project

pytestmark = [
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


async def say(project: Project, first: int, last: int) -> None:
    """Lines of the call, one row at a time, as they settle."""
    service = Api(project)
    for number in range(first, last + 1):
        assert await service.put(CALL.user(f"Line {number}.", float(number))) == {}


def said(rows: list[dict]) -> list[tuple[int, str]]:
    return [(row["seq"], row["text"]) for row in rows]


async def test_S0_24_a_coach_sees_the_transcript_live_from_the_database_alone(
    project: Project, context: BrowserContext
) -> None:
    await settle(project)
    async with coach_page(context, project) as page:
        await page.follow(project.mint(COACH), SESSION)
        assert said(await page.shows(2)) == [(1, "When?"), (2, "At nine.")]
        await say(project, 3, 12)
        shown = said(await page.shows(12))
        assert shown[2:] == [(number, f"Line {number}.") for number in range(3, 13)]
        question = CALL.user("When?")
        await Api(project).put(corrected(question, "Since when?", 13))
        last = (await page.shows(13))[-1]
        assert (last["id"], last["seq"], last["text"]) == (question.id, 13, "Since when?")
        assert project.realtime.joined[TOPIC] == 1
