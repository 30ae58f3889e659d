"""A Socket.IO client at a whole relay, which holds every event against its golden form."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import socketio

from relay.parts.simple import Script
from tests.golden.shapes import golden
from tests.scenarios.stage import Stage, stage


class Chatter:
    """A client; `seen` are the names and bodies of all events, in order."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.client = socketio.AsyncClient(reconnection=False, http_session=http)
        self.seen: list[tuple[str, Any]] = []
        self._read = 0
        self._more = asyncio.Event()
        self.client.on("*", self._take)

    async def _take(self, event: str, data: Any = None) -> None:
        self.seen.append((event, data))
        self._more.set()

    async def emit(self, event: str, data: Any = None) -> None:
        await self.client.emit(event, data)

    async def say(self, text: str) -> None:
        await self.emit("text-message", {"text": text, "timestamp": 1})

    async def next(self, within: float = 20.0) -> tuple[str, Any]:
        """The next event."""
        async with asyncio.timeout(within):
            while len(self.seen) <= self._read:
                self._more.clear()
                await self._more.wait()
        event, data = self.seen[self._read]
        self._read += 1
        golden("socketio", event, data)
        return event, data

    async def until(self, kind: str) -> Any:
        """The body of the next event of this name."""
        while True:
            event, data = await self.next()
            if event == kind:
                return data

    async def names(self, count: int) -> list[str]:
        """The names of the next events, `ai-typing` with its value."""
        found = []
        for _ in range(count):
            event, data = await self.next()
            found.append(f"{event} {data['isTyping']}" if event == "ai-typing" else event)
        return found

    async def silent(self, seconds: float = 0.5) -> bool:
        """Whether nothing more comes."""
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def socketio_door(
    folder: Path, script: Script | None = None, burst: float = 50.0, **settings: Any
) -> AsyncIterator[Stage]:
    """A relay whose Socket.IO door is open on its own port."""
    given = {
        "relay_doors": ("openai", "browser", "socketio"),
        "relay_open_doors": ("socketio",),
        "socketio_port": 0,
        **settings,
    }
    async with stage(folder, script, burst, **given) as here:
        yield here


def address(here: Stage) -> str:
    return f"http://127.0.0.1:{here.app.http.door_ports['socketio']}"


@asynccontextmanager
async def chatting(
    here: Stage, auth: Any = None, transports: list[str] | None = None, **headers: str
) -> AsyncIterator[Chatter]:
    """A connected client."""
    async with aiohttp.ClientSession() as http:
        chatter = Chatter(http)
        await chatter.client.connect(
            address(here),
            headers=headers,
            auth=auth,
            transports=transports or ["websocket"],
            wait_timeout=20,
        )
        try:
            yield chatter
        finally:
            await chatter.client.disconnect()
