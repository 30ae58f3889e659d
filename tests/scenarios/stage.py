"""A whole relay in this process, with a simulated OpenAI behind it and real sockets everywhere."""

import asyncio
import base64
import json
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from relay.app import App, running
from relay.auth.tokens import mint
from relay.config import Loaded, Settings
from relay.engines.cascade.outputs import Pace
from relay.open_doors import MakeDoors, open_doors
from relay.parts.simple import Script, scripted_parts
from relay.realtime.grant import Caller, Role
from relay.session.directory import MemorySessionDirectory
from relay.session.session import Session
from relay.simulator import Simulator, SimulatorOptions, simulate
from relay.stores.sqlite.reports import SqliteReader

SECRET = "a development secret of more than thirty-two characters"
AGENT = "5b6f8f5e-0000-4000-8000-00000000a9e7"
SPEECH = (b"\x00\x20" * 12 + b"\x00\xe0" * 12) * 1000  # one second of a loud 1 kHz square wave
SILENCE = bytes(48_000)  # one second
CROWD = {"max_sessions_per_user": 0, "max_connections_per_ip": 0, "max_connects_per_minute": 0}
"""Settings of a relay whose many callers are one user of one machine."""
Event = dict[str, Any]


def token(
    sub: str = "ada",
    role: Role = "learner",
    ttl: float = 3600,
    clock: Callable[[], float] = time.time,
    **more: Any,
) -> str:
    """A token that this stage's relay believes, issued now by this clock."""
    now = clock()
    return mint(Caller(sub=sub, role=role, expires_at=now + ttl, **more), SECRET, now)


