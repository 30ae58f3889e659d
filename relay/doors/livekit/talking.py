"""A room participant's call: their microphone is the client, its answers are a track."""

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from relay.interfaces import Accept, ConnectRequest, Door, Frame
from relay.local_connection import LocalConnection
from relay.realtime.endings import CLIENT_LEFT
from relay.realtime.events import Event, decode, encode

RATE: Final = 24_000
FRAME: Final = 480
"""Samples of a published frame: 20 ms."""
HELD: Final = 48_000 * 120
"""Bytes of answers that wait to be published: two minutes."""
TRACK: Final = "relay-voice"


class RoomCall:
    """A client of a session; `rtc` is the `livekit.rtc` package, or what stands in for it."""

    def __init__(self, rtc: Any, flush: Callable[[], None]) -> None:
        self._rtc = rtc
        self._flush = flush
        self._near, self._connection = LocalConnection.pair()
        self._sound: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self.over = asyncio.Event()
        self._connection.attach(self)

    def begin(self, accept: Accept, request: ConnectRequest, door: Door) -> None:
        """Start the session."""
        accept(self._near, request, door)

    async def listen(self, track: Any) -> None:
        """Send the participant's sound, until the track ends."""
        stream = self._rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                audio = base64.b64encode(bytes(event.frame.data)).decode()
                self._send({"type": "input_audio_buffer.append", "audio": audio})
        finally:
            await stream.aclose()

    async def speak(self, source: Any) -> None:
        """Publish the answers' sound on this source, until cancelled."""
        while True:
            while not self._sound:
                self._more.clear()
                await self._more.wait()
            pcm = self._sound.popleft()
            self._bytes -= len(pcm)
            for start in range(0, len(pcm), 2 * FRAME):
                piece = pcm[start : start + 2 * FRAME].ljust(2 * FRAME, b"\0")
                await source.capture_frame(self._rtc.AudioFrame(piece, RATE, 1, FRAME))

    def close(self) -> None:
        """End the session."""
        self._connection.close(CLIENT_LEFT.code, "")

    def frame(self, frame: Frame) -> None:
        """Take an event of the session."""
        event = decode(frame)
        kind = event["type"]
        if kind == "response.output_audio.delta" and self._bytes < HELD:
            pcm = base64.b64decode(event["delta"])
            self._bytes += len(pcm)
            self._sound.append(pcm)
            self._more.set()
        elif kind in ("input_audio_buffer.speech_started", "relay.paused") or (
            kind == "relay.coach" and event.get("speaking")
        ):
            self._sound.clear()
            self._bytes = 0
            self._flush()

    def writable(self, ready: bool) -> None:
        """Sound comes in real time: nothing has to wait."""

    def closed(self, code: int, reason: str) -> None:
        """The session is over."""
        self.over.set()

    def _send(self, event: Event) -> None:
        self._connection.send(encode(event))
