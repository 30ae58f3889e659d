"""The Socket.IO server of the door: who connects, and which event is whose."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import socketio
import structlog
from aiohttp import web
from engineio.payload import Payload

from relay.agents.agent import AgentDefaults
from relay.audio.decoding import AudioDecoder
from relay.calls.access import STRANGER, DoorAccess, connect_request
from relay.calls.door import CallDoor, CallSetup
from relay.calls.http import CallRefused, DoorHttp
from relay.calls.turns import TurnClient
from relay.cors import CorsPolicy
from relay.doors.socketio.talker import MAX_AUDIO, Talker, TalkManner, earlier_messages, now_ms
from relay.interfaces import Accept, ConnectRequest, History
from relay.proxies import TrustedProxies
from relay.realtime.endings import AT_CAPACITY, FORBIDDEN, SERVICE_RESTART, SessionRefused
from relay.realtime.grant import Caller
from relay.tasks import Tasks, where

MAX_EVENT: Final = MAX_AUDIO + 2 * 1024 * 1024
"""Bytes of one event: a little above what it may hold, so that more gets an `error`."""
MAX_PACKETS: Final = 2_000
"""In one request of a client that polls: what it recorded while the last one was under way. The
library's own bound of 16 ends such a client; it has it for all servers of a process."""
MAX_REMEMBERED: Final = 1_000
"""Conversations of callers without a token, which whoever knows their id may continue."""
PING_SECONDS: Final = 25
PONG_SECONDS: Final = 20
PATH: Final = "/socket.io/"

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "X-DNS-Prefetch-Control": "off",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=15552000; includeSubDomains",
}
"""What helmet sets for answers that are no pages (S2-27)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SocketioOptions:
    """The door's settings; `timeout` in seconds until an answer has begun."""

    max_sockets: int = 1000
    timeout: float = 30.0
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SocketioServices:
    """The rest of the program, as the door sees it."""

    access: DoorAccess
    defaults: AgentDefaults
    transcription: dict[str, Any]
    decoder: AudioDecoder
    history: History
    proxies: TrustedProxies


