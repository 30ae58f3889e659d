"""The addresses of the session API: sessions, the system, health and the two sockets."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from relay.agents.agent import AgentDefaults
from relay.audio.decoding import AudioDecoder, AudioRejected, PcmFormat
from relay.calls.access import STRANGER, DoorAccess, connect_request
from relay.calls.door import CallDoor, CallSetup
from relay.calls.http import CallRefused, DoorHttp, read_object
from relay.calls.turns import TurnClient, TurnFailed
from relay.cors import CorsPolicy
from relay.doors.sessions.machine import machine_figures
from relay.doors.sessions.session import (
    FALLBACK,
    CoachingSession,
    TurnResult,
    session_not_found,
    stamp,
)
from relay.doors.sessions.sockets import (
    AUDIO_READY,
    TRANSCRIPT_READY,
    SocketOutput,
    converse,
    quality_of,
)
from relay.interfaces import Accept, ConnectRequest, SessionDirectory
from relay.parts.interfaces import PartFailed, Transcriber, TranscriptionRequest
from relay.proxies import TrustedProxies
from relay.realtime.coaching.control import Command
from relay.realtime.endings import SERVICE_RESTART, SessionRefused
from relay.realtime.grant import Caller
from relay.summary.summarizer import Summarizer, TooManySummaries
from relay.tasks import Tasks, where

MAX_BODY: Final = 35 * 1024 * 1024
"""Bytes of a request: 25 MB of audio in base64."""
MAX_ID: Final = 200
MAX_SOCKETS: Final = 32
"""Of one session, both kinds together."""
MAX_CONTEXT: Final = 8_000
"""Characters of a client's context in the prompt."""
MOST_CONTEXT: Final = 128 * 1024
"""… and as JSON in the session's record, which every status repeats."""
MOST_TOKENS: Final = 150
RECEIVED: Final = "Received expected input"
SWEEP_SECONDS: Final = 5.0
INSTRUCTIONS: Final = (
    "You assist in a coaching conversation. Answer the client warmly, in at most three sentences."
)

Json = dict[str, Any]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SessionsOptions:
    """The door's settings; `public_url` is the relay's address as clients see it."""

    max_sessions: int = 4
    idle_seconds: float = 1800.0
    legacy_fallback: bool = False
    chunk_size: int = 1024
    public_url: str | None = None
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionsServices:
    """The rest of the program, as the door sees it.

    `transcriber` gives the part that takes down a coach, `learners` whom a coach may follow.
    """

    access: DoorAccess
    defaults: AgentDefaults
    transcription: dict[str, Any]
    directory: SessionDirectory
    decoder: AudioDecoder
    transcriber: Callable[[], Transcriber]
    summarizer: Summarizer
    learners: Callable[[str], Awaitable[frozenset[str]]]
    proxies: TrustedProxies


