"""Stands before the model server and notes when each answer is asked for and begins.

All contenders ask through it, so the parts of an answer's time are taken alike for all.
"""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

SENTENCE: Final = re.compile(r"[.!?…](\s|$)")
_BODY: Final = 2**20


@dataclass(slots=True)
class Asked:
    """One request: monotonic times of its arrival, its first characters, its first sentence's end.

    `sentence` is the end of the answer where it has no end of a sentence.
    """

    at: float
    token: float | None = None
    sentence: float | None = None
    ended: float | None = None
    answer: str = ""


@dataclass(slots=True)
class Meter:
    """The requests so far, oldest first, and the address to send them to."""

    base_url: str = ""
    asked: list[Asked] = field(default_factory=list)

    def between(self, earliest: float, latest: float) -> Asked | None:
        """The last request of this span that had begun to be answered in it."""
        those = [
            one
            for one in self.asked
            if earliest <= one.at and one.token is not None and one.token <= latest
        ]
        return those[-1] if those else None


@asynccontextmanager
async def metered(server: str) -> AsyncIterator[Meter]:
    """Forward every request to `server`, `http://host:port`, while the context lasts."""
    meter = Meter()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:

        async def forward(request: web.Request) -> web.StreamResponse:
            body, asked = await request.read(), Asked(time.monotonic())
            if request.path.endswith("/chat/completions"):
                meter.asked.append(asked)
            url, kind = f"{server}{request.path_qs}", request.headers.get("Content-Type", "")
            async with client.request(
                request.method, url, data=body, headers={"Content-Type": kind}
            ) as answer:
                back = web.StreamResponse(status=answer.status)
                back.content_type = answer.content_type
                await back.prepare(request)
                async for line in answer.content:
                    await back.write(line)
                    _note(asked, line)
            asked.ended = time.monotonic()
            asked.sentence = asked.sentence or asked.ended
            return back

        app = web.Application(client_max_size=_BODY)
        app.router.add_route("*", "/{path:.*}", forward)
        # A client that hangs up ends the request at the server too.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        meter.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield meter
        finally:
            await runner.cleanup()


def _note(asked: Asked, line: bytes) -> None:
    """Read one line of a stream of server-sent events."""
    text = _content(line)
    if not text:
        return
    asked.answer += text
    now = time.monotonic()
    asked.token = asked.token or now
    if asked.sentence is None and SENTENCE.search(asked.answer):
        asked.sentence = now


def _content(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    event: dict[str, Any] = json.loads(line[6:])
    choices = event.get("choices") or [{}]
    return str(choices[0].get("delta", {}).get("content") or "")
