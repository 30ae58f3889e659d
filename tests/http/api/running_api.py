"""The API on a real listener, over a feed hub that a test drives; a token names its caller."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from relay.admission.descriptors import MAX_HTTP
from relay.auth.tokens import MAX_TOKEN
from relay.clock import MachineClock
from relay.http.api.app import ApiServices
from relay.http.api.sessions import ConversationArchive
from relay.interfaces import ConversationSummary
from relay.realtime.endings import (
    AUTH_UNAVAILABLE,
    TOKEN_TOO_LONG,
    UNAUTHORIZED,
    SessionRefused,
)
from relay.realtime.grant import Caller, Role
from relay.realtime.records import ActionRecord
from relay.summary.summarizer import Summarizer, TextModel
from tests.feed.calls import HEAD, HubWithDisk
from tests.http.listener import listening
from tests.stores.words import LEARNER, STRANGER

SESSION = HEAD.session_id
FEED = f"/api/sessions/{SESSION}/feed"
PATIENCE = 30.0
SERVICE_KEY = "the-project's-own-key"


def bearer(sub: str = "boss", role: Role = "admin", ttl: float = 3600.0) -> str:
    """A token that `verify` accepts."""
    return f"{sub}:{role}:{time.time() + ttl}"


def header(sub: str = "boss", role: Role = "admin", ttl: float = 3600.0) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer(sub, role, ttl)}"}


async def verify(token: str) -> Caller:
    if len(token) > MAX_TOKEN:
        raise SessionRefused(TOKEN_TOO_LONG)
    if token == "no verifier":
        raise SessionRefused(AUTH_UNAVAILABLE) from OSError("the issuer cannot be asked")
    if token == "expired":
        raise SessionRefused(UNAUTHORIZED) from ValueError("it is over")
    sub, _, rest = token.partition(":")
    role, _, expires_at = rest.partition(":")
    roles: dict[str, Role] = {"learner": "learner", "coach": "coach", "admin": "admin"}
    if role not in roles or float(expires_at) < time.time() - 10:
        raise SessionRefused(UNAUTHORIZED)
    return Caller(sub=sub, role=roles[role], expires_at=float(expires_at))


@dataclass
class FakeAssignments:
    """The learners of each coach, as a store gives them."""

    of: dict[str, frozenset[str]] = field(
        default_factory=lambda: {"kim": frozenset({LEARNER}), "lee": frozenset({STRANGER})}
    )
    asked: int = 0
    broken: bool = False

    async def __call__(self, coach: str) -> frozenset[str]:
        self.asked += 1
        if self.broken:
            raise OSError("the database is away")
        return self.of.get(coach, frozenset())


@dataclass
class FakeArchive:
    """Past conversations, as a store lists them, and the summaries that were recorded."""

    stored: list[ConversationSummary] = field(default_factory=list)
    recorded: list[ActionRecord] = field(default_factory=list)
    queries: list[tuple[Collection[str] | None, int]] = field(default_factory=list)

    async def conversations(
        self, users: Collection[str] | None, limit: int
    ) -> list[ConversationSummary]:
        self.queries.append((users, limit))
        return [one for one in self.stored if users is None or one.user_id in users][:limit]

    def services(self, writer: TextModel | None = None) -> ConversationArchive:
        summarizer = Summarizer(writer, lambda: 1_760_000_100.0)
        return ConversationArchive(
            self.conversations, self.recorded.append, summarizer, lambda: 1_760_000_100.0
        )


@dataclass
class Answer:
    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> tuple[int, str]:
        body = self.json
        assert body.keys() == {"error"}
        assert body["error"].keys() == {"code", "message"}
        return self.status, body["error"]["code"]


class Socket:
    """A coach's WebSocket: collects messages, then the close."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                message: dict[str, Any] = await self.socket.receive_json()
                self.messages.append(message)
                if message["type"] == kind:
                    return message

    async def closed(self) -> tuple[int | None, str]:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.socket.receive()
                if message.type is not WSMsgType.TEXT:
                    return self.socket.close_code, message.extra or ""
                self.messages.append(json.loads(message.data))


@dataclass
class RunningApi:
    feeds: HubWithDisk
    assignments: FakeAssignments
    archive: FakeArchive
    http: ClientSession
    port: int

    async def ask(self, path: str, method: str = "GET", **options: Any) -> Answer:
        options.setdefault("headers", header())
        async with self.http.request(method, path, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    @asynccontextmanager
    async def subscribe(
        self, query: str = "", path: str = FEED, **options: Any
    ) -> AsyncIterator[Socket]:
        options.setdefault("headers", header())
        async with self.http.ws_connect(path + query, **options) as socket:
            yield Socket(socket)


@asynccontextmanager
async def running_api(limit: int = MAX_HTTP, **changes: Any) -> AsyncIterator[RunningApi]:
    """An API with at most `limit` connections; `changes` are fields of `ApiServices`."""
    feeds, assignments, archive = HubWithDisk(), FakeAssignments(), FakeArchive()
    given: dict[str, Any] = {"service_key": SERVICE_KEY, "clock": MachineClock(), **changes}
    given.setdefault("archive", archive.services())
    services = ApiServices(
        directory=feeds.directory, hub=feeds.hub, verify=verify, learners=assignments, **given
    )
    running = asyncio.create_task(feeds.hub.run())
    try:
        async with (
            listening(limit=limit, api=services) as server,
            ClientSession(f"http://127.0.0.1:{server.port}") as http,
        ):
            yield RunningApi(feeds, assignments, archive, http, server.port)
            feeds.hub.close()
    finally:
        running.cancel()
        await asyncio.wait({running})
