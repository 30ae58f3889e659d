"""The server side of the page's socket, driven by the test event by event (PROTOCOL §4)."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Event = dict[str, Any]
PATIENCE = 20.0
"""Seconds a busy machine may take to do what a page does at once."""


class FarEnd:
    """Takes one page's connection at a time; what the page sends waits in `events`.

    Sound goes to `audio`, and what a relay is told of playback to `reports`.
    """

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.audio = bytearray()
        self.reports: list[Event] = []
        self.appends = 0
        self._heard = asyncio.Event()
        self._pages: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self._current: ServerConnection | None = None
        self._server: Server | None = None
        self._number = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://localhost:{self.port}/v1/realtime"

    @property
    def page(self) -> ServerConnection:
        assert self._current is not None
        return self._current

    async def connection(self) -> ServerConnection:
        """Wait for the page's socket."""
        self._current = await asyncio.wait_for(self._pages.get(), PATIENCE)
        return self._current

    async def answer(self) -> None:
        """Wait for the page's socket and be ready, as an engine is."""
        await self.connection()
        await self.say("session.created", session={"id": "sess_1", "type": "realtime"})

    async def be_a_relay(self, conversation: str = "c1", ttl: float = 3600) -> None:
        """Say what only a relay says; the token lasts so many seconds more."""
        await self.say(
            "relay.session",
            session_id=f"s-{conversation}",
            conversation_id=conversation,
            expires_at=time.time() + ttl,
        )

    async def say(self, kind: str, **fields: object) -> None:
        self._number += 1
        event = {"type": kind, "event_id": f"event_{self._number}", **fields}
        await self.page.send(json.dumps(event))

    async def expect_any(self) -> Event:
        """Give the page's next event; appends are counted apart."""
        return await asyncio.wait_for(self.events.get(), PATIENCE)

    async def expect(self, kind: str) -> Event:
        """Give the page's next event, which must be of this type."""
        event = await self.expect_any()
        assert event["type"] == kind, event
        return event

    async def hear(self, chunks: int) -> None:
        """Wait until so many more chunks of microphone have come: 20 ms each, in real time."""
        until = self.appends + chunks
        async with asyncio.timeout(PATIENCE):
            while self.appends < until:
                self._heard.clear()
                await self._heard.wait()

    async def hang_up(self, code: int, reason: str = "") -> None:
        await self.page.close(code, reason)

    async def cut(self) -> None:
        """Lose the connection without a close frame."""
        self.page.transport.abort()

    async def _serve(self, page: ServerConnection) -> None:
        self._pages.put_nowait(page)
        with suppress(ConnectionClosed):
            async for message in page:
                self._take(json.loads(message))

    def _take(self, event: Event) -> None:
        if event["type"] == "input_audio_buffer.append":
            self.audio += base64.b64decode(event["audio"])
            self.appends += 1
            self._heard.set()
        elif event["type"] == "relay.playback":
            self.reports.append(event)
        else:
            self.events.put_nowait(event)


@asynccontextmanager
async def far_end() -> AsyncIterator[FarEnd]:
    end = FarEnd()
    spoken = [Subprotocol("realtime"), Subprotocol("relay.v1")]
    async with serve(end._serve, "localhost", 0, subprotocols=spoken) as server:
        end._server = server
        yield end


async def user_speaks(end: FarEnd, item: str, previous: str | None, text: str | None) -> None:
    """One spoken turn, up to the moment the answer begins; `text` None: not transcribed yet."""
    await end.say("input_audio_buffer.speech_started", item_id=item, audio_start_ms=300)
    await end.say("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=1200)
    await end.say("input_audio_buffer.committed", item_id=item, previous_item_id=previous)
    message = {
        "id": item,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    await end.say("conversation.item.added", previous_item_id=previous, item=message)
    await end.say("conversation.item.done", previous_item_id=previous, item=message)
    if text is not None:
        await transcribed(end, item, text)


async def transcribed(end: FarEnd, item: str, text: str) -> None:
    await end.say(
        "conversation.item.input_audio_transcription.completed",
        item_id=item,
        content_index=0,
        transcript=text,
    )


async def answer_begins(end: FarEnd, response: str, item: str, previous: str | None) -> None:
    await end.say("response.created", response={"id": response, "status": "in_progress"})
    message = {
        "id": item,
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    await end.say("response.output_item.added", response_id=response, output_index=0, item=message)
    await end.say("conversation.item.added", previous_item_id=previous, item=message)


async def answer_goes_on(
    end: FarEnd, response: str, item: str, text: str = "", pcm: bytes = b""
) -> None:
    where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
    if text:
        await end.say("response.output_audio_transcript.delta", **where, delta=text)
    for at in range(0, len(pcm), 12000):  # a quarter of a second each (WIRE §2)
        delta = base64.b64encode(pcm[at : at + 12000]).decode()
        await end.say("response.output_audio.delta", **where, delta=delta)


async def answer_ends(
    end: FarEnd, response: str, item: str, text: str, status: str = "completed"
) -> None:
    where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
    await end.say("response.output_audio.done", **where)
    await end.say("response.output_audio_transcript.done", **where, transcript=text)
    message = {
        "id": item,
        "type": "message",
        "role": "assistant",
        "status": "completed" if status == "completed" else "incomplete",
        "content": [{"type": "output_audio", "transcript": text}],
    }
    await end.say("conversation.item.done", previous_item_id=None, item=message)
    await end.say("response.output_item.done", response_id=response, output_index=0, item=message)
    await end.say("response.done", response={"id": response, "status": status})
