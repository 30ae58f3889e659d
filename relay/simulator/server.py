"""The simulator: the cascade engine on a WebSocket of its own, in the manner of OpenAI's server.

OpenAI's HTTP API is beside it on the same port.
"""

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
from relay.simulator.beta import BetaVoice
from relay.simulator.faults.plan import NO_FAULTS, Faults, SessionFaults
from relay.simulator.faults.sessions import SlowReader, handshake_response
from relay.simulator.faults.tracking import LOST
from relay.simulator.first_bytes import FirstBytes, websocket_or
from relay.simulator.handshake import (
    BINARY,
    accept_unless_bad,
    check_handshake,
    check_path,
    error_event,
    model_of,
    select_subprotocol,
)
from relay.simulator.http.bodies import MAX_REQUESTS
from relay.simulator.http.server import HttpApi, HttpOptions, SeenRequest

HIGH_BYTES = 1 << 20
"""Bytes waiting for a slow client above which its session is paused."""

MAX_FRAME_BYTES = 16 << 20
"""Largest client frame, as OpenAI has it (PROTOCOL §3)."""

PING_SECONDS = 20.0
"""Seconds between two pings of the server, as recorded (WIRE §3)."""

CLOSE_SECONDS = 1.0
"""Seconds a client may take to answer a close."""

