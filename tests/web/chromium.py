"""A real Chromium with a fake microphone, and a page in it as a user sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.components import require
from tests.web.far_end import PATIENCE

FLAGS = [
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]


@asynccontextmanager
async def chromium(hears: Path) -> AsyncIterator[Browser]:
    """A browser whose microphone hears this WAV, again and again."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("chromium"),
            headless=True,
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={hears}"],
        )
        yield browser
        await browser.close()


@dataclass
class Screen:
    """The page as a person meets it, and what the browser complained about.

    `url` is its address as it is printed, with a code where the relay gives the page a token.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    @property
    def site(self) -> str:
        """The page's address once it is open: without the code."""
        return self.url.partition("#")[0]

    async def open(self) -> None:
        await self.page.goto(self.url)

    async def state(self, wanted: str) -> None:
        """Wait until the page is in this state."""
        await self.page.wait_for_function(
            "wanted => window.relayPage?.state === wanted", arg=wanted, timeout=PATIENCE * 1000
        )

    async def microphone(self) -> None:
        """Wait until the page records: it may be connected earlier."""
        await self.page.wait_for_function(
            "() => window.relayPage.client.listening", timeout=PATIENCE * 1000
        )

    async def until(self, condition: str) -> None:
        """Wait until an expression over `numbers` is true."""
        await self.page.wait_for_function(
            f"() => {{ const numbers = window.relayPage.numbers; return {condition}; }}",
            timeout=PATIENCE * 1000,
        )

    async def numbers(self) -> dict[str, Any]:
        return dict(await self.page.evaluate("() => window.relayPage.numbers"))

    async def rows(self) -> list[tuple[str, str]]:
        """Each utterance shown: its classes, its text."""
        return [
            (row["kind"], row["text"])
            for row in await self.page.evaluate(
                """() => [...document.querySelectorAll("#transcript li")].map((row) => (
                    { kind: row.className, text: row.querySelector(".said").textContent }))"""
            )
        ]

    async def row(self, kind: str, text: str) -> None:
        """Wait until an utterance of this kind and text is shown."""
        selector = "#transcript li." + kind.replace(" ", ".")
        await (
            self.page.locator(selector)
            .filter(has_text=text)
            .first.wait_for(timeout=PATIENCE * 1000)
        )

    async def problem(self) -> str:
        """Wait for a problem to be told and give its words."""
        await self.page.locator("#problem:not(:empty)").wait_for(timeout=PATIENCE * 1000)
        return await self.page.inner_text("#problem")


@asynccontextmanager
async def screen_of(browser: Browser, url: str, **options: Any) -> AsyncIterator[Screen]:
    """A fresh page of this browser, for one address; `options` are a browser context's."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    screen = Screen(page, url)
    page.on("pageerror", lambda error: screen.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: screen.complaints.append(line.text) if line.type == "error" else None,
    )
    yield screen
    await context.close()
