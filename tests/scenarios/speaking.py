"""A client that speaks to a relay whose voice is this machine's, and gathers what comes back.

Audio is sent faster than real time: turns are found by the audio's own clock.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from relay.app import App, running
from relay.parts.interfaces import SAMPLE_RATE
from tests.parts.sounds import silence
from tests.scenarios.stage import Event, loaded, token

PAUSE: Final = silence(1.5)
"""Longer than the pause within an unfinished sentence may be."""

PATIENCE: Final = 120.0
"""Seconds for one answer on a busy machine."""

TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"


class Speaker:
    """A client that speaks and gathers what comes back."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.events: list[Event] = []

    async def settle(self, **turns: Any) -> None:
        """Set how turns are taken, with transcripts."""
        detection = {"type": "server_vad", "silence_duration_ms": 500, **turns}
        audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": detection}}
        session = {"type": "realtime", "audio": audio}
        await self.send("session.update", session=session)
        await self.until("session.updated")

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(msgspec.json.encode({"type": kind, **fields}), text=True)

    async def append(self, pcm: bytes) -> None:
        """Send audio, a second at a time."""
        for start in range(0, len(pcm), 2 * SAMPLE_RATE):
            audio = base64.b64encode(pcm[start : start + 2 * SAMPLE_RATE]).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    async def until(self, kind: str, count: int = 1) -> list[Event]:
        """Read until so many events of a type came; returns all that came with them."""
        came: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while sum(event["type"] == kind for event in came) < count:
                came.append(msgspec.json.decode(await self._socket.recv()))
        self.events += came
        return came

    async def heard(self, pcm: bytes) -> str:
        """Say something; returns what was understood of it, over all turns that it became."""
        await self.append(pcm + PAUSE)
        await self.send("input_audio_buffer.clear")
        came = await self.until("input_audio_buffer.cleared")
        turns = sum(event["type"] == "input_audio_buffer.committed" for event in came)
        done = sum(event["type"] == TRANSCRIBED for event in came)
        came += await self.until(TRANSCRIBED, turns - done) if turns > done else []
        return " ".join(event["transcript"] for event in came if event["type"] == TRANSCRIBED)

    async def answer_to(self, pcm: bytes) -> tuple[str, str, float]:
        """Say something; returns what was understood, the answer, and its seconds of sound."""
        await self.append(pcm + PAUSE)
        came = await self.until("response.done")
        understood = [event["transcript"] for event in came if event["type"] == TRANSCRIBED]
        deltas = [event for event in came if event["type"] == "response.output_audio.delta"]
        seconds = sum(len(base64.b64decode(e["delta"])) for e in deltas) / 2 / SAMPLE_RATE
        (message,) = came[-1]["response"]["output"]
        return " ".join(understood), message["content"][0]["transcript"].strip(), seconds


@asynccontextmanager
async def local_voice(folder: Path, **changes: Any) -> AsyncIterator[App]:
    settings = loaded(folder, **{"relay_engine": "offline", "relay_llm": "local", **changes})
    async with running(settings) as app:
        yield app


@asynccontextmanager
async def speaker(app: App, **turns: Any) -> AsyncIterator[Speaker]:
    headers = {"Authorization": f"Bearer {token()}"}
    url = f"ws://127.0.0.1:{app.listener.port}/v1/realtime"
    # It speaks faster than the relay reads, so that its pings wait behind minutes of sound.
    options: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None}
    async with connect(url, additional_headers=headers, **options) as socket:
        client = Speaker(socket)
        await client.settle(**turns)
        yield client
