"""The offline twin of the OpenAI Realtime API: any `Parts` behind a WebSocket of its own."""

import asyncio
import contextlib
import itertools
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from relay.engines.cascade.effects import random_ids, unix
from relay.engines.cascade.engine import CascadeEngine
from relay.engines.cascade.outputs import Pace
from relay.interfaces import Connection, Frame
from relay.parts.interfaces import Parts
from relay.realtime.endings import SessionRefused
from relay.simulator.faults.answers import LOST
from relay.simulator.faults.plan import NO_FAULTS, Faults, SessionFaults
from relay.simulator.faults.sessions import SlowReader, answer
from relay.simulator.handshake import (
    BINARY,
    any_but_bad,
    find,
    judge,
    model_of,
    select,
    spoken_error,
)

# ---- One connection of the simulator: frames between a WebSocket and the peer that answers it.

HIGH_BYTES = 1 << 20
"""Bytes waiting for a slow client above which its session is paused."""


class ConnectionPump:
    """One connection: a `Receiver` for what the voice says, and a reader for what the client does.

    A client that reads slowly makes its voice pause, a voice that is busy makes reading pause.
    """

    def __init__(
        self,
        connection: ServerConnection,
        peer: Connection,
        on_frame: Callable[[bytes], None] | None,
        nap: SlowReader | None = None,
    ) -> None:
        self._connection = connection
        self._peer = peer
        self._on_frame = on_frame
        self._nap = nap
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._ending: tuple[int, str] | None = None
        self._something = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def frame(self, frame: Frame) -> None:
        """Queue one event for the client."""
        self._frames.append(bytes(frame))
        self._waiting_bytes += len(frame)
        self._something.set()
        if self._waiting_bytes > HIGH_BYTES and not self._paused:
            self._paused = True
            self._peer.pause()

    def writable(self, ready: bool) -> None:
        """Note whether the voice takes more."""
        if ready:
            self._writable.set()
        else:
            self._writable.clear()

    def closed(self, code: int, reason: str) -> None:
        """Note that the voice has hung up."""
        self._ending = (code, reason)
        self._writable.set()
        self._something.set()

    async def write(self) -> None:
        """Send what is queued until either side hangs up."""
        try:
            while self._frames or self._ending is None:
                await self._something.wait()
                self._something.clear()
                while self._frames:
                    frame = self._frames.popleft()
                    self._waiting_bytes -= len(frame)
                    await self._connection.send(frame, text=True)
                self._hurry()
            await self._hang_up(*self._ending)
        except ConnectionClosed:
            self._peer.close(1000, "")

    async def _hang_up(self, code: int, reason: str) -> None:
        if code == LOST:
            self._connection.transport.abort()  # no close frame: the client finds out by itself
        else:
            await self._connection.close(code, reason)

    def _hurry(self) -> None:
        if self._paused:
            self._paused = False
            self._peer.resume()

    async def read(self) -> None:
        """Hand on what the client sends until it hangs up."""
        try:
            await self._rest(0)
            count = 0
            async for message in self._connection:
                count += 1
                if isinstance(message, bytes):
                    self.frame(spoken_error(BINARY))
                else:
                    self._hand_on(message.encode())
                    await self._writable.wait()
                await self._rest(count)
        except ConnectionClosed:
            pass  # without a close frame, or because of a broken one: gone all the same
        finally:
            self._peer.close(1000, "")

    async def _rest(self, count: int) -> None:
        """Read nothing for a while, when the script says so after so many events."""
        if self._nap is None or self._nap.after_events != count:
            return
        transport = self._connection.transport
        transport.pause_reading()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connection.wait_closed(), self._nap.seconds)
        transport.resume_reading()

    def _hand_on(self, frame: bytes) -> None:
        if self._on_frame is not None:
            self._on_frame(frame)
        self._peer.send(frame)


MAX_FRAME_BYTES = 16 << 20
"""Largest client frame, as OpenAI has it (PROTOCOL §3)."""

PING_SECONDS = 20.0
"""The server's ping, as recorded (WIRE §3)."""

