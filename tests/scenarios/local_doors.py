"""Two doors without a WebSocket, as a test needs them: turns over HTTP, and a worker with jobs."""

import asyncio
import base64
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from relay.agents.agent import AgentDefaults, SessionRequest, grant_for
from relay.auth.tokens import Verifier, find_token
from relay.interfaces import Accept, Admission, ConnectRequest, Frame
from relay.local_connection import LocalConnection
from relay.open_doors import Doors, DoorServices
from relay.proxies import TrustedProxies
from relay.realtime.dialects.client import ClientDialect, GaDialect
from relay.realtime.endings import UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller
from relay.realtime.opening import granted_session_update

PIECE = 48_000  # bytes of one `append`: a second of PCM16


class Turn:
    """A client without a socket: it is the receiver of its end of a `LocalConnection`."""

    def __init__(self, connection: LocalConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []
        self.closed_by: tuple[int, str] | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        connection.attach(self)

    def frame(self, frame: Frame) -> None:
        self.events.append(json.loads(bytes(frame)))
        self._changed.set()

    def writable(self, ready: bool) -> None:
        (self._room.set if ready else self._room.clear)()

    def closed(self, code: int, reason: str) -> None:
        self.closed_by = (code, reason)
        self._changed.set()

    async def send(self, event: dict[str, Any]) -> None:
        await self._room.wait()
        self.connection.send(json.dumps(event).encode())

    async def until(self, kind: str) -> None:
        """Wait for an event of this type; raises ConnectionError when the session ends first."""
        while not any(event["type"] == kind for event in self.events):
            if self.closed_by is not None:
                raise ConnectionError
            self._changed.clear()
            await self._changed.wait()

    async def answer(self, pcm: bytes) -> dict[str, Any]:
        """Say this, have it committed and answered, and gather the answer."""
        await self.until("session.created")
        turns = {"type": "session.update", "session": {"type": "realtime", "audio": MANUAL}}
        await self.send(turns)
        for start in range(0, len(pcm), PIECE):
            piece = base64.b64encode(pcm[start : start + PIECE]).decode()
            await self.send({"type": "input_audio_buffer.append", "audio": piece})
        await self.send({"type": "input_audio_buffer.commit"})
        await self.send({"type": "response.create"})
        await self.until("response.done")
        text = "".join(self._all("response.output_audio_transcript.delta"))
        audio = b"".join(map(base64.b64decode, self._all("response.output_audio.delta")))
        return {"text": text, "audio_ms": len(audio) // 48}

    def _all(self, kind: str) -> list[str]:
        return [event["delta"] for event in self.events if event["type"] == kind]


MANUAL = {"input": {"turn_detection": None}}


class LocalDoor:
    """What both doors have in common: the OpenAI door's rules, for requests that they make."""

    def __init__(
        self, name: str, verifier: Verifier, defaults: AgentDefaults, transcription: dict[str, Any]
    ) -> None:
        self.name = name
        self._verifier = verifier
        self._defaults = defaults
        self._transcription = transcription
        self.requests: list[ConnectRequest] = []

    def matches(self, request: ConnectRequest) -> bool:
        return False

    def dialect(self, request: ConnectRequest) -> ClientDialect:
        return GaDialect()

    async def authenticate(self, request: ConnectRequest) -> Caller:
        self.requests.append(request)
        token = find_token(request)
        if token is None:
            raise SessionRefused(UNAUTHORIZED)
        return await self._verifier.verify(token)

    async def admit(self, request: ConnectRequest, caller: Caller) -> Admission:
        asked = SessionRequest(conversation_id=request.parameter("conversation_id"))
        grant = await grant_for(caller, asked, self._defaults)
        update = granted_session_update(grant, self._transcription)
        return Admission(grant, self.dialect(request), update, first_shown=False)


class HttpTurns(LocalDoor):
    """`POST /turns`: PCM16 in, the answer as JSON out; one session a turn."""

    def own_routes(self) -> Iterable[web.RouteDef]:
        return ()

    async def aclose(self) -> None:
        pass

    def routes(self, accept: Accept) -> Iterable[web.RouteDef]:
        async def turn(request: web.Request) -> web.Response:
            near, far = LocalConnection.pair()
            client = Turn(far)
            accept(near, connect_request(request), self)
            try:
                answer = await client.answer(await request.read())
            except ConnectionError:
                code, reason = client.closed_by or (1006, "")
                return web.json_response({"code": code, "reason": reason}, status=409)
            finally:
                far.close(1000, "")
            return web.json_response(answer)

        return [web.post("/turns", turn)]


class Jobs(LocalDoor):
    """A worker that takes jobs from a queue and puts the answers into their futures."""

    def __init__(self, *given: Any) -> None:
        super().__init__("jobs", *given)
        self.queue: asyncio.Queue[tuple[ConnectRequest, bytes, asyncio.Future[Any]]]
        self.queue = asyncio.Queue()
        self.stopped = False

    async def run(self, accept: Accept) -> None:
        try:
            while True:
                request, pcm, answer = await self.queue.get()
                near, far = LocalConnection.pair()
                client = Turn(far)
                accept(near, request, self)
                try:
                    answer.set_result(await client.answer(pcm))
                except ConnectionError:
                    answer.set_result(client.closed_by)
                finally:
                    far.close(1000, "")
        finally:
            self.stopped = True

    async def do(self, request: ConnectRequest, pcm: bytes) -> Any:
        """Queue a job, and wait for its answer."""
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((request, pcm, answer))
        return await answer


def connect_request(request: web.Request) -> ConnectRequest:
    """The request for a session that an HTTP request stands for."""
    headers = request.headers
    client_ip = TrustedProxies().client_ip(
        request.remote or "", headers.getall("X-Forwarded-For", []), headers.get("X-Real-IP")
    )
    return ConnectRequest(
        path=request.path,
        query=tuple(request.query.items()),
        headers=headers,
        origin=headers.get("Origin"),
        client_ip=client_ip,
    )


class Made:
    """Makes the doors, and keeps them for the test."""

    def __call__(self, here: DoorServices) -> Doors:
        given = here.verifier, here.defaults, here.services.transcription
        self.turns, self.jobs = HttpTurns("turns", *given), Jobs(*given)
        return Doors(http=[self.turns], workers=[self.jobs])
