"""The services door on a port of its own, as an old client meets it."""

import asyncio
import base64
import io
import json
import time
import wave
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from aiohttp import web

from relay.agents.agent import AgentDefaults
from relay.audio.child import work
from relay.audio.decoding import AudioDecoder, AudioRejected
from relay.calls.access import DoorAccess
from relay.doors.services.account import Accounting
from relay.doors.services.callers import Callers
from relay.doors.services.calls import Backing
from relay.doors.services.door import SERVICES, ServiceRoute, ServicesDoor, ServicesOptions
from relay.doors.services.health import HealthWatch, probes_of
from relay.doors.services.serving import Serving
from relay.knowledge.bases import KnowledgeBases
from relay.metrics import Metrics
from relay.parts.interfaces import PartFailed, Parts
from relay.parts.simple import Script, scripted_parts, tone
from relay.parts.worker_process import pack
from relay.proxies import TrustedProxies
from relay.realtime.billing.budget import BudgetHold
from relay.realtime.billing.pricing import Prices
from relay.realtime.endings import UNAUTHORIZED, SessionRefused
from relay.realtime.grant import Caller, Grant
from relay.realtime.records import AnyRecord

ADA = "ada"
CONFIG = {"system_prompt": "Be brief."}
OPTIONS = ServicesOptions("http://127.0.0.1:11434")
SERVICE_KEY = "the service's own key"


def wav(pcm: bytes = tone(500), rate: int = 24_000, channels: int = 1, width: int = 2) -> str:
    """Sound as a WAV in base64."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(width)
        written.setframerate(rate)
        written.writeframes(pcm)
    return base64.b64encode(file.getvalue()).decode()


class DecoderHere(AudioDecoder):
    """Decodes in a thread: the processes of the real one take half a second to start."""

    async def prepare(self) -> None:
        """Start none of them."""

    async def _do(self, what: Mapping[str, object], data: bytes) -> bytes:
        body = pack(json.dumps(what).encode(), data)
        try:
            return await asyncio.to_thread(lambda: b"".join(work(body, lambda: False)))
        except PartFailed as failed:
            raise AudioRejected(failed.detail) from failed  # type: ignore[arg-type]


async def verify(token: str) -> Caller:
    """Know callers by their token: `ada` and `bob` are learners, `root` is an admin."""
    if token not in ("ada", "bob", "root"):
        raise SessionRefused(UNAUTHORIZED)
    return Caller(token, "admin" if token == "root" else "learner", 0)


@dataclass
class Written:
    """A journal that keeps what it is given."""

    records: list[AnyRecord] = field(default_factory=list)

    def append(self, record: AnyRecord) -> None:
        self.records.append(record)


async def without_budget(grant: Grant, call_id: str, now: float) -> BudgetHold | None:
    return None


async def no_tool(call: Any) -> str:
    raise AssertionError


@dataclass
class Answered:
    """An answer: its status, its body, and what was in it."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class ServicesStage:
    """A door, and how to call it as `ada`."""

    url: str
    http: aiohttp.ClientSession
    door: ServicesDoor
    serving: Serving
    written: Written

    async def post(self, path: str, body: Any = None, token: str = ADA, **more: Any) -> Answered:
        data = io.BytesIO(json.dumps(body).encode())
        return await self.call("POST", path, token, data=data, **more)

    async def get(self, path: str, token: str = ADA) -> Answered:
        return await self.call("GET", path, token)

    async def call(self, method: str, path: str, token: str = ADA, **more: Any) -> Answered:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        more.setdefault("headers", headers)
        async with self.http.request(method, self.url + path, **more) as answer:
            data = await answer.read()
            is_json = answer.content_type == "application/json"
            return Answered(answer.status, json.loads(data) if is_json else data, answer.headers)


@dataclass
class Setting:
    """What a door is opened with."""

    parts: Parts = field(default_factory=scripted_parts)
    knowledge_file: Path | None = None
    is_open: bool = False
    per_minute: int = 0
    defaults: AgentDefaults = field(default_factory=lambda: AgentDefaults("default", "none"))
    aliases: Mapping[str, str] = field(default_factory=dict)
    unnamed_model: str | None = None
    open_budget: Any = without_budget
    make_tools: Any = lambda *_: None
    decoder: Any = field(default_factory=DecoderHere)


def scripted(*replies: Any, heard: Sequence[str] = ("What is a volcano?",)) -> Parts:
    """Parts that hear this and answer that."""
    return scripted_parts(Script(heard=heard, replies=replies or ("You said: {heard}",)))


@asynccontextmanager
async def services(
    setting: Setting | None = None,
    options: ServicesOptions = OPTIONS,
    more: Sequence[ServiceRoute] = SERVICES,
) -> AsyncIterator[ServicesStage]:
    """Open the door on its old port."""
    given, written, metrics = setting or Setting(), Written(), Metrics()
    folder = TemporaryDirectory()
    knowledge = KnowledgeBases(given.knowledge_file or Path(folder.name, "knowledge.db"))
    access = DoorAccess(
        "services",
        verify,
        lambda: 1.7e9,
        time.monotonic,
        "admitted" if given.is_open else "refused",
        service_key=SERVICE_KEY,
    )
    callers = Callers(access, TrustedProxies(), given.defaults, given.per_minute)
    accounting = Accounting(given.open_budget, Prices(), written, metrics, lambda: 1.7e9)
    backing = Backing(lambda: given.parts, given.decoder, knowledge, given.aliases)
    serving = Serving(
        callers=callers,
        accounting=accounting,
        backing=backing,
        health=HealthWatch(probes_of(lambda: given.parts, knowledge)),
        observer=metrics.parts,
        make_tools=given.make_tools,
        unnamed_model=given.unnamed_model,
    )
    door = ServicesDoor(options, serving, more)
    app = web.Application()
    app.add_routes([*door.routes(lambda *_: None), *door.own_routes()])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as http:
            yield ServicesStage(f"http://{host}:{port}", http, door, serving, written)
    finally:
        await runner.cleanup()
        await door.aclose()
        await given.decoder.aclose()
        await given.parts.aclose()
        await knowledge.aclose()
        folder.cleanup()
