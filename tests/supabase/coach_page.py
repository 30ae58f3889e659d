"""The page of the guide in a real browser: what docs/database.md shows, as it stands there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import BrowserContext, Page

from tests.components import require
from tests.supabase.project import Project

GUIDE = Path(__file__).parents[2] / "docs" / "database.md"
_PAGE = """<!doctype html><link rel="icon" href="data:,"><title>A coach's page</title>
<script type="importmap">{"imports": {"@supabase/supabase-js": "/client.js"}}</script>
<script src="/supabase.js"></script>
<script type="module">
import { follow } from "/follow.js";
window.rows = [];
window.token = "";
window.begin = (url, key, call) => {
  window.leave = follow(url, key, async () => window.token, call, (row) => {
    window.rows.push({ ...row, at: Date.now() / 1000 });
  });
};
window.ready = true;
</script>"""
_CLIENT = """
const { createClient: create } = window.supabase;
export const createClient = (url, key, options) =>
  create(url, key, { ...options, realtime: { reconnectAfterMs: () => %d } });
"""
"""The client as it is, but for how long it waits before it connects again."""


def example() -> str:
    """The guide's own lines."""
    [code] = [part.split("```")[0] for part in GUIDE.read_text().split("```js\n")[1:]]
    return code


@dataclass
class CoachPage:
    """One page that follows one call; `rows` are what it was given to show, in that order."""

    page: Page
    project: Project

    async def follow(self, token: str, call: str) -> None:
        await self.renew(token)
        await self.page.evaluate(
            "given => window.begin(...given)", [self.project.url, self.project.anon_key, call]
        )

    async def renew(self, token: str) -> None:
        """Give the page another token to use from now on."""
        await self.page.evaluate("token => { window.token = token; }", token)

    async def rows(self) -> list[dict[str, Any]]:
        return list(await self.page.evaluate("() => window.rows"))

    async def shows(self, count: int, within: float = 30.0) -> list[dict[str, Any]]:
        """The rows once there are so many."""
        await self.page.wait_for_function(
            "count => window.rows.length >= count", arg=count, timeout=within * 1000, polling=20
        )
        return await self.rows()

    async def joined(self, topic: str, times: int = 1, within: float = 30.0) -> None:
        """Wait until the topic was joined so often."""
        async with asyncio.timeout(within):
            while self.project.realtime.joined[topic] < times:
                await asyncio.sleep(0.005)

    async def leave(self) -> None:
        await self.page.evaluate("() => window.leave()")


@asynccontextmanager
async def coach_page(
    context: BrowserContext, project: Project, patience_ms: int = 1000
) -> AsyncIterator[CoachPage]:
    """A fresh page in a browser, with the guide's example in it."""
    library = require("supabase_js").read_text()
    files = {
        "/": ("text/html", _PAGE),
        "/follow.js": ("text/javascript", example()),
        "/client.js": ("text/javascript", _CLIENT % patience_ms),
        "/supabase.js": ("text/javascript", library),
    }

    async with served(files) as site:
        page = await context.new_page()
        await page.goto(site)
        await page.wait_for_function("() => window.ready")
        yield CoachPage(page, project)
        await page.close()


@asynccontextmanager
async def served(files: dict[str, tuple[str, str]]) -> AsyncIterator[str]:
    """A site of its own origin, as a coach's page has."""

    async def answer(request: web.Request) -> web.Response:
        kind, body = files[request.path]
        return web.Response(content_type=kind, text=body)

    app = web.Application()
    app.router.add_get("/{path:[a-z.]*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
