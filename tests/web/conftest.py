"""One Chromium a module, a fresh page and a fresh far end a test."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from relay.http.health import Health
from relay.http.pages import Pages
from relay.http.server import HttpServer, HttpSide, serve
from tests.web.far_end import PATIENCE, FarEnd, far_end
from tests.web.sound import syllables

CONFIG: dict[str, object] = {}
"""What `/config.json` says now; every test gets it fresh."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[HttpServer]:
    side = HttpSide(lambda: Health(0, 1, 0.0), lambda: b"", pages=Pages(lambda: CONFIG))
    server = await serve(side, "localhost", 0)
    yield server
    await server.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory) -> AsyncIterator[Browser]:
    spoken = syllables(tmp_path_factory.mktemp("microphone") / "syllables.wav")
    flags = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", headless=True, args=flags
        )
        yield browser
        await browser.close()


@dataclass
class Screen:
    """The page as a person meets it, and what the browser complained about."""

    page: Page
    site: HttpServer
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str = "/") -> None:
        await self.page.goto(f"http://localhost:{self.site.port}{path}")

    async def state(self, wanted: str) -> None:
        """Wait until the page is in this state."""
        await self.page.wait_for_function(
            "wanted => window.relayPage?.state === wanted", arg=wanted, timeout=PATIENCE * 1000
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


@pytest_asyncio.fixture(loop_scope="module")
async def screen(browser: Browser, site: HttpServer) -> AsyncIterator[Screen]:
    context = await browser.new_context()
    page = await context.new_page()
    screen = Screen(page, site)
    page.on("pageerror", lambda error: screen.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: screen.complaints.append(line.text) if line.type == "error" else None,
    )
    yield screen
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        CONFIG.clear()
        CONFIG.update(url=end.url, token="head.payload.signature", engine="offline")
        yield end
