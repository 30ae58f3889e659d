"""An HTTP server on loopback whose answers a test chooses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Records the requests; each gets the answer that `answer` makes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []


@asynccontextmanager
async def serve(answer: Answer) -> AsyncIterator[Server]:
    """Answer on a free port of 127.0.0.1 until the block ends."""

    async def handle(request: web.Request) -> web.StreamResponse:
        server.paths.append(request.path)
        server.headers.append({name.lower(): value for name, value in request.headers.items()})
        server.asked.append(await request.json() if request.can_read_body else {})
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server = Server(f"http://{host}:{port}/tools/weather")
    try:
        yield server
    finally:
        await runner.cleanup()
