"""One connection of the simulator: frames between a WebSocket and the peer that answers it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from relay.interfaces import Frame, Peer
from relay.simulator.faults.answers import LOST
from relay.simulator.faults.door import SlowReader
from relay.simulator.manners import BINARY, spoken_error

HIGH_BYTES = 1 << 20
"""Bytes waiting for a slow client above which its session is paused."""


class Line:
    """One connection: a `Receiver` for what the voice says, and a reader for what the client does.

    A client that reads slowly makes its voice pause, a voice that is busy makes reading pause.
    """

    def __init__(
        self,
        connection: ServerConnection,
        peer: Peer,
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