MAX_HEADERS_SEEN = 1000
"""Handshakes whose headers are kept for tests to read."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """The parts of a simulator, which it closes when it stops, and where it listens.

    `models` are those it knows, None for any name. `on_frame` is called with every text frame that
    a client sends, `on_request` with every HTTP request that has a body. `port` 0 takes a free one.
    `accepts_key` decides on a key; by default any is accepted that does not begin with `bad`.
    `faults` count every connection to the Realtime API as a session, refused ones too.
    `max_requests` is how many HTTP requests are carried out at once. `beta` lets its sessions speak
    beta in place of GA.
    """

    parts: Parts
    host: str = "127.0.0.1"
    port: int = 0
    pace: Pace | None = None
    accepts_key: Callable[[str], bool] = accept_unless_bad
    models: frozenset[str] | None = None
    ssl_context: ssl.SSLContext | None = None
    on_frame: Callable[[bytes], None] | None = None
    faults: Faults = NO_FAULTS
    on_request: Callable[[SeenRequest], None] | None = None
    max_requests: int = MAX_REQUESTS
    beta: bool = False


async def simulate(options: SimulatorOptions) -> "Simulator":
    """Start a simulator, for use as an asynchronous context manager."""
    simulator = Simulator(options)
    await simulator.start()
    return simulator


class Simulator:
    """A running simulator.

    `headers` are those of the latest handshakes, oldest first, with lower-case names.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        self.headers: deque[Mapping[str, str]] = deque(maxlen=MAX_HEADERS_SEEN)
        self._options = options
        self._engine = CascadeEngine(options.parts, options.pace)
        self._http = HttpApi(
            HttpOptions(
                parts=options.parts,
                accepts_key=options.accepts_key,
                models=options.models,
                faults=options.faults.of_requests(),
                on_request=options.on_request,
                max_requests=options.max_requests,
            )
        )
        self._undecided: set[FirstBytes] = set()
        self._server: Server | None = None
        self._connections = 0
        self._numbers = itertools.count(1)
        self._faults: WeakKeyDictionary[ServerConnection, SessionFaults] = WeakKeyDictionary()

    @property
    def connections(self) -> int:
        """Return how many sessions are open."""
        return self._connections

    @property
    def requests(self) -> int:
        """Return how many HTTP requests are being carried out."""
        return self._http.requests

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
        await self._http.start()
        self._server = await serve(
            self._serve_client,
            options.host,
            options.port,
            select_subprotocol=select_subprotocol,
            process_request=self._process_request,
            create_connection=websocket_or(self._http.connect, self._undecided),
            compression=None,
            ping_interval=PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MAX_FRAME_BYTES,
            ssl=options.ssl_context,
        )
        self._engine.prepare()  # not before: their processes would outlive a port that is taken

    async def aclose(self) -> None:
        """Close every connection and the parts."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._undecided):
                connection.abort()
            await self._http.aclose()  # the server waits for its connections as well
            await self._server.wait_closed()
        await self._engine.aclose()

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

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        not_found = check_path(connection, request)
        if not_found is not None:
            return not_found
        faults = self._options.faults.of_session(next(self._numbers))
        self._faults[connection] = faults
        if faults.handshake is None:
            return None
        return handshake_response(faults.handshake, connection)

    async def _serve_client(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            return
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        options, faults = self._options, self._faults.pop(connection)
        refusal = check_handshake(request, options.accepts_key, options.models) or faults.refusal
        if refusal is not None:
            await refusal.send(connection)
            return
        self._connections += 1
        try:
            await self._run_session(connection, model_of(request), faults)
        finally:
            self._connections -= 1

    async def _run_session(
        self, connection: ServerConnection, model: str, faults: SessionFaults
    ) -> None:
        engine = self._engine
        rules = engine.machine(faults.opening(engine.opening(model)))
        try:
            voice: Connection = engine.connect(faults.rules(rules, random_ids(unix)))
        except SessionRefused as refused:
            await connection.close(refused.ending.code, refused.ending.reason)
            return
        if self._options.beta:
            voice = BetaVoice(voice)
        pump = ConnectionPump(connection, voice, self._options.on_frame, faults.slow_reader)
        voice.attach(pump)
        async with asyncio.TaskGroup() as directions:
            directions.create_task(pump.write(), name="simulator write")
            directions.create_task(pump.read(), name="simulator read")


class ConnectionPump:
    """Moves frames between one client and the voice that answers it; the voice's `Receiver`.

    A client that reads slowly pauses its voice, a busy voice pauses the reading.
    """

    def __init__(
        self,
        socket: ServerConnection,
        voice: Connection,
        on_frame: Callable[[bytes], None] | None,
        slow_reader: SlowReader | None = None,
    ) -> None:
        self._socket = socket
        self._voice = voice
        self._on_frame = on_frame
        self._slow_reader = slow_reader
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._close_frame: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def frame(self, frame: Frame) -> None:
        """Queue one event for the client."""
        self._frames.append(bytes(frame))
        self._waiting_bytes += len(frame)
        self._wake.set()
        if self._waiting_bytes > HIGH_BYTES and not self._paused:
            self._paused = True
            self._voice.pause()

    def writable(self, ready: bool) -> None:
        """Resume or pause reading as the voice takes more or not."""
        if ready:
            self._writable.set()
        else:
            self._writable.clear()

    def closed(self, code: int, reason: str) -> None:
        """Take the close of the voice, to be sent after the queued frames."""
        self._close_frame = (code, reason)
        self._writable.set()
        self._wake.set()

    async def write(self) -> None:
        """Send what is queued until either side closes."""
        try:
            while self._frames or self._close_frame is None:
                await self._wake.wait()
                self._wake.clear()
                while self._frames:
                    frame = self._frames.popleft()
                    self._waiting_bytes -= len(frame)
                    await self._socket.send(frame, text=True)
                self._resume()
            await self._close(*self._close_frame)
        except ConnectionClosed:
            self._voice.close(1000, "")

    async def _close(self, code: int, reason: str) -> None:
        if code == LOST:
            self._socket.transport.abort()  # without a close frame
        else:
            await self._socket.close(code, reason)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._voice.resume()

    async def read(self) -> None:
        """Forward what the client sends until it closes."""
        try:
            await self._stop_reading(0)
            count = 0
            async for message in self._socket:
                count += 1
                if isinstance(message, bytes):
                    self.frame(error_event(BINARY))
                else:
                    self._forward(message.encode())
                    await self._writable.wait()
                await self._stop_reading(count)
        except ConnectionClosed:
            pass  # also without a close frame, or after a broken one
        finally:
            self._voice.close(1000, "")

    async def _stop_reading(self, count: int) -> None:
        """Stop reading for a while where a fault says so after this many events."""
        if self._slow_reader is None or self._slow_reader.after_events != count:
            return
        transport = self._socket.transport
        transport.pause_reading()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._socket.wait_closed(), self._slow_reader.seconds)
        transport.resume_reading()

    def _forward(self, frame: bytes) -> None:
        if self._on_frame is not None:
            self._on_frame(frame)
        self._voice.send(frame)
