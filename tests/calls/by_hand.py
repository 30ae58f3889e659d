"""A session whose every event a test sends by hand, for what an engine does at a bad moment."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from relay.calls.turns import TurnClient
from relay.interfaces import Connection, ConnectRequest, Door, Frame
from relay.realtime.endings import Ending
from relay.realtime.events import encode
from tests.calls.speaking import Told

Event = dict[str, Any]


class HandSession:
    """The far end of a call: `got` is what it was sent, and `tell` answers."""

    def __init__(self) -> None:
        self.got: list[Event] = []
        self._connection: Connection | None = None

    def accept(self, connection: Connection, request: ConnectRequest, door: Door) -> None:
        """Begin at once."""
        self._connection = connection
        connection.attach(self)
        self.tell("relay.session", session_id="sess_1", conversation_id="conv_1")

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        assert self._connection is not None
        self._connection.send(encode({"type": kind, **fields}))

    def create(self, response_id: str, metadata: Any = None) -> None:
        """Begin an answer."""
        self.tell("response.created", response={"id": response_id, "metadata": metadata})

    def speak(self, response_id: str, text: str) -> None:
        """Say a word of an answer, 100 ms long."""
        of = {"response_id": response_id, "item_id": f"item of {response_id}"}
        self.tell("response.output_audio_transcript.delta", delta=text, **of)
        sound = base64.b64encode(bytes(4_800)).decode()
        self.tell("response.output_audio.delta", delta=sound, **of)

    def done(self, response_id: str, metadata: Any = None, status: str = "completed") -> None:
        """End an answer."""
        response = {"id": response_id, "metadata": metadata, "status": status}
        self.tell("response.done", response=response)

    def end(self, ending: Ending) -> None:
        """End the session."""
        assert self._connection is not None
        self._connection.close(ending.code, ending.reason)

    def of(self, kind: str) -> list[Event]:
        """What it got of a type."""
        return [event for event in self.got if event["type"] == kind]

    async def gets(self, kind: str, count: int = 1) -> Event:
        """Wait for the event of this type with this number; returns it."""
        async with asyncio.timeout(5):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0)
        return self.of(kind)[count - 1]

    async def asked(self, count: int = 1) -> Any:
        """Wait until an answer is asked for; returns the metadata that it shall have."""
        return (await self.gets("response.create", count))["response"]["metadata"]

    def frame(self, frame: Frame) -> None:
        """Take an event."""
        self.got.append(json.loads(bytes(frame)))

    def writable(self, ready: bool) -> None:
        """Heed nothing: what a test sends is short."""

    def closed(self, code: int, reason: str) -> None:
        """The call is over."""


@asynccontextmanager
async def by_hand(told: Told | None = None) -> AsyncIterator[tuple[HandSession, TurnClient]]:
    """A session by hand, and the call in it."""
    session, listener = HandSession(), told or Told()
    request, door = ConnectRequest("/turns"), cast(Door, None)
    client = await TurnClient.open(session.accept, request, door, listener)
    try:
        yield session, client
    finally:
        await client.close()
