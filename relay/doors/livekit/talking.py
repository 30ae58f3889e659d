"""A room participant's call: their microphone is the client, its answers are a track."""

import asyncio
import base64
from typing import Any, Final

from relay.doors.livekit.speaking import FRAME_BYTES, RATE, RoomVoice
from relay.interfaces import Accept, ConnectRequest, Door, Frame
from relay.local_connection import LocalConnection
from relay.realtime.endings import CLIENT_LEFT
from relay.realtime.events import Event, decode, encode

HELD: Final = 48_000 * 120
"""Bytes of answers that wait to be published: two minutes."""
TRACK: Final = "relay-voice"


class RoomCall:
    """A client of a session; `rtc` is the `livekit.rtc` package, or what stands in for it."""

    def __init__(self, rtc: Any, voice: RoomVoice) -> None:
        self._rtc = rtc
        self._voice = voice
        self._near, self._connection = LocalConnection.pair()
        self._sound = bytearray()
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

    async def speak(self) -> None:
        """Publish the answers' sound frame by frame, until cancelled: it may be void any time."""
        while True:
            while not self._sound:
                self._more.clear()
                await self._more.wait()
            piece = bytes(self._sound[:FRAME_BYTES])
            del self._sound[:FRAME_BYTES]
            await self._voice.say(piece)

    def close(self) -> None:
        """End the session."""
        self._connection.close(CLIENT_LEFT.code, "")

    def frame(self, frame: Frame) -> None:
        """Take an event of the session."""
        event = decode(frame)
        kind = event["type"]
        if kind == "response.output_audio.delta" and len(self._sound) < HELD:
            self._play(base64.b64decode(event["delta"]))
        elif kind == "response.output_audio.done":
            self._play(bytes(FRAME_BYTES))  # the last frame may have been short of it
        elif kind in ("input_audio_buffer.speech_started", "relay.paused") or (
            kind == "relay.coach" and event.get("speaking")
        ):
            self._sound.clear()
            self._voice.clear()

    def writable(self, ready: bool) -> None:
        """Sound comes in real time: nothing has to wait."""

    def closed(self, code: int, reason: str) -> None:
        """The session is over."""
        self.over.set()

    def _play(self, pcm: bytes) -> None:
        self._sound += pcm
        self._more.set()

    def _send(self, event: Event) -> None:
        self._connection.send(encode(event))