class SocketioDoor:
    """Serves the older voice chat (CONTRACTS §2.2)."""

    name = "socketio"

    def __init__(self, options: SocketioOptions, services: SocketioServices) -> None:
        self._options = options
        self._services = services
        self._talkers: dict[str, Talker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._strangers: OrderedDict[str, str] = OrderedDict()  # conversation to user
        self._tasks = Tasks(_report)
        self._accept: Accept | None = None
        self._http = DoorHttp(CorsPolicy(options.allowed_origins), _error)
        self._server = socketio.AsyncServer(
            async_mode="aiohttp",
            cors_allowed_origins=list(options.allowed_origins) or "*",
            max_http_buffer_size=MAX_EVENT,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            logger=False,
            engineio_logger=False,
        )
        Payload.max_decode_packets = MAX_PACKETS
        self._listen()

    def routes(self, accept: Accept) -> Iterable[web.AbstractRouteDef]:
        """Both transports."""
        self._accept = accept

        async def handle(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse = await self._server.handle_request(request)
            if not response.prepared:
                response.headers.update(SECURITY_HEADERS)
            return response

        return [web.route("*", PATH, handle)]

    def own_routes(self) -> Iterable[web.AbstractRouteDef]:
        """Its health, on its own port."""
        return self._http.routes([("GET", "/health", self._health)])

    async def aclose(self) -> None:
        """Disconnect everybody."""
        for sid in list(self._talkers):
            await self._server.disconnect(sid)
        await self._server.shutdown()
        await self._tasks.aclose()

    async def _health(self, _request: web.Request) -> web.Response:
        body = {"status": "ok", "timestamp": now_ms(), "activeConnections": len(self._talkers)}
        return web.json_response(body, headers=SECURITY_HEADERS)

    # -------------------------------------------------------------------------- its events

    def _listen(self) -> None:
        """Bind the client's events; what comes of a socket that has left is dropped."""
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        handlers: dict[str, Callable[[Talker, Any], Awaitable[None]]] = {
            "audio-stream": lambda talker, data: talker.take_audio(data),
            "text-message": lambda talker, data: talker.take_text(data),
            "start-recording": _start,
            "stop-recording": lambda talker, _: talker.stop_recording(),
            "interrupt": lambda talker, _: talker.interrupt(),
            "conversation-update": lambda talker, _: talker.send_history(),
        }
        for event, handler in handlers.items():
            self._server.on(event, self._bound(handler))

    def _bound(
        self, handler: Callable[[Talker, Any], Awaitable[None]]
    ) -> Callable[..., Awaitable[None]]:
        async def handle(sid: str, *data: Any) -> None:
            talker = self._talkers.get(sid)
            if talker is not None:
                await handler(talker, data[0] if data else None)

        return handle

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        told = auth if isinstance(auth, dict) else {}
        token = told.get("token")
        request = connect_request(
            environ["aiohttp.request"],
            self._services.proxies,
            token if isinstance(token, str) else None,
        )
        try:
            self._check_room()
            caller = await self._services.access.caller(request)
            setup = self._setup(caller, told, request)
            caller = self._known(caller, setup.conversation_id)
            await self._join(sid, caller, request, setup, bool(told.get("speechResults")))
        except SessionRefused as refused:
            raise socketio.exceptions.ConnectionRefusedError(
                refused.ending.advice, {"code": refused.ending.name}
            ) from None

    def _check_room(self) -> None:
        if len(self._talkers) >= self._options.max_sockets:
            raise SessionRefused(AT_CAPACITY)

    async def _join(
        self, sid: str, caller: Caller, request: ConnectRequest, setup: CallSetup, speech: bool
    ) -> None:
        """Let a client in, who is shown the conversation that it continues."""
        services = self._services

        async def emit(event: str, data: dict[str, Any]) -> None:
            await self._server.emit(event, data, to=sid)

        async def open_call(talker: Talker) -> TurnClient:
            if self._accept is None:
                raise SessionRefused(SERVICE_RESTART)
            door = CallDoor(self.name, caller, setup, services.defaults, services.transcription)
            return await TurnClient.open(self._accept, request, door, talker)

        manner = TalkManner(self._options.timeout, speech)
        talker = Talker(emit, open_call, services.decoder, self._tasks, manner)
        if setup.conversation_id is not None:
            earlier = await services.history.conversation(setup.conversation_id)
            if earlier.owner not in (None, caller.sub):
                raise SessionRefused(FORBIDDEN)
            talker.history = earlier_messages(earlier.said)
        self._talkers[sid] = talker
        self._running[sid] = self._tasks.start(talker.run(), "socketio.turns")
        if talker.history:
            self._tasks.run(talker.send_history(), "socketio.history")

    def _setup(self, caller: Caller, told: dict[str, Any], request: ConnectRequest) -> CallSetup:
        """What a client asks for in its `auth`, else in the address."""
        asked = {
            name: told.get(name) or request.parameter(name)
            for name in ("agent_id", "conversation_id", "voice")
        }
        texts = {name: value for name, value in asked.items() if isinstance(value, str)}
        conversation = texts.get("conversation_id")
        if conversation is not None:
            try:
                conversation = str(uuid.UUID(conversation))
            except ValueError:
                raise SessionRefused(FORBIDDEN) from None
        return CallSetup(
            texts.get("agent_id"), conversation or str(uuid.uuid4()), voice=texts.get("voice")
        )

    def _known(self, caller: Caller, conversation_id: str | None) -> Caller:
        """A caller without a token is the one who began the conversation, whose id they know."""
        if not caller.sub.startswith(STRANGER) or conversation_id is None:
            return caller
        sub = self._strangers.setdefault(conversation_id, caller.sub)
        self._strangers.move_to_end(conversation_id)
        while len(self._strangers) > MAX_REMEMBERED:
            self._strangers.popitem(last=False)
        return Caller(sub, caller.role, caller.expires_at)

    async def _disconnect(self, sid: str, *_reason: Any) -> None:
        talker = self._talkers.pop(sid, None)
        if talker is not None:
            self._running.pop(sid).cancel()
            await talker.close()


async def _start(talker: Talker, _data: Any) -> None:
    talker.start_recording()


def _error(refused: CallRefused) -> dict[str, str]:
    return {"error": refused.message}


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=where(error))
