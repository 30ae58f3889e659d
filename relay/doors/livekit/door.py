"""The worker in its room: joins, answers requests, lets participants talk, and comes back."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from relay.agents.agent import AgentDefaults
from relay.audio.mp3 import Mp3Stream
from relay.calls.door import CallDoor, CallSetup
from relay.doors.livekit.packets import (
    CHUNK,
    PIPELINE,
    STREAMING,
    BadPacket,
    Packets,
    TranslationRequest,
    error_packet,
    read_request,
)
from relay.doors.livekit.talking import FRAME, RATE, TRACK, RoomCall
from relay.doors.livekit.translating import (
    WHOLE_SECONDS,
    Interpreter,
    NoTranslation,
    reason_of,
)
from relay.interfaces import Accept, ConnectRequest
from relay.parts.interfaces import PartFailed
from relay.realtime.grant import Caller
from relay.tasks import Tasks, where

TOKEN_HOURS: Final = 24
MAX_JOBS: Final = 4
"""Requests of one participant at once."""
MAX_ALL_JOBS: Final = 32
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0
"""Seconds before the room is joined again, doubled from the first to the longest."""
AGENT: Final = "relay.agent"
"""The participant's attribute, or metadata field, that asks for a call; its value is the agent."""
TALK_HOURS: Final = 24.0
TURN_DETECTION: Final = {"type": "server_vad", "silence_duration_ms": 500}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class LivekitOptions:
    """The room to join, at this server, with a key of its project."""

    url: str
    api_key: str
    api_secret: str
    room: str


@dataclass(frozen=True, slots=True)
class LivekitServices:
    """The rest of the program, as the door sees it; `rtc` and `api` are LiveKit's packages."""

    interpreter: Interpreter
    defaults: AgentDefaults
    transcription: dict[str, Any]
    unix: Callable[[], float]
    rtc: Any
    api: Any


class LivekitDoor:
    """A `WorkerDoor` in one room."""

    name = "livekit"

    def __init__(self, options: LivekitOptions, services: LivekitServices) -> None:
        self._options = options
        self._services = services

    async def run(self, accept: Accept) -> None:
        """Be in the room until cancelled; it is left then, and joined again whenever it is lost."""
        wait = FIRST_WAIT
        while True:
            room = LivekitRoom(self._options, self._services, accept)
            try:
                await room.join()
                wait = FIRST_WAIT
                reason = await room.left
                log.warning("room lost", room=self._options.room, reason=reason)
            except Exception as error:  # noqa: BLE001 - whatever LiveKit raises: it is tried again
                log.warning("room not joined", room=self._options.room, error=where(error))
            finally:
                await room.aclose()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


