"""The worker in its room: joins, answers requests, lets participants talk, and comes back."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from relay.agents.agent import AgentDefaults
from relay.calls.door import CallDoor, CallSetup
from relay.doors.livekit.packets import (
    CANNOT_STREAM,
    PIPELINE,
    STREAMING,
    BadPacket,
    Packets,
    TranslationRequest,
    error_packet,
    read_request,
)
from relay.doors.livekit.speaking import LEAVE_SECONDS, NoTrack, RoomVoice
from relay.doors.livekit.talking import TRACK, RoomCall
from relay.doors.livekit.translating import (
    SPEECH_SECONDS,
    WHOLE_SECONDS,
    Interpreter,
    NoTranslation,
    as_mp3,
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
MAX_TASKS: Final = 16
"""Of one participant: requests, calls and refusals; what comes beside them is not answered."""
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
        on("disconnected", self._lost)
        await self._room.connect(self._options.url, self._token())
        log.info("room joined", room=self._options.room)

    async def aclose(self) -> None:
        """Cancel what is under way and leave."""
        await self._tasks.aclose()
        with suppress(Exception):  # it may be lost already
            async with asyncio.timeout(LEAVE_SECONDS):
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

    def _lost(self, reason: int) -> None:
        known = self._services.rtc.DisconnectReason
        if not self.left.done():
            self.left.set_result(known.Name(reason) if reason in known.values() else str(reason))

    def _gone(self, who: Any) -> None:
        """Cancel what a participant who left has asked for (S1-24)."""
        log.info("participant left", who=who.identity)
        for task in self._of.pop(who.identity, ()):
            task.cancel()

    def _start(self, identity: str, work: Coroutine[Any, Any, None], name: str) -> None:
        tasks = self._of.setdefault(identity, set())
        if len(tasks) >= MAX_TASKS:
            work.close()
            return
        task = self._tasks.start(work, name)
        tasks.add(task)
        task.add_done_callback(lambda done: self._done(identity, tasks, done))

    def _done(
        self, identity: str, tasks: set[asyncio.Task[None]], done: asyncio.Task[None]
    ) -> None:
        tasks.discard(done)
        if not tasks and self._of.get(identity) is tasks:
            del self._of[identity]

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
            self._jobs -= Counter({identity: 1})

    async def _answer(self, identity: str, request: TranslationRequest, packets: Packets) -> None:
        interpreter = self._services.interpreter
        await self._send(identity, *packets.begun(_now_ms()))
        try:
            interpreter.check_voice(request.target)
            async with asyncio.timeout(WHOLE_SECONDS):
                text = await interpreter.translate(request)
            await self._send(identity, *packets.translated(text, _now_ms()))
            speech = interpreter.speak(text, request)
            sound = self._publish if request.as_track else self._stream
            async with asyncio.timeout(SPEECH_SECONDS), aclosing(speech):
                total = await sound(identity, speech, request, packets)
        except Exception as failed:  # noqa: BLE001 - whatever it is, its sender is told
            message = _told_of(failed, packets)
            await self._send(identity, *packets.failed(message, _now_ms()))
            return
        await self._send(identity, *packets.completed(text, total, _now_ms()))

    async def _stream(
        self,
        identity: str,
        speech: AsyncGenerator[bytes],
        _request: TranslationRequest,
        packets: Packets,
    ) -> int:
        """Send the speech as MP3 in packets, as it is made; returns the bytes."""
        total = 0
        async with aclosing(as_mp3(speech)) as pieces:
            async for sound, is_final in pieces:
                await self._announce(identity, packets)
                await self._send(identity, packets.sound(sound, is_final=is_final))
                total += len(sound)
        return total

    async def _publish(
        self,
        identity: str,
        speech: AsyncGenerator[bytes],
        request: TranslationRequest,
        packets: Packets,
    ) -> int:
        """Publish the speech as a track, which is taken away afterwards; returns its bytes."""
        total = 0
        async with self._voice(f"amencast-{request.target.lower()}-audio") as voice:
            async for pcm in speech:
                await self._announce(identity, packets)
                await voice.say(pcm)
                total += len(pcm)
            await voice.finish()
        return total

    async def _announce(self, identity: str, packets: Packets) -> None:
        """Say once that sound is coming."""
        if not packets.is_streaming:
            await self._send(identity, packets.streaming(_now_ms()))

    def _voice(self, name: str) -> RoomVoice:
        return RoomVoice(self._services.rtc, self._room.local_participant, name)

    async def _send(self, identity: str, *packets: bytes) -> None:
        """Send packets to one participant alone, in order (S1-13, S1-14)."""
        for packet in packets:
            await self._room.local_participant.publish_data(
                packet, reliable=True, destination_identities=[identity]
            )

    # ----------------------------------------------------------------------------- talking

    def _track(self, track: Any, publication: Any, who: Any) -> None:
        """Let a participant talk who asks for it; other tracks are not listened to."""
        rtc, agent = self._services.rtc, asked_agent(who)
        is_voice = (
            track.kind == rtc.TrackKind.KIND_AUDIO
            and publication.source != rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
        )
        if agent is not None and is_voice:
            self._start(who.identity, self._talk(track, who, agent), "livekit.call")

    async def _talk(self, track: Any, who: Any, agent: str) -> None:
        services = self._services
        # LiveKit has verified who it is, by a token that the room's own server has signed.
        caller = Caller(who.identity, "learner", services.unix() + TALK_HOURS * 3600)
        setup = CallSetup(agent or None, pace_ms=200, turn_detection=TURN_DETECTION)
        door = CallDoor("livekit", caller, setup, services.defaults, services.transcription)
        async with self._voice(f"{TRACK}-{who.identity}") as voice:
            call = RoomCall(services.rtc, voice)
            call.begin(self._accept, ConnectRequest("/livekit"), door)
            try:
                async with asyncio.TaskGroup() as group:
                    speaking = group.create_task(call.speak())
                    listening = group.create_task(call.listen(track))
                    ending = group.create_task(call.over.wait())
                    await asyncio.wait([listening, ending], return_when=asyncio.FIRST_COMPLETED)
                    for task in (speaking, listening, ending):
                        task.cancel()
            finally:
                call.close()


def _told_of(failed: Exception, packets: Packets) -> str:
    """What the requester is told of a failure, which is logged; nothing of it is quoted."""
    is_known = isinstance(failed, PartFailed | NoTranslation | TimeoutError)
    reason = reason_of(failed) if is_known else where(failed.__cause__ or failed)
    log.warning("translation failed", error=reason)
    if isinstance(failed, NoTrack):
        return CANNOT_STREAM
    return (STREAMING if packets.is_streaming else PIPELINE).format(reason_of(failed))


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
