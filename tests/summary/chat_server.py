"""A server that speaks as much of `/chat/completions` as a summary needs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

POINTS = {
    "text": "They spoke about a knee.",
    "main_topics": ["knee", " "],
    "action_items": ["Stretch every morning"],
    "next_week_goals": [],
}


def completion(content: str) -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]})


@dataclass
class ChatServer:
    """What it answers next, and what it was asked."""

    body: str | bytes = completion(json.dumps(POINTS))
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    given: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.given.append({name.lower(): value for name, value in request.headers.items()})
        if self.gate is not None:
            await self.gate.wait()
        headers = {"Content-Type": "application/json", **self.headers}
        return web.Response(status=self.status, body=self.body, headers=headers)


@asynccontextmanager
async def chat_server() -> AsyncIterator[ChatServer]:
    server = ChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        if server.gate is not None:
            server.gate.set()
        await runner.cleanup()