class SessionsDoor:
    """Keeps the sessions of the API, and answers at its addresses (CONTRACTS §2.0)."""

    name = "sessions"

    def __init__(self, options: SessionsOptions, services: SessionsServices) -> None:
        self._options = options
        self._services = services
        self._sessions: dict[str, CoachingSession] = {}
        self._tasks = Tasks(_report)
        self._is_on = True
        self._started = stamp()
        self._began = time.monotonic()
        self._accept: Accept | None = None
        headers, methods = "Authorization, Content-Type", "GET, POST, DELETE, OPTIONS"
        self._http = DoorHttp(CorsPolicy(options.allowed_origins, headers, methods), _error)

    def routes(self, accept: Accept) -> Iterable[web.AbstractRouteDef]:
        """Its addresses."""
        self._accept = accept
        one = "/api/session/{id}"
        return self._http.routes(
            [
                ("POST", "/api/session/create", self._create),
                ("DELETE", one, self._with_session(self._delete)),
                ("GET", f"{one}/status", self._with_session(self._status)),
                ("POST", f"{one}/pause", self._with_session(self._pause)),
                ("POST", f"{one}/resume", self._with_session(self._resume)),
                ("POST", f"{one}/audio", self._with_session(self._audio)),
                ("GET", f"{one}/transcript", self._with_session(self._transcript)),
                ("POST", f"{one}/summary", self._with_session(self._summary)),
                ("GET", "/api/system/capacity", self._capacity),
                ("POST", "/api/system/power/on", self._power_on),
                ("POST", "/api/system/power/off", self._power_off),
                ("GET", "/audio/{id}", self._audio_socket),
                ("GET", "/transcript/{id}", self._transcript_socket),
            ]
        )

    def own_routes(self) -> Iterable[web.AbstractRouteDef]:
        """Its health, on its own port."""
        return self._http.routes([("GET", "/health", self._health)])

    async def aclose(self) -> None:
        """End the sessions."""
        for session in list(self._sessions.values()):
            await session.close(SERVICE_RESTART)
        await self._tasks.aclose()

    # ---------------------------------------------------------------------------- sessions

    async def _create(self, request: web.Request) -> web.Response:
        asked = await self._caller(request)
        body = await read_object(request, MAX_BODY)
        name, context = body.get("sessionId"), body.get("clientContext") or {}
        if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_ID:
            raise CallRefused(400, "", "sessionId is required")
        if not isinstance(context, dict):
            raise CallRefused(400, "", "clientContext must be an object")
        if len(json.dumps(context)) > MOST_CONTEXT:
            raise CallRefused(413, "context_too_large", "clientContext is too large")
        session = self._sessions.get(name)
        if session is not None:
            await self._check_owner(session, asked)
        else:
            here = connect_request(request, self._services.proxies)
            session = await self._begin(name, asked, context, here)
        data = {
            "aiContextReady": True,
            "audioStreamUrl": self._url(request, "audio", name),
            "transcriptUrl": self._url(request, "transcript", name),
            "session": session.record,
        }
        return _success("", data, sessionId=name)

    async def _begin(
        self, name: str, caller: Caller, context: Json, request: ConnectRequest
    ) -> CoachingSession:
        if not self._is_on or len(self._sessions) >= self._options.max_sessions:
            raise CallRefused(503, "", "Maximum session capacity reached")

        async def open_call(session: CoachingSession) -> TurnClient:
            return await self._open(session, caller, context, request)

        session = CoachingSession(
            name, caller.sub, context, self._options.chunk_size, open_call, self._forget
        )
        self._sessions[name] = session
        try:
            await session.call()
        except SessionRefused:
            self._forget(session)
            raise
        self._tasks.run(session.player.run(time.monotonic), "sessions.player")
        self._tasks.run(self._expire(session), "sessions.expiry")
        return session

    async def _open(
        self, session: CoachingSession, caller: Caller, context: Json, request: ConnectRequest
    ) -> TurnClient:
        """Open the session's call; paused, where the session is."""
        if self._accept is None:
            raise SessionRefused(SERVICE_RESTART)
        services = self._services
        setup = CallSetup(
            agent_id=request.parameter("agent_id"),
            conversation_id=session.conversation_id,
            context=prompt_of(context),
            max_output_tokens=MOST_TOKENS,
        )
        door = CallDoor(self.name, caller, setup, services.defaults, services.transcription)
        call = await TurnClient.open(self._accept, request, door, session)
        live = services.directory.find(call.session_id)
        if session.is_paused and live is not None:
            live.execute(Command("pause", caller.sub))
        return call

    def _forget(self, session: CoachingSession) -> None:
        """Free its slot, and close it where somebody else has ended it."""
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]
        if not session.is_over:
            self._tasks.run(session.close(), "sessions.close")

    async def _expire(self, session: CoachingSession) -> None:
        """Close the session once nobody has used it for a while (S0-26)."""
        left = self._options.idle_seconds
        while left > 0 and not session.is_over:
            await asyncio.sleep(min(left, SWEEP_SECONDS))
            left = session.used_at + self._options.idle_seconds - time.monotonic()
        await session.close()

    async def _delete(self, session: CoachingSession, _caller: Caller, _: Json) -> web.Response:
        await session.close()
        return _success("session ended", {"sessionId": session.name, "endedAt": stamp()})

    async def _status(self, session: CoachingSession, _caller: Caller, _: Json) -> web.Response:
        return _success("", session.record)

    async def _pause(self, session: CoachingSession, caller: Caller, _: Json) -> web.Response:
        await session.command("pause", caller.sub, self._services.directory)
        data = {"sessionId": session.name, "pausedAt": session.record["pausedAt"]}
        return _success("AI processing paused", data)

    async def _resume(self, session: CoachingSession, caller: Caller, _: Json) -> web.Response:
        await session.command("resume", caller.sub, self._services.directory)
        data = {"sessionId": session.name, "resumedAt": session.record["resumedAt"]}
        return _success("AI processing resumed", data)

    async def _transcript(self, session: CoachingSession, _caller: Caller, _: Json) -> web.Response:
        record = session.record
        data = {
            "sessionId": session.name,
            "transcript": record["transcript"],
            "aiResponses": record["aiResponses"],
            "sessionStatus": record["status"],
            "totalMessages": len(record["transcript"]),
            "lastUpdated": stamp(),
        }
        return _success("transcript data", data)

    async def _summary(self, session: CoachingSession, _caller: Caller, _: Json) -> web.Response:
        record = session.record
        try:
            points, *_by = await self._services.summarizer.points(list(session.said))
        except TooManySummaries:
            raise CallRefused(503, "busy", "Too many summaries are being written", 5) from None
        data = {
            "sessionId": session.name,
            "duration": int(time.monotonic() - session.began_at),
            "totalInteractions": len(record["transcript"]),
            "aiResponses": len(record["aiResponses"]),
            "coachInterventions": session.pauses,
            "mainTopics": points.main_topics,
            "clientSatisfaction": None,
            "actionItems": points.action_items,
            "nextWeekGoals": points.next_week_goals,
        }
        return _success("session summary generated", data)

    # ------------------------------------------------------------------------------- audio

    async def _audio(self, session: CoachingSession, caller: Caller, body: Json) -> web.Response:
        began = time.monotonic()
        speaker, when = body.get("speaker", "client"), body.get("timestamp") or stamp()
        if speaker not in ("client", "coach"):
            raise CallRefused(400, "", "speaker must be client or coach")
        pcm = await self._decoded(body)
        result = await self._turn(session, caller, pcm, speaker, str(when)[:MAX_ID])
        milliseconds = round((time.monotonic() - began) * 1000)
        quality = await asyncio.to_thread(quality_of, pcm)
        session.push_processed(milliseconds, quality)
        if result.was_paused:
            return _success("session paused, no AI response", {"sessionPaused": True})
        told: Json = {
            "transcript": result.transcript,
            "aiResponse": result.response,
            "processingTime": f"{milliseconds}ms",
            "speaker": speaker,
            "sessionStatus": session.record["status"],
        }
        return _success("audio processed", {**told, "error": True} if result.is_fallback else told)

    async def _turn(
        self, session: CoachingSession, caller: Caller, pcm: bytes, speaker: str, when: str
    ) -> TurnResult:
        try:
            if speaker == "coach":
                text = await self._transcribed(pcm)
                if text:
                    session.coach_said(text, when, caller.sub, self._services.directory)
                return TurnResult(text, was_paused=session.is_paused)
            return await session.client_turn(pcm, when)
        except TurnFailed as failed:
            if session.is_over:
                raise session_not_found() from failed
            is_answer_due = speaker == "client" and not session.is_paused
            if not self._options.legacy_fallback or not is_answer_due:
                status = 504 if failed.code == "timeout" else 502
                raise CallRefused(status, failed.code, str(failed)) from failed
            session.add_response(FALLBACK, "fallback_response")
            return TurnResult("", FALLBACK, is_fallback=True)

    async def _transcribed(self, pcm: bytes) -> str:
        """A coach's words; raises `TurnFailed`."""
        pieces = self._services.transcriber().transcribe(TranscriptionRequest(pcm))
        try:
            return "".join([piece async for piece in pieces]).strip()
        except PartFailed as failed:
            raise TurnFailed(failed.code, "What was said could not be transcribed.") from failed

    async def _decoded(self, body: Json) -> bytes:
        """The audio of a request as PCM16; raises `CallRefused`."""
        data = body.get("audioData")
        if not isinstance(data, str) or not data:
            raise CallRefused(400, "", "audioData is required")
        pcm = format_of(body.get("format"))
        try:
            raw = await asyncio.to_thread(_from_base64, data)
            if pcm is None and not _has_header(raw):
                pcm = PcmFormat(24_000)
            return await self._services.decoder.decode(raw, pcm)
        except AudioRejected as rejected:
            raise CallRefused(_REJECTED[rejected.code], rejected.code, str(rejected)) from rejected
        except PartFailed as failed:
            raise CallRefused(503, failed.code, "Audio cannot be decoded here.") from failed

    # ----------------------------------------------------------------------------- sockets

    async def _audio_socket(self, request: web.Request) -> web.StreamResponse:
        session, name = await self._joined(request)
        output = SocketOutput()
        output.put({**AUDIO_READY, "sessionId": name})

        def handle(event: Json) -> None:
            if event.get("type") != "audio_chunk":
                return
            output.put(
                {
                    "type": "processing_result",
                    "timestamp": stamp(),
                    "result": "Audio chunk received",
                    "confidence": 1.0,
                    "sessionId": name,
                }
            )
            if session is not None:
                session.used_at = time.monotonic()
                session.push_processed(0, {"audioQuality": "good", "backgroundNoise": "clear"})

        joined = session.audio_sockets if session is not None else None
        return await converse(request, output, joined, handle)

    async def _transcript_socket(self, request: web.Request) -> web.StreamResponse:
        session, name = await self._joined(request)
        output = SocketOutput()
        output.put({**TRANSCRIPT_READY, "sessionId": name})
        if session is not None:
            output.put(session.update())
        joined = session.transcript_sockets if session is not None else None
        return await converse(request, output, joined)

    async def _joined(self, request: web.Request) -> tuple[CoachingSession | None, str]:
        """The session of a socket that may join it, and the name it asked for."""
        caller, name = await self._caller(request), request.match_info["id"]
        session = self._sessions.get(name)
        if session is not None:
            await self._check_owner(session, caller)
            if len(session.audio_sockets | session.transcript_sockets) >= MAX_SOCKETS:
                raise CallRefused(429, "too_many_sockets", "Too many sockets of this session")
        return session, name

    # ------------------------------------------------------------------------------ system

    async def _capacity(self, request: web.Request) -> web.Response:
        await self._caller(request)
        active, most = len(self._sessions), self._options.max_sessions
        data = {
            "status": self._state,
            "activeSessions": active,
            "maxSessions": most,
            **machine_figures(),
            "lastStarted": self._started,
            "availableSlots": most - active if self._is_on else 0,
            "uptime": int(time.monotonic() - self._began) if self._is_on else 0,
        }
        return _success("", data)

    async def _power_on(self, request: web.Request) -> web.Response:
        await self._check_power(request)
        began = time.monotonic()
        await self._services.decoder.prepare()
        if not self._is_on:
            self._is_on, self._started, self._began = True, stamp(), time.monotonic()
        boot = f"{round(time.monotonic() - began)}s"
        data = {"powerState": "on", "bootTime": boot, "status": self._state}
        return _success("GPU powered on", data)

    async def _power_off(self, request: web.Request) -> web.Response:
        await self._check_power(request)
        self._is_on = False
        cleared = list(self._sessions.values())
        for session in cleared:
            await session.close()
        data = {"sessionsCleared": len(cleared), "shutdownTime": stamp()}
        return _success("GPU powered off", {"powerState": "off", **data})

    async def _health(self, _request: web.Request) -> web.Response:
        body = {"status": "healthy", "message": "AI GPU server running", "timestamp": stamp()}
        return web.json_response({**body, "sessions": len(self._sessions)})

    @property
    def _state(self) -> str:
        return "ready" if self._is_on else "offline"

    # ------------------------------------------------------------------------------ access

    async def _caller(self, request: web.Request) -> Caller:
        return await self._services.access.caller(connect_request(request, self._services.proxies))

    async def _check_power(self, request: web.Request) -> None:
        """Let an admin, or who sits at this machine where the door is open; else raise."""
        access = self._services.access
        asked = connect_request(request, self._services.proxies)
        caller = await access.caller(asked)
        is_here = caller.sub.startswith(STRANGER) and access.is_local(asked)
        if caller.role != "admin" and not is_here:
            raise CallRefused(403, "forbidden", "Only an admin may do this.")

    async def _check_owner(self, session: CoachingSession, caller: Caller) -> None:
        """Hide the session from who may not use it."""
        is_strangers = session.owner.startswith(STRANGER) and caller.sub.startswith(STRANGER)
        if is_strangers or caller.sub == session.owner or caller.role == "admin":
            return
        if caller.role == "coach" and session.owner in await self._services.learners(caller.sub):
            return
        raise session_not_found()

    def _with_session(
        self, handle: Callable[[CoachingSession, Caller, Json], Awaitable[web.Response]]
    ) -> Handler:
        """Find the session, then read the body: an unknown one is told first."""

        async def answer(request: web.Request) -> web.Response:
            caller = await self._caller(request)
            session = self._sessions.get(request.match_info["id"])
            if session is None:
                raise session_not_found()
            await self._check_owner(session, caller)
            session.used_at = time.monotonic()
            body = await read_object(request, MAX_BODY) if request.body_exists else {}
            response = await handle(session, caller, body)
            session.used_at = time.monotonic()
            return response

        return answer

    def _url(self, request: web.Request, kind: str, name: str) -> str:
        """The address of a socket, as the client sees the relay."""
        public = self._options.public_url
        base = public.replace("http", "ws", 1).rstrip("/") if public else f"ws://{request.host}"
        return f"{base}/{kind}/{quote(name, safe='')}"