class LivekitRoom:
    """One stay in the room."""

    def __init__(self, options: LivekitOptions, services: LivekitServices, accept: Accept) -> None:
        self._options = options
        self._services = services
        self._accept = accept
        self._room = services.rtc.Room()
        self._tasks = Tasks(_report)
        self._jobs: Counter[str] = Counter()
        self._of: dict[str, set[asyncio.Task[None]]] = {}
        self.left: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def join(self) -> None:
        """Join; raises what LiveKit raises."""
        on = self._room.on
        on("data_received", self._data)
        on("participant_connected", lambda who: log.info("participant joined", who=who.identity))
        on("participant_disconnected", self._gone)
        on("track_subscribed", self._track)
        on("disconnected", lambda reason=None: self._lost(str(reason)))
        await self._room.connect(self._options.url, self._token())
        log.info("room joined", room=self._options.room)

    async def aclose(self) -> None:
        """Cancel what is under way and leave."""
        await self._tasks.aclose()
        with suppress(Exception):  # it may be lost already
            await self._room.disconnect()

    def _token(self) -> str:
        """A token for this room alone (S1-2, S1-3)."""
        api, options = self._services.api, self._options
        grants = api.VideoGrants(
            room=options.room,
            room_join=True,
            can_publish=True,
            can_subscribe=True,
            can_publish_data=True,
        )
        token = api.AccessToken(options.api_key, options.api_secret)
        token = token.with_identity(f"gpu-worker-{_now_ms()}").with_grants(grants)
        return str(token.with_ttl(timedelta(hours=TOKEN_HOURS)).to_jwt())

    def _lost(self, reason: str) -> None:
        if not self.left.done():
            self.left.set_result(reason)

    def _gone(self, who: Any) -> None:
        """Cancel what a participant who left has asked for (S1-24)."""
        log.info("participant left", who=who.identity)
        for task in self._of.pop(who.identity, ()):
            task.cancel()

    def _start(self, identity: str, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.start(work, name)
        tasks = self._of.setdefault(identity, set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    # ------------------------------------------------------------------------ translation

    def _data(self, packet: Any) -> None:
        """Take a packet; those without a participant are the server's, and ignored."""
        if packet.participant is None:
            return
        identity = packet.participant.identity
        try:
            request = read_request(bytes(packet.data), _now_ms())
        except BadPacket as bad:
            told = error_packet(str(bad), bad.request_id, _now_ms())
            self._start(identity, self._send(identity, told), "livekit.error")
            return
        if request is not None:
            self._start(identity, self._translate(identity, request), "livekit.translation")

    async def _translate(self, identity: str, request: TranslationRequest) -> None:
        packets = Packets(request)
        is_free = self._jobs[identity] < MAX_JOBS and self._jobs.total() < MAX_ALL_JOBS
        if not is_free:
            await self._send(identity, *packets.failed(PIPELINE.format("busy"), _now_ms()))
            return
        self._jobs[identity] += 1
        try:
            await self._answer(identity, request, packets)
        finally:
            self._jobs[identity] -= 1

    async def _answer(self, identity: str, request: TranslationRequest, packets: Packets) -> None:
        interpreter = self._services.interpreter
        await self._send(identity, *packets.begun(_now_ms()))
        try:
            interpreter.check_voice(request.target)
            async with asyncio.timeout(WHOLE_SECONDS):
                text = await interpreter.translate(request)
        except (NoTranslation, PartFailed, TimeoutError) as failed:
            log.warning("translation failed", error=reason_of(failed))
            message = PIPELINE.format(reason_of(failed))
            await self._send(identity, *packets.failed(message, _now_ms()))
            return
        await self._send(identity, *packets.translated(text, _now_ms()))
        sound = self._publish if request.as_track else self._stream
        began = [False]
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                total = await sound(identity, text, request, packets, began)
        except (PartFailed, TimeoutError) as failed:
            log.warning("speech failed", error=reason_of(failed))
            kind = STREAMING if began[0] else PIPELINE
            message = kind.format(reason_of(failed))
            await self._send(identity, *packets.failed(message, _now_ms()))
            return
        await self._send(identity, *packets.completed(text, total, _now_ms()))

    async def _stream(
        self,
        identity: str,
        text: str,
        request: TranslationRequest,
        packets: Packets,
        began: list[bool],
    ) -> int:
        """Send the speech as MP3 in packets, as it is made; returns the bytes."""
        encoder = await asyncio.to_thread(Mp3Stream)
        total, held = 0, b""
        async for pcm in self._services.interpreter.speak(text, request):
            held += await asyncio.to_thread(encoder.encode, pcm)
            while len(held) >= CHUNK:
                total += await self._chunk(identity, held[:CHUNK], packets, began)
                held = held[CHUNK:]
        held += await asyncio.to_thread(encoder.finish)
        for start in range(0, len(held), CHUNK):
            total += await self._chunk(identity, held[start : start + CHUNK], packets, began)
        return total

    async def _chunk(self, identity: str, sound: bytes, packets: Packets, began: list[bool]) -> int:
        if not began[0]:
            began[0] = True
            await self._send(identity, packets.streaming(_now_ms()))
        await self._send(identity, packets.sound(sound))
        return len(sound)

    async def _publish(
        self,
        identity: str,
        text: str,
        request: TranslationRequest,
        packets: Packets,
        began: list[bool],
    ) -> int:
        """Publish the speech as a track, which is taken away afterwards; returns its bytes."""
        rtc, total, rest = self._services.rtc, 0, b""
        source = rtc.AudioSource(RATE, 1)
        name = f"amencast-{request.target.lower()}-audio"
        sid = await self._publish_source(source, name)
        try:
            async for pcm in self._services.interpreter.speak(text, request):
                if not began[0]:
                    began[0] = True
                    await self._send(identity, packets.streaming(_now_ms()))
                total += len(pcm)
                rest += pcm
                while len(rest) >= 2 * FRAME:
                    piece, rest = rest[: 2 * FRAME], rest[2 * FRAME :]
                    await source.capture_frame(rtc.AudioFrame(piece, RATE, 1, FRAME))
            last = rest.ljust(2 * FRAME, b"\0")
            await source.capture_frame(rtc.AudioFrame(last, RATE, 1, FRAME))
            await source.wait_for_playout()
        finally:
            await self._room.local_participant.unpublish_track(sid)
            await source.aclose()
        return total

    async def _publish_source(self, source: Any, name: str) -> str:
        track = self._services.rtc.LocalAudioTrack.create_audio_track(name, source)
        published = await self._room.local_participant.publish_track(track)
        return str(published.sid)

    async def _send(self, identity: str, *packets: bytes) -> None:
        """Send packets to one participant alone, in order (S1-13, S1-14)."""
        for packet in packets:
            await self._room.local_participant.publish_data(
                packet, reliable=True, destination_identities=[identity]
            )

    # ----------------------------------------------------------------------------- talking

    def _track(self, track: Any, _publication: Any, who: Any) -> None:
        """Let a participant talk who asks for it; other tracks are not listened to."""
        agent = asked_agent(who)
        if agent is not None and track.kind == self._services.rtc.TrackKind.KIND_AUDIO:
            self._start(who.identity, self._talk(track, who, agent), "livekit.call")

    async def _talk(self, track: Any, who: Any, agent: str) -> None:
        services = self._services
        source = services.rtc.AudioSource(RATE, 1)
        sid = await self._publish_source(source, f"{TRACK}-{who.identity}")
        # LiveKit has verified who it is, by a token that the room's own server has signed.
        caller = Caller(who.identity, "learner", services.unix() + TALK_HOURS * 3600)
        setup = CallSetup(agent or None, pace_ms=200, turn_detection=TURN_DETECTION)
        door = CallDoor("livekit", caller, setup, services.defaults, services.transcription)
        call = RoomCall(services.rtc, source.clear_queue)
        call.begin(self._accept, ConnectRequest("/livekit"), door)
        try:
            async with asyncio.TaskGroup() as group:
                speaking = group.create_task(call.speak(source))
                listening = group.create_task(call.listen(track))
                ending = group.create_task(call.over.wait())
                await asyncio.wait([listening, ending], return_when=asyncio.FIRST_COMPLETED)
                for task in (speaking, listening, ending):
                    task.cancel()
        finally:
            call.close()
            await self._room.local_participant.unpublish_track(sid)
            await source.aclose()


def asked_agent(who: Any) -> str | None:
    """The agent that a participant asks for, "" for the default one; None: they do not ask."""
    attributes = dict(who.attributes or {})
    if AGENT in attributes:
        return str(attributes[AGENT])
    try:
        metadata = json.loads(who.metadata or "{}")
    except (ValueError, RecursionError):
        return None
    asked = metadata.get(AGENT) if isinstance(metadata, dict) else None
    return asked if isinstance(asked, str) else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=where(error))
