"""A track of the room on which the worker speaks, for as long as it is needed."""

import asyncio
from contextlib import suppress
from typing import Any, Final

RATE: Final = 24_000
FRAME: Final = 480
"""Samples of a published frame: 20 ms."""
FRAME_BYTES: Final = 2 * FRAME
LEAVE_SECONDS: Final = 5.0
"""LiveKit may take this long to take something back: of a room that is lost it may never tell."""


class NoTrack(Exception):  # noqa: N818 - an outcome
    """The room does not take the track."""


class RoomVoice:
    """Publishes a track, speaks on it, and takes it away; `rtc` is the `livekit.rtc` package."""

    def __init__(self, rtc: Any, participant: Any, name: str) -> None:
        self._rtc = rtc
        self._participant = participant
        self._name = name
        self._source = rtc.AudioSource(RATE, 1)
        self._sid = ""
        self._rest = b""

    async def __aenter__(self) -> "RoomVoice":
        """Publish it; raises `NoTrack`."""
        track = self._rtc.LocalAudioTrack.create_audio_track(self._name, self._source)
        try:
            published = await self._participant.publish_track(track)
        except Exception as error:
            await self._source.aclose()
            raise NoTrack from error
        self._sid = str(published.sid)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take it away."""
        with suppress(Exception):  # it is gone with a room that was lost
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._participant.unpublish_track(self._sid)
        await self._source.aclose()

    async def say(self, pcm: bytes) -> None:
        """Speak this sound (PCM16, mono, 24 kHz); waits where LiveKit holds enough of it."""
        self._rest += pcm
        while len(self._rest) >= FRAME_BYTES:
            piece, self._rest = self._rest[:FRAME_BYTES], self._rest[FRAME_BYTES:]
            await self._source.capture_frame(self._rtc.AudioFrame(piece, RATE, 1, FRAME))

    async def finish(self) -> None:
        """Wait until all of it was spoken."""
        await self.say(bytes(-len(self._rest) % FRAME_BYTES))
        await self._source.wait_for_playout()

    def clear(self) -> None:
        """Drop what was not spoken yet."""
        self._rest = b""
        self._source.clear_queue()
