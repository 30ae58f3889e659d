"""One Chromium for all tests, and a fresh page and a fresh far end for each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from relay.http.pages import Pages
from relay.http.server import Health, HttpServer, HttpServices, serve
from tests.components import COMPONENTS
from tests.web.caller import Caller, calling
from tests.web.chromium import Screen, chromium, screen_of
from tests.web.far_end import FarEnd, far_end
from tests.web.minute import Heard, minute
from tests.web.sound import syllables

CONFIG: dict[str, object] = {}
"""What `/config.json` says now; every test gets it fresh."""
PAGES = Pages(lambda: CONFIG)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site() -> AsyncIterator[HttpServer]:
    services = HttpServices(lambda: Health(0, 1, 0.0), lambda: b"", pages=PAGES)
    server = await serve(services, "localhost", 0)
    yield server
    await server.aclose()


def address(site: HttpServer) -> str:
    """The voice page's, as it is printed."""
    return f"http://localhost:{site.port}/#code={PAGES.key.code}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory) -> AsyncIterator[Browser]:
    async with chromium(syllables(tmp_path_factory.mktemp("microphone") / "a.wav")) as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def blank_page(browser: Browser, site: HttpServer) -> AsyncIterator[Page]:
    """An open page for tests that only import its modules."""
    async with screen_of(browser, address(site)) as screen:
        await screen.open()
        yield screen.page


@pytest_asyncio.fixture(loop_scope="session")
async def screen(browser: Browser, site: HttpServer) -> AsyncIterator[Screen]:
    async with screen_of(browser, address(site)) as screen:
        yield screen


@pytest_asyncio.fixture(loop_scope="session")
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        CONFIG.clear()
        CONFIG.update(url=end.url, token="head.payload.signature", engine="offline")
        CONFIG.update(languages=["en"], small=True)
        yield end


@pytest_asyncio.fixture(loop_scope="session")
async def caller(browser: Browser, site: HttpServer, end: FarEnd) -> AsyncIterator[Caller]:
    async with calling(browser, address(site), end) as caller:
        yield caller
        assert caller.screen.complaints == []


@pytest.fixture(scope="session", autouse=True)
def listening(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Future[Heard] | None]:
    """A minute of speech, begun with the first test here, where its own test is among those."""
    wanted = any(item.path.name == "test_without_a_gap.py" for item in request.session.items)
    if not wanted or COMPONENTS["chromium"].find() is None:
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(asyncio.run, minute(tmp_path_factory.mktemp("minute")))