class Line:
    """A client's socket; `events` is all it has read so far."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[Event] = []

    async def send(self, *events: Event) -> None:
        """Send events."""
        for event in events:
            await self.socket.send(json.dumps(event))

    async def speak(self, pcm: bytes = SPEECH + SILENCE) -> None:
        """Send sound, as fast as the socket takes it (the server's clock is the audio itself)."""
        for start in range(0, len(pcm), 4800):
            audio = base64.b64encode(pcm[start : start + 4800]).decode()
            await self.send({"type": "input_audio_buffer.append", "audio": audio})

    async def until(self, kind: str, within: float = 30.0) -> Event:
        """Read up to the next event of this type and return it."""
        async with asyncio.timeout(within):
            while True:
                event: Event = json.loads(await self.socket.recv())
                self.events.append(event)
                if event["type"] == kind:
                    return event

    async def closed(self, within: float = 30.0) -> tuple[int, str]:
        """Read to the end; returns the close code and reason."""
        async with asyncio.timeout(within):
            try:
                while True:
                    self.events.append(json.loads(await self.socket.recv()))
            except ConnectionClosed as closed:
                received = closed.rcvd
                return (received.code, received.reason) if received else (1006, "")

    @property
    def types(self) -> list[str]:
        """The types of all events read so far."""
        return [event["type"] for event in self.events]


@dataclass(slots=True)
class Stage:
    """A relay, the simulator behind it (None with another engine), and how to call it."""

    app: App
    simulator: Simulator | None
    folder: Path

    @property
    def voice(self) -> str:
        """`ws://host:port` of the voice listener."""
        return f"ws://127.0.0.1:{self.app.listener.port}"

    @property
    def http(self) -> str:
        """`http://host:port` of the HTTP listener."""
        return f"http://127.0.0.1:{self.app.http.port}"

    @asynccontextmanager
    async def openai_client(self, query: str = "", **options: Any) -> AsyncIterator[Line]:
        """A client of the OpenAI door, with a token in the header unless headers are given."""
        options.setdefault("additional_headers", {"Authorization": f"Bearer {token()}"})
        async with self._connect(f"{self.voice}/v1/realtime{query}", **options) as line:
            yield line

    @asynccontextmanager
    async def browser(self, bearer: str | None = None, *more: str) -> AsyncIterator[Line]:
        """A client of the OpenAI door that can only name subprotocols."""
        protocols = ["realtime", f"openai-insecure-api-key.{bearer or token()}", *more]
        offered = [Subprotocol(name) for name in protocols]
        async with self._connect(f"{self.voice}/v1/realtime", subprotocols=offered) as line:
            yield line

    @asynccontextmanager
    async def s3_client(self, sub: str = "ada", **query: str) -> AsyncIterator[Line]:
        """S3's own front end: everything in the query."""
        given = {"token": token(sub), "agent_id": AGENT} | query
        asked = "&".join(f"{name}={value}" for name, value in given.items() if value)
        async with self._connect(f"{self.voice}/?{asked}") as line:
            yield line

    @asynccontextmanager
    async def _connect(self, url: str, **options: Any) -> AsyncIterator[Line]:
        # No pings of its own: their answers stand behind what a test has not read yet.
        quiet = {"compression": None, "max_size": None, "ping_interval": None}
        options = {**quiet, "close_timeout": 1, **options}
        async with connect(url, **options) as socket:
            yield Line(socket)

    async def emptied(self, within: float = 30.0) -> None:
        """Wait until no session, no upstream socket and no task of a session is left."""
        async with asyncio.timeout(within):
            while self.app.directory.active or (self.simulator and self.simulator.connections):
                await asyncio.sleep(0.005)

    @staticmethod
    def _has_words(path: Path) -> bool:
        """Whether the store made its tables; it does so when the first word is delivered."""
        if not path.exists():
            return False
        with closing(sqlite3.connect(path)) as file:
            tables = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'chat_messages_v2'")
            return tables.fetchone() is not None

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of the HTTP listener's answer."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(self.http + path) as answer,
        ):
            return answer.status, await answer.text()

    async def stored(self, conversation_id: str, count: int, within: float = 30.0) -> list[Event]:
        """The utterances of a conversation once there are `count`, as role, text and state."""
        path = self.folder / "relay.db"
        reader = SqliteReader(path)
        seen: dict[str, Event] = {}
        try:
            async with asyncio.timeout(within):
                while not self._has_words(path):
                    await asyncio.sleep(0.005)
                async for record in reader.follow(conversation_id):
                    said = record.utterance
                    seen[record.id] = {
                        "position": said.position,
                        "role": said.role,
                        "text": said.text,
                        "state": said.state,
                        "record": record,
                    }
                    if len(seen) >= count:
                        break
        finally:
            await reader.aclose()
        return sorted(seen.values(), key=lambda row: row["position"])


def live_sessions(app: App) -> list[Session]:
    """The relay's own sessions that are live, in the order in which they began."""
    assert isinstance(app.directory, MemorySessionDirectory)
    return [session for session in app.directory._live.values() if isinstance(session, Session)]


@asynccontextmanager
async def stage(
    folder: Path,
    script: Script | None = None,
    burst: float = 50.0,
    make_doors: MakeDoors = open_doors,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """A relay whose OpenAI is the simulator with scripted words; `settings` are overrides."""
    options = SimulatorOptions(parts=scripted_parts(script), pace=Pace(burst=burst))
    async with await simulate(options) as simulator:
        given = {
            "relay_engine": "openai",
            "openai_api_key": "sk-simulated-provider-key",
            "openai_base_url": simulator.base_url,
            **settings,
        }
        async with running(loaded(folder, **given), make_doors=make_doors) as app:
            yield Stage(app, simulator, folder)


def loaded(folder: Path, **settings: Any) -> Loaded:
    """Settings of a relay on free ports of loopback, with everything in `folder`."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "http_port": 0,
        "relay_store": "sqlite",
        "relay_data_dir": folder,
        "supabase_jwt_secret": SecretStr(SECRET),
        **CROWD,
        **settings,
    }
    return Loaded(Settings(**given), pages=False)


def new_id() -> str:
    """A fresh UUID."""
    return str(uuid.uuid4())