CLOSE_SECONDS = 1.0
"""How long a client may take to answer a close."""

MAX_HEADERS_SEEN = 1000
"""Handshakes whose headers are remembered for the tests."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """What the twin is made of and where it listens; it lets go of the parts when it stops.

    `models` are those it knows, None for any name. `on_frame` is given every text frame that a
    client sends. `port` 0 takes a free one. Any key is accepted that does not begin with `bad`,
    unless `accepts_key` says otherwise. `faults` go wrong on purpose; they count every connection
    to the Realtime API as a session, also those that are turned away.
    """

    parts: Parts
    host: str = "127.0.0.1"
    port: int = 0
    pace: Pace | None = None
    accepts_key: Callable[[str], bool] = any_but_bad
    models: frozenset[str] | None = None
    ssl_context: ssl.SSLContext | None = None
    on_frame: Callable[[bytes], None] | None = None
    faults: Faults = NO_FAULTS


async def simulate(options: SimulatorOptions) -> "Simulator":
    """Start the twin, for use as an asynchronous context manager."""
    simulator = Simulator(options)
    await simulator.start()
    return simulator


class Simulator:
    """A running twin.

    `headers` are those of the handshakes so far, lower-case names, the latest last.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        self.headers: deque[Mapping[str, str]] = deque(maxlen=MAX_HEADERS_SEEN)
        self._options = options
        self._voice = CascadeEngine(options.parts, options.pace)
        self._server: Server | None = None
        self._connections = 0
        self._numbers = itertools.count(1)
        self._faults: WeakKeyDictionary[ServerConnection, SessionFaults] = WeakKeyDictionary()

    @property
    def connections(self) -> int:
        """Return how many sessions are open."""
        return self._connections

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        if self._server is None:
            raise RuntimeError("the simulator is not running")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """Return the address of the Realtime API, without a model."""
        scheme = "wss" if self._options.ssl_context else "ws"
        return f"{scheme}://{self._options.host}:{self.port}/v1/realtime"

    @property
    def base_url(self) -> str:
        """Return what an OpenAI client takes as its `base_url`."""
        return self.url.replace("ws", "http", 1).removesuffix("/realtime")

    async def start(self) -> None:
        """Listen."""
        options = self._options
        self._server = await serve(
            self._talk,
            options.host,
            options.port,
            select_subprotocol=select,
            process_request=self._receive,
            compression=None,
            ping_interval=PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MAX_FRAME_BYTES,
            ssl=options.ssl_context,
        )

    async def aclose(self) -> None:
        """Close every connection and let go of the parts."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await self._voice.aclose()

    async def __aenter__(self) -> Self:
        """Return itself, listening."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.aclose()

    def _receive(self, connection: ServerConnection, request: Request) -> Response | None:
        elsewhere = find(connection, request)
        if elsewhere is not None:
            return elsewhere
        faults = self._options.faults.of_session(next(self._numbers))
        self._faults[connection] = faults
        return None if faults.handshake is None else answer(faults.handshake, connection)

    async def _talk(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            return
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        options, faults = self._options, self._faults.pop(connection)
        turned_away = judge(request, options.accepts_key, options.models) or faults.turned_away
        if turned_away is not None:
            await turned_away.tell(connection)
            return
        self._connections += 1
        try:
            await self._hold(connection, model_of(request), faults)
        finally:
            self._connections -= 1

    async def _hold(self, connection: ServerConnection, model: str, faults: SessionFaults) -> None:
        voice = self._voice
        rules = voice.machine(faults.opening(voice.opening(model)))
        try:
            peer = voice.connect(faults.rules(rules, random_ids(unix)))
        except SessionRefused as refused:
            await connection.close(refused.ending.code, refused.ending.reason)
            return
        line = ConnectionPump(connection, peer, self._options.on_frame, faults.nap)
        peer.attach(line)
        async with asyncio.TaskGroup() as both_ways:
            both_ways.create_task(line.write(), name="simulator write")
            both_ways.create_task(line.read(), name="simulator read")
