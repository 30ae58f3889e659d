"""The two WebSockets of the session API, for audio and transcript, also of unknown sessions."""

import asyncio
import json
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from aiohttp import WSMsgType, web

from relay.realtime.endings import CLIENT_LEFT, CLIENT_TOO_SLOW, Ending

MAX_MESSAGE: Final = 2 * 1024 * 1024
"""Bytes of a client's message."""
SLOW_BYTES: Final = 1024 * 1024
"""Waiting for a socket that does not read; it is closed then."""
PING_SECONDS: Final = 30.0
NOISY: Final = 300
"""Root mean square of the quietest tenth of a turn from which on there is noise: -41 dB."""
LOUD: Final = 400
"""… of the loudest tenth below which speech is hard to make out: -38 dB."""
WINDOW: Final = 480
"""Samples: 20 ms at 24 kHz."""

Json = dict[str, Any]

AUDIO_READY: Final[Json] = {
    "type": "connected",
    "message": "Audio stream ready",
    "capabilities": ["speech_recognition", "voice_synthesis", "real_time_processing"],
}
TRANSCRIPT_READY: Final[Json] = {
    "type": "connected",
    "message": "Transcript stream ready",
    "features": ["real_time_transcription", "speaker_identification", "confidence_scoring"],
}


class SocketOutput:
    """What waits to be sent to one socket."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._ending: Ending | None = None

    def put(self, event: Json) -> None:
        """Queue an event; a client that does not read is closed (4013)."""
        text = json.dumps(event)
        self._bytes += len(text)
        self._waiting.append(text)
        if self._bytes > SLOW_BYTES:
            self.close(CLIENT_TOO_SLOW)
        self._more.set()

    def close(self, ending: Ending) -> None:
        """Close it, after what is waiting unless it is too slow; the first ending wins."""
        if self._ending is None:
            self._ending = ending
        if self._ending is CLIENT_TOO_SLOW:
            self._waiting.clear()
        self._more.set()

    async def run(self, socket: web.WebSocketResponse) -> None:
        """Send until it is closed."""
        while self._waiting or self._ending is None:
            while self._waiting:
                text = self._waiting.popleft()
                self._bytes -= len(text)
                await socket.send_str(text)
            self._more.clear()
            if self._ending is None and not self._waiting:
                await self._more.wait()
        await socket.close(code=self._ending.code, message=self._ending.reason.encode())


async def converse(
    request: web.Request,
    output: SocketOutput,
    joined: set[SocketOutput] | None,
    handle: Callable[[Json], None] | None = None,
) -> web.WebSocketResponse:
    """Run one socket: `joined` are the session's, None for an unknown one."""
    socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=PING_SECONDS)
    await socket.prepare(request)
    if joined is not None:
        joined.add(output)
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(output.run(socket))
            async for message in socket:
                event = _object(message.data) if message.type is WSMsgType.TEXT else None
                if event is not None and handle is not None:
                    handle(event)
            sending.cancel()
    except* ConnectionError:
        pass  # it went away while it was written to
    finally:
        if joined is not None:
            joined.discard(output)
        output.close(CLIENT_LEFT)
    return socket


def _object(text: str) -> Json | None:
    """A client's message; None for what is not JSON, or no object (S0-22)."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def quality_of(pcm: bytes) -> Json:
    """What the loudest and the quietest of a turn's windows say about its sound."""
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    step = max(len(samples) // 200 // WINDOW, 1) * WINDOW  # 200 windows of any length of audio
    powers = sorted(
        sum(one * one for one in samples[at : at + WINDOW]) / WINDOW
        for at in range(0, len(samples), step)
    )
    tenth = len(powers) // 10
    quiet, loud = powers[tenth] ** 0.5, powers[-1 - tenth] ** 0.5
    return {
        "audioQuality": "good" if loud >= LOUD else "low",
        "backgroundNoise": "detected" if quiet >= NOISY else "clear",
    }