def prompt_of(context: Json) -> str:
    """What the model is told about the client (S0-27)."""
    if not context:
        return INSTRUCTIONS
    known = "; ".join(f"{name}: {value}" for name, value in context.items())
    return f"{INSTRUCTIONS}\nWhat is known about the client: {known[:MAX_CONTEXT]}"


def format_of(given: Any) -> PcmFormat | None:
    """The format of audio without a header; raises `CallRefused`."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise CallRefused(400, "", "format must be an object")
    values = (given.get("sampleRate", 24_000), given.get("channels", 1))
    bits = given.get("bitsPerSample", 16)
    if not all(type(value) is int for value in (*values, bits)):
        raise CallRefused(400, "", "format must have whole numbers")
    return PcmFormat(*values, bits)


def _from_base64(data: str) -> bytes:
    """Raises `AudioRejected`; what a browser puts before the data of a `data:` URL is left out."""
    try:
        raw = base64.b64decode(data.rpartition(";base64,")[2], validate=True)
    except (binascii.Error, ValueError):
        raise AudioRejected("undecodable") from None
    if raw.isascii() and raw.decode().isprintable():  # a text is no sound
        raise AudioRejected("undecodable")
    return raw


def _has_header(raw: bytes) -> bool:
    """Whether audio says itself what it is."""
    known = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1a\x45\xdf\xa3", b"\xff\xfb", b"\xff\xf3")
    return raw.startswith(known) or raw[4:8] == b"ftyp"


def _error(refused: CallRefused) -> Json:
    code = {"code": refused.code} if refused.code else {}
    return {"status": "error", "message": refused.message, **code}


def _success(told: str, data: Any, **more: Any) -> web.Response:
    message = f"{RECEIVED} - {told}" if told else RECEIVED
    return web.json_response({"status": "success", "message": message, **more, "data": data})


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=where(error))


_REJECTED: Final = {
    "undecodable": 400,
    "empty": 400,
    "unsupported": 415,
    "too_long": 413,
    "busy": 503,
}
