"""Both ends of a call by hand: a provider and a client that do only what a test tells them to."""

import asyncio
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.app import running
from relay.clock import Clock, MachineClock
from tests.scenarios.stage import AGENT, Event, Stage, loaded, token
from tests.websocket.ends import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Raw,
    accept,
    close_payload,
    frame,
    read_frame,
    upgrade,
)

PATIENCE = 30.0
"""Seconds after which a test that waits for something has failed."""

KEY = "sk-the-providers-key-that-nobody-may-see"
CREATED: Event = {
    "type": "session.created",
    "event_id": "event_1",
    "session": {"id": "sess_1", "object": "realtime.session", "type": "realtime"},
}


class End:
    """One end of a WebSocket: notes what comes; answers pings and closes unless told not to.

    `closes` are the close frames that came, `began` when the first of them did and `gone_at` when
    the connection ended, in the loop's seconds. While `reads` is not set nothing is read.
    """

    def __init__(self, raw: Raw, *, masked: bool, target: str = "", head: bytes = b"") -> None:
        self.raw = raw
        self.target = target
        self.head = head
        self.texts: list[bytes] = []
        self.kinds: list[int] = []
        self.closes: list[tuple[int, str]] = []
        self.began: float | None = None
        self.gone_at: float | None = None
        self.gone = asyncio.Event()
        self.pongs = self.answers = True
        self.reads = asyncio.Event()
        self.reads.set()
        self._masked = masked
        self._news = asyncio.Event()

    @property
    def events(self) -> list[Event]:
        """Every event that came so far."""
        return [json.loads(text) for text in self.texts]

    @property
    def types(self) -> list[str]:
        """Their types."""
        return [event["type"] for event in self.events]

    def send(self, *events: Event) -> None:
        """Send events."""
        for event in events:
            self.write(TEXT, json.dumps(event, separators=(",", ":")).encode())

    def write(self, kind: int, payload: bytes = b"", **wrong: Any) -> None:
        """Send one frame, right or wrong."""
        self.raw.write(frame(kind, payload, masked=self._masked, **wrong))

    async def until(self, kind: str, count: int = 1) -> Event:
        """Wait for the `count`th event of this type and return it."""
        async with asyncio.timeout(PATIENCE):
            while self.types.count(kind) < count:
                assert not self.gone.is_set(), f"gone with {self.closes} after {self.types}"
                await self._news.wait()
        return [event for event in self.events if event["type"] == kind][count - 1]

    async def ended(self) -> tuple[int, str]:
        """Wait until the connection is gone; the one close frame that came, 1006 for none."""
        async with asyncio.timeout(PATIENCE):
            await self.gone.wait()
        assert len(self.closes) <= 1, "closed once at most"
        return self.closes[0] if self.closes else (1006, "")

    async def listen(self) -> None:
        """Read until the connection ends."""
        try:
            while True:
                await self.reads.wait()
                self._take(*await read_frame(self.raw.reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone_at = asyncio.get_running_loop().time()
            self.gone.set()
            self._tell()
            self.raw.writer.close()

    def _take(self, kind: int, payload: bytes) -> None:
        self.kinds.append(kind)
        if kind == TEXT:
            self.texts.append(payload)
        elif kind == PING and self.pongs:
            self.write(PONG, payload)
        elif kind == CLOSE:
            self.closes.append((int.from_bytes(payload[:2]), payload[2:].decode()))
            self.began = self.began or asyncio.get_running_loop().time()
            if self.answers:
                self.write(CLOSE, payload)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def say_goodbye(self, code: int, reason: str = "") -> None:
        """Close, as the one who begins."""
        self.write(CLOSE, close_payload(code, reason.encode()))


@dataclass(slots=True)
class Provider:
    """What the relay takes for OpenAI. Change the fields while it runs.

    `refusal` is answered by HTTP instead of an upgrade; `greets` says `session.created`.
    """

    greets: bool = True
    refusal: bytes | None = None
    calls: list[End] = field(default_factory=list)
    base_url: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, sub: str = "ada") -> End:
        """The relay's call for this user, once it has come; the latest."""
        name = hashlib.sha256(sub.encode()).hexdigest().encode()
        async with asyncio.timeout(PATIENCE):
            while not (found := [call for call in self.calls if name in call.head]):
                await self._news.wait()
        return found[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one caller."""
        head = await reader.readuntil(b"\r\n\r\n")
        if self.refusal is not None:
            writer.write(self.refusal)
            writer.close()
            return
        lines = head.decode().split("\r\n")
        key = next(line[19:] for line in lines if line.lower().startswith("sec-websocket-key: "))
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept(key).encode() + b"\r\n\r\n"
        )
        end = End(Raw(reader, writer), masked=False, target=lines[0].split(" ")[1], head=head)
        if self.greets:
            end.send(CREATED)
        self.calls.append(end)
        news, self._news = self._news, asyncio.Event()
        news.set()
        await end.listen()


@asynccontextmanager
async def listening() -> AsyncIterator[Provider]:
    """A provider at its address; every call to it is over when this ends."""
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
        async with asyncio.timeout(PATIENCE):
            for call in provider.calls:
                await call.gone.wait()
    finally:
        server.close()
        for call in provider.calls:
            call.raw.writer.transport.abort()


@asynccontextmanager
async def provided(
    folder: Path, clock: Clock | MachineClock | None = None, **settings: Any
) -> AsyncIterator[tuple[Stage, Provider]]:
    """A relay and the provider behind it, by hand; `settings` are overrides."""
    one = clock if isinstance(clock, MachineClock) else clock and MachineClock(clock, clock)
    async with listening() as provider:
        given = {
            "relay_engine": "openai",
            "openai_api_key": KEY,
            "openai_base_url": provider.base_url,
            **settings,
        }
        async with running(loaded(folder, **given), one) as app:
            yield Stage(app, None, folder), provider


@asynccontextmanager
async def client(
    here: Stage, target: str, receive_buffer: int | None = None, **headers: str
) -> AsyncIterator[End]:
    """A client by hand; a small receive buffer makes the relay's fill soon."""
    raw = await Raw.connect(here.app.listener.port, receive_buffer)
    raw.write(upgrade(here.app.listener.port, target, **headers))
    assert b" 101 " in await raw.read_head()
    end = End(raw, masked=True)
    listening = asyncio.ensure_future(end.listen())
    try:
        yield end
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        raw.writer.transport.abort()


def browser(sub: str = "ada", **query: str) -> str:
    """The S3 door's address for this user."""
    given = {"token": token(sub), "agent_id": AGENT, **query}
    return "/?" + "&".join(f"{name}={value}" for name, value in given.items())


def openai(sub: str = "ada", more: str = "") -> str:
    """The OpenAI door's address for this user."""
    return f"/v1/realtime?token={token(sub)}{more}"


async def spoken(end: End, provider: End, turn: list[Event]) -> list[str]:
    """The provider says all this; what the client sees of it.

    At the browser door the end of an answer waits until it was heard.
    """
    before = len(end.types)
    last = {"type": "rate_limits.updated", "rate_limits": []}
    wanted = Counter(event["type"] for event in (*turn, last))
    seen = Counter(end.types)
    provider.send(*turn, last)
    for kind in {"response.done", "rate_limits.updated"} & wanted.keys():
        await end.until(kind, seen[kind] + wanted[kind])
    return end.types[before:]


async def metric(here: Stage, line: str) -> None:
    """Wait until the metrics say this."""
    async with asyncio.timeout(PATIENCE):
        while line not in (await here.get("/metrics"))[1]:
            await asyncio.sleep(0.005)
