"""An old client of the session API, through a whole relay."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from relay.audio.wav import wav_of
from relay.parts.simple import Script
from tests.golden.shapes import golden
from tests.scenarios.stage import SPEECH, Stage, stage

AUDIO = base64.b64encode(wav_of(SPEECH)).decode()


class SessionsClient:
    """Calls the API and holds each answer against its golden message."""

    def __init__(self, here: Stage, http: aiohttp.ClientSession, base: str) -> None:
        self.here = here
        self.base = base
        self._http = http

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body."""
        async with self._http.request(
            method,
            self.base + path,
            data=io.BytesIO(json.dumps(body).encode()) if body is not None else None,
            headers={"Content-Type": "application/json", **headers},
        ) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return await self.ask("POST", path, body, **headers)

    async def create(self, name: str = "one", **more: Any) -> Any:
        status, body = await self.post("/api/session/create", {"sessionId": name, **more})
        assert status == 200, body
        golden("sessions", "create", body)
        golden("sessions", "session", body["data"]["session"])
        return body

    async def speak(self, name: str = "one", **more: Any) -> Any:
        body = {"audioData": AUDIO, "timestamp": "2026-12-01T10:00:00Z", **more}
        status, answer = await self.post(f"/api/session/{name}/audio", body)
        assert status == 200, answer
        return answer

    async def record(self, name: str = "one") -> Any:
        status, body = await self.get(f"/api/session/{name}/status")
        assert status == 200
        golden("sessions", "status", body)
        golden("sessions", "session", body["data"])
        return body["data"]

    @asynccontextmanager
    async def socket(self, kind: str, name: str = "one") -> AsyncIterator["SessionSocket"]:
        async with self._http.ws_connect(f"{self.base}/{kind}/{name}") as socket:
            yield SessionSocket(socket)


class SessionSocket:
    """One of the two sockets, and all it has been sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen: list[Any] = []

    async def send(self, message: Any) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def next(self, kind: str, within: float = 20.0) -> Any:
        """The next message of this type."""
        async with asyncio.timeout(within):
            while True:
                message = await self.socket.receive_json()
                self.seen.append(message)
                if message["type"] == kind:
                    return message

    async def closed(self) -> int | None:
        """The close code."""
        async with asyncio.timeout(20):
            while not self.socket.closed:
                await self.socket.receive()
        return self.socket.close_code


@asynccontextmanager
async def sessions_door(
    folder: Path, script: Script | None = None, burst: float = 50.0, **settings: Any
) -> AsyncIterator[SessionsClient]:
    """A relay whose sessions door is open on its own port."""
    given = {
        "relay_doors": ("openai", "browser", "sessions"),
        "relay_open_doors": ("sessions",),
        "sessions_port": 0,
        **settings,
    }
    async with (
        stage(folder, script, burst, **given) as here,
        aiohttp.ClientSession() as http,
    ):
        base = f"http://127.0.0.1:{here.app.http.door_ports['sessions']}"
        yield SessionsClient(here, http, base)
