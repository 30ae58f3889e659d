"""One Chromium a module, a fresh page and a fresh far end a test."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page

from relay.http.health import Health
from relay.http.pages import Pages
from relay.http.server import HttpServer, HttpSide, serve
from tests.web.chromium import Screen, chromium, screen_of
from tests.web.far_end import FarEnd, far_end
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
    async with chromium(syllables(tmp_path_factory.mktemp("microphone") / "a.wav")) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(browser: Browser, site: HttpServer) -> AsyncIterator[Page]:
    """One open page for tests that only import a module of it."""
    async with screen_of(browser, f"http://localhost:{site.port}/") as screen:
        await screen.open()
        yield screen.page


@pytest_asyncio.fixture(loop_scope="module")
async def screen(browser: Browser, site: HttpServer) -> AsyncIterator[Screen]:
    async with screen_of(browser, f"http://localhost:{site.port}/") as screen:
        yield screen


@pytest_asyncio.fixture(loop_scope="module")
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        CONFIG.clear()
        CONFIG.update(url=end.url, token="head.payload.signature", engine="offline")
        yield end
