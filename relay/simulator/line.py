"""One connection of the simulator: frames between a WebSocket and the peer that answers it."""

import asyncio
from collections import deque
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from relay.interfaces import Frame, Peer
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
    ) -> None:
        self._connection = connection
        self._peer = peer
        self._on_frame = on_frame
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
            await self._connection.close(*self._ending)
        except ConnectionClosed:
            self._peer.close(1000, "")

    def _hurry(self) -> None:
        if self._paused:
            self._paused = False
            self._peer.resume()

    async def read(self) -> None:
        """Hand on what the client sends until it hangs up."""
        try:
            async for message in self._connection:
                if isinstance(message, bytes):
                    self.frame(spoken_error(BINARY))
                else:
                    self._hand_on(message.encode())
                    await self._writable.wait()
        except ConnectionClosed:
            pass  # without a close frame, or because of a broken one: gone all the same
        finally:
            self._peer.close(1000, "")

    def _hand_on(self, frame: bytes) -> None:
        if self._on_frame is not None:
            self._on_frame(frame)
        self._peer.send(frame)
