"""A coach's line into a call of a whole relay."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.scenarios.coaching import PATIENCE, bearer
from tests.scenarios.stage import Event, Stage

LEARNER, MODEL = 0, 1


class Voice:
    """An open line; `heard` is the sound that came, by who spoke."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard = {LEARNER: b"", MODEL: b""}

    async def say(self, pcm: bytes) -> None:
        """Speak, as fast as the socket takes it (the relay's clock is the sound itself)."""
        for start in range(0, len(pcm), 4800):
            await self.socket.send(pcm[start : start + 4800])

    async def hear(self, who: int, count: int) -> bytes:
        """Read until so many bytes of a speaker came."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard[who]) < count:
                frame = await self.socket.recv()
                assert isinstance(frame, bytes)
                self.heard[frame[0]] += frame[1:]
        return self.heard[who]

    async def closed(self) -> tuple[int, str]:
        """Read to the end; the close code and reason."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as closed:
                return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


@asynccontextmanager
async def on_the_line(
    here: Stage, session_id: str, secret: str | None = None
) -> AsyncIterator[Voice]:
    """The line of an admin, or of who has this token."""
    url = f"ws://127.0.0.1:{here.app.http.port}/api/sessions/{session_id}/voice"
    options = {"compression": None, "close_timeout": 1, "max_size": None}
    async with connect(url, additional_headers=bearer(secret), **options) as socket:  # type: ignore[arg-type]
        await (await socket.ping())  # answered once somebody reads: the line is open then
        yield Voice(socket)


def sound_of(events: list[Event], item_id: str) -> bytes:
    """What a client was sent of an item's sound, in either dialect."""
    kinds = ("response.output_audio.delta", "response.audio.delta")
    parts = [e["delta"] for e in events if e["type"] in kinds and e["item_id"] == item_id]
    return b"".join(map(base64.b64decode, parts))
