"""A coach before a whole relay: on a WebSocket, on an event stream, and asking for pages."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from relay.stores.sqlite.store import SqliteStore
from tests.scenarios.stage import Event, Line, Stage, token

PATIENCE = 30.0


class Screen:
    """What a coach sees: the feed's messages, and of each utterance its newest version."""

    def __init__(self) -> None:
        self.messages: list[Event] = []
        self.cursor = 0

    def show(self, message: Event) -> Event:
        self.messages.append(message)
        if message["type"] in ("final", "caught_up", "ended"):
            self.cursor = message["seq"]
        return message

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.messages if message["type"] == "final"]

    @property
    def said(self) -> list[tuple[str, str]]:
        """Speaker and text in conversation order."""
        return [(row["speaker"], row["text"]) for row in self.rows]

    @property
    def rows(self) -> list[Event]:
        finals = (m["utterance"] for m in self.messages if m["type"] == "final")
        newest = {said["id"]: said for said in finals}
        return sorted(newest.values(), key=lambda u: (u["position"], u["content_index"]))


class Feed:
    """An open WebSocket feed."""

    def __init__(self, socket: ClientConnection, screen: Screen) -> None:
        self.socket = socket
        self.screen = screen

    async def next(self) -> Event:
        async with asyncio.timeout(PATIENCE):
            message: Event = json.loads(await self.socket.recv())
        return self.screen.show(message)

    async def until(self, kind: str, **wanted: Any) -> Event:
        while True:
            message = await self.next()
            if message["type"] == kind and wanted.items() <= message.items():
                return message

    async def final(self, text: str) -> Event:
        """Read up to the final that says this."""
        while True:
            message = await self.until("final")
            if message["utterance"]["text"] == text:
                return message

    async def closed(self) -> tuple[int, str]:
        try:
            while True:
                await self.next()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def bearer(secret: str | None = None) -> dict[str, str]:
    """The header of an admin, or of who has this token."""
    return {"Authorization": f"Bearer {secret or token('boss', 'admin')}"}


@asynccontextmanager
async def watching(
    here: Stage, session_id: str, screen: Screen | None = None, secret: str | None = None
) -> AsyncIterator[Feed]:
    """A WebSocket feed that goes on from where the screen is."""
    screen = screen or Screen()
    url = f"ws://127.0.0.1:{here.app.http.port}/api/sessions/{session_id}/feed"
    async with connect(
        f"{url}?since={screen.cursor}",
        additional_headers=bearer(secret),
        compression=None,
        close_timeout=1,
        ping_interval=None,  # the answers would stand behind what the test has not read yet
    ) as socket:
        yield Feed(socket, screen)


async def stream(
    here: Stage, session_id: str, screen: Screen, until: asyncio.Event, secret: str | None = None
) -> None:
    """Read an event stream to its end, or until told to leave; the cursor is the last id."""
    headers = bearer(secret) | {"Accept": "text/event-stream", "Last-Event-ID": str(screen.cursor)}
    url = f"{here.http}/api/sessions/{session_id}/feed"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        assert answer.status == 200
        leaving = asyncio.ensure_future(until.wait())
        while not until.is_set():
            reading = asyncio.ensure_future(answer.content.readline())
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
                break
            line = reading.result().decode()
            if not line:
                break
            if line.startswith("data: "):
                screen.show(json.loads(line.removeprefix("data: ")))
        leaving.cancel()
        await asyncio.wait({leaving})


async def ask(here: Stage, path: str, secret: str | None = None) -> tuple[int, Any]:
    """Status and JSON of an answer of the API."""
    async with (
        aiohttp.ClientSession(headers=bearer(secret)) as http,
        http.get(here.http + path) as answer,
    ):
        return answer.status, await answer.json()


async def assign(here: Stage, coach: str, learner: str) -> None:
    """As an operator does it."""
    store = SqliteStore(here.folder / "relay.db")
    try:
        assert await store.assign(coach, learner)
    finally:
        await store.aclose()


async def session_of(line: Line) -> str:
    """The id of a relay-aware client's session."""
    hello = await line.until("relay.session")
    return str(hello["session_id"])


def typed(text: str) -> Event:
    """The learner writes instead of speaking."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item}
