"""The server side of `relay talk`: a WebSocket server that runs a test's script."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Play = Callable[["Caller"], Awaitable[None]]


class Caller:
    """The client, as the server sees it."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    @property
    def offered(self) -> list[str]:
        """The subprotocols that came with the upgrade."""
        assert self.connection.request is not None
        return self.connection.request.headers["Sec-WebSocket-Protocol"].split(", ")

    async def say(self, *events: dict[str, Any] | str | bytes) -> None:
        """Send events, or raw messages."""
        for event in events:
            await self.connection.send(json.dumps(event) if isinstance(event, dict) else event)

    async def hear(self, count: int = 1) -> list[dict[str, Any]]:
        """The next events."""
        return [json.loads(await self.connection.recv()) for _ in range(count)]

    async def until_gone(self) -> list[dict[str, Any]]:
        """Every event until the caller closes."""
        return [json.loads(message) async for message in self.connection]


@asynccontextmanager
async def far_end(play: Play) -> AsyncIterator[str]:
    """Run the server; gives its address."""

    async def talk(connection: ServerConnection) -> None:
        await play(Caller(connection))

    async with serve(
        talk,
        "127.0.0.1",
        0,
        close_timeout=1,
        select_subprotocol=lambda _, offered: offered[0],
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/realtime"
