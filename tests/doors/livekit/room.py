"""A LiveKit room in this process: what the door uses of `livekit.rtc`, with its bounds."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
from livekit import rtc

MAX_RELIABLE = 15 * 1024


@dataclass
class Participant:
    """Somebody in the room; `packets` are those that were sent to them."""

    identity: str
    attributes: dict[str, str] = field(default_factory=dict)
    metadata: str = ""
    packets: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, *kinds: str) -> list[dict[str, Any]]:
        """All packets, once one of these types or statuses is there."""
        async with asyncio.timeout(20):
            while True:
                for packet in self.packets:
                    if packet["type"] in kinds or packet.get("status") in kinds:
                        return self.packets
                self.changed.clear()
                await self.changed.wait()


@dataclass
class DataPacket:
    data: bytes
    kind: int
    participant: Participant | None
    topic: str | None = None


@dataclass
class Publication:
    sid: str = ""
    source: int = rtc.TrackSource.SOURCE_MICROPHONE


class Server:
    """The rooms of all stays; a test's handle on them."""

    def __init__(self) -> None:
        self.participants: dict[str, Participant] = {}
        self.rooms: list[Room] = []
        self.published: list[tuple[str, bytearray]] = []
        self.refusals = 0
        self.takes_tracks = True
        self.answers = True  # a server that is gone leaves what waits for it waiting
        self.joined = asyncio.Event()

    @property
    def room(self) -> "Room":
        return self.rooms[-1]

    async def present(self, stays: int = 1) -> "Room":
        """The room, once the worker has joined so often."""
        async with asyncio.timeout(20):
            while (
                sum(room.is_in for room in self.rooms) + sum(room.has_left for room in self.rooms)
                < stays
                or not self.rooms[-1].is_in
            ):
                self.joined.clear()
                await self.joined.wait()
        return self.room

    def join(self, identity: str, **more: Any) -> Participant:
        participant = self.participants[identity] = Participant(identity, **more)
        self.room.emit("participant_connected", participant)
        return participant

    def leave(self, identity: str) -> None:
        self.room.emit("participant_disconnected", self.participants.pop(identity))

    def deliver(self, sender: "Room", identity: str, data: bytes) -> None:
        """Push a packet to a room whose own participant has this identity."""
        for room in self.rooms:
            if room is not sender and room.identity == identity:
                room.emit("data_received", DataPacket(data, 1, Participant(sender.identity)))

    def ask(self, who: Participant | None, packet: Any) -> None:
        data = packet if isinstance(packet, bytes) else json.dumps(packet).encode()
        self.room.emit("data_received", DataPacket(data, 1, who))


class LocalParticipant:
    def __init__(self, server: Server, room: "Room") -> None:
        self._server = server
        self._room = room
        self.tracks: dict[str, Any] = {}

    async def publish_data(
        self,
        payload: bytes | str,
        *,
        reliable: bool = True,
        destination_identities: list[str] | None = None,
        topic: str = "",
    ) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        assert reliable
        assert len(data) <= MAX_RELIABLE, f"{len(data)} bytes are too many for a packet"
        assert destination_identities, "a packet for everybody"
        for identity in destination_identities:
            self._server.deliver(self._room, identity, data)
            participant = self._server.participants.get(identity)
            if participant is not None:
                participant.packets.append(json.loads(data))
                participant.changed.set()
        await asyncio.sleep(0)

    async def publish_track(self, track: Any, options: Any = None) -> Publication:
        if not self._server.takes_tracks:
            raise rtc.participant.PublishTrackError("no permission")
        sid = f"TR_{len(self._server.published)}"
        self.tracks[sid] = track
        self._server.published.append((track.name, track.source.sound))
        return Publication(sid)

    async def unpublish_track(self, track_sid: str) -> None:
        if not self._server.answers:
            await asyncio.Event().wait()
        del self.tracks[track_sid]


class Room:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._callbacks: dict[str, Callable[..., Any]] = {}
        self.local_participant = LocalParticipant(server, self)
        self.remote_participants: dict[str, Participant] = {}
        self.token = ""
        self.identity = ""
        self.is_in = False
        self.has_left = False
        server.rooms.append(self)

    def on(self, event: str, callback: Callable[..., Any] | None = None) -> Any:
        assert callback is not None
        self._callbacks[event] = callback
        return callback

    async def connect(self, url: str, token: str, options: Any = None) -> None:
        if self._server.refusals:
            self._server.refusals -= 1
            raise ConnectionError("the server is not there")
        self.token, self.is_in = token, True
        self.identity = str(jwt.decode(token, options={"verify_signature": False})["sub"])
        for room in self._server.rooms:
            if room is not self and room.is_in:
                self.remote_participants[room.identity] = Participant(room.identity)
        self._server.joined.set()

    async def disconnect(self, *, reason: int = 1) -> None:
        if not self._server.answers:
            await asyncio.Event().wait()
        self.has_left = self.has_left or self.is_in
        self.is_in = False

    def emit(self, event: str, *arguments: Any) -> None:
        callback = self._callbacks.get(event)
        if callback is not None:
            callback(*arguments)


class AudioFrame:
    def __init__(
        self, data: bytes, sample_rate: int, num_channels: int, samples_per_channel: int
    ) -> None:
        assert len(data) == 2 * num_channels * samples_per_channel
        self.data, self.sample_rate = data, sample_rate


class AudioSource:
    def __init__(self, sample_rate: int, num_channels: int, queue_size_ms: int = 1000) -> None:
        self.sound = bytearray()
        self.frames: list[int] = []
        self.clears = 0

    async def capture_frame(self, frame: AudioFrame) -> None:
        self.frames.append(len(frame.data))
        self.sound += frame.data
        await asyncio.sleep(0)

    def clear_queue(self) -> None:
        self.clears += 1

    async def wait_for_playout(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class LocalAudioTrack:
    def __init__(self, name: str, source: AudioSource) -> None:
        self.name, self.source = name, source

    @staticmethod
    def create_audio_track(name: str, source: AudioSource) -> "LocalAudioTrack":
        return LocalAudioTrack(name, source)


@dataclass
class Microphone:
    """A remote track: what a participant says."""

    sound: bytes
    kind: int = 1
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class AudioFrameEvent:
    frame: AudioFrame


class AudioStream:
    def __init__(self, track: Microphone, sample_rate: int = 48000, num_channels: int = 1) -> None:
        self._track = track

    async def __aiter__(self) -> AsyncIterator[AudioFrameEvent]:
        for start in range(0, len(self._track.sound), 960):
            piece = self._track.sound[start : start + 960].ljust(960, b"\0")
            yield AudioFrameEvent(AudioFrame(piece, 24_000, 1, 480))
            await asyncio.sleep(0)
        await self._track.is_over.wait()

    async def aclose(self) -> None:
        pass


class TrackKind:
    KIND_AUDIO = 1


class Rtc:
    """The package, in one room."""

    AudioFrame, AudioSource, AudioStream = AudioFrame, AudioSource, AudioStream
    LocalAudioTrack, TrackKind = LocalAudioTrack, TrackKind
    DisconnectReason, TrackSource = rtc.DisconnectReason, rtc.TrackSource

    def __init__(self, server: Server) -> None:
        self.Room = lambda: Room(server)
