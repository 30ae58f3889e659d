"""A receiver for tests: keeps the events it was pushed, and lets a test wait for more."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from relay.interfaces import Connection, Frame
from tests.engines.cascade.driving import Event, valid


class Listener:
    """The pushes of a connection: `events`, `writables`, and the `endings` it reported."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.bytes = 0
        self.writables: list[bool] = []
        self.endings: list[tuple[int, str]] = []
        self.on_event: Callable[[Event], None] = lambda _: None
        self._more = asyncio.Event()

    def frame(self, frame: Frame) -> None:
        """Note an event."""
        assert not self.endings, "an event after the end"
        event = valid(msgspec.json.decode(frame))
        self.bytes += len(frame)
        self.events.append(event)
        self.on_event(event)
        self._more.set()

    def writable(self, ready: bool) -> None:
        """Note the mark."""
        self.writables.append(ready)
        self._more.set()

    def closed(self, code: int, reason: str) -> None:
        """Note the end."""
        self.endings.append((code, reason))
        self._more.set()

    def say(self, kind: str, **fields: Any) -> None:
        """Send one client event."""
        self.connection.send(msgspec.json.encode({"type": kind, **fields}))

    async def until(self, there: Callable[["Listener"], bool]) -> None:
        """Wait until something is there."""
        async with asyncio.timeout(5):
            while not there(self):
                self._more.clear()
                await self._more.wait()

    async def hears(self, kind: str) -> Event:
        """Wait for an event of this type and return it."""
        await self.until(lambda me: any(event["type"] == kind for event in me.events))
        return next(event for event in self.events if event["type"] == kind)


async def turns(count: int = 3) -> None:
    """Let the loop go round a few times."""
    for _ in range(count):
        await asyncio.sleep(0)
