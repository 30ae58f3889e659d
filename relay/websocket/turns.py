"""Shares the event loop among connections: so many frames of one are handled in a turn of it."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from picows import WSFrame

from relay.websocket.busy import BusyConnections
from relay.websocket.reading import ReadPause

FRAMES_PER_TURN: Final = 32
"""Frames of one connection that are granted at once, and that a turn handles of those held. At most
twice as many meet in one turn: three milliseconds of the dearest, which are refused and answered.
"""


class HeldFrame:
    """A copy of a frame whose turn is later; picows' own is valid only during its call."""

    __slots__ = ("_payload", "fin", "msg_type", "payload_size", "rsv1", "rsv2", "rsv3")

    def __init__(self, frame: WSFrame) -> None:
        self.msg_type = frame.msg_type
        self.fin = frame.fin
        self.rsv1 = frame.rsv1
        self.rsv2 = frame.rsv2
        self.rsv3 = frame.rsv3
        self.payload_size = frame.payload_size
        self._payload = frame.get_payload_as_bytes()

    def get_payload_as_bytes(self) -> bytes:
        """The payload."""
        return self._payload

    def get_payload_as_utf8_text(self) -> str:
        """The payload as a string; raises UnicodeDecodeError."""
        return self._payload.decode()

    def get_payload_as_memoryview(self) -> memoryview:
        """The payload."""
        return memoryview(self._payload)


class FrameTurns:
    """Holds the frames of one connection that are too many for a turn of the event loop.

    Reading is paused while some are held. They are given to `handle` in order, in later turns, when
    `busy` has time for them, and not while the connection's receiver has paused it.
    """

    __slots__ = ("_busy", "_handle", "_is_counting", "_is_queued", "_reading", "held", "size")

    def __init__(
        self, handle: Callable[[HeldFrame], None], reading: ReadPause, busy: BusyConnections
    ) -> None:
        self._handle = handle
        self._reading = reading
        self._busy = busy
        self._is_counting = False
        self._is_queued = False
        self.held: deque[HeldFrame] = deque()
        self.size = 0

    def begin(self) -> bool:
        """Begin to count a turn; False where one is counted, or frames are held."""
        if self._is_counting or self.held:
            return False
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def hold(self, frame: WSFrame) -> None:
        """Keep a copy for a later turn."""
        self._queue()
        self.held.append(HeldFrame(frame))
        self.size += frame.payload_size
        self._reading.set_backlog(True)

    def proceed(self) -> None:
        """Handle what is held, from the next turn on: the receiver may have resumed."""
        if self.held:
            self._queue()

    def clear(self) -> list[HeldFrame]:
        """Drop what is held, and return it."""
        dropped = list(self.held)
        self.held.clear()
        self.size = 0
        self._reading.set_backlog(False)
        return dropped

    def _end_turn(self) -> None:
        self._is_counting = False

    def _queue(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._busy.handle(self._handle_some)

    def _handle_some(self) -> None:
        self._is_queued = False
        share = FRAMES_PER_TURN
        while self.held and share and not self._reading.holds_back:
            share -= 1
            frame = self.held.popleft()
            self.size -= frame.payload_size
            self._handle(frame)
        if not self.held:
            self._reading.set_backlog(False)
        elif not self._reading.holds_back:
            self._queue()
