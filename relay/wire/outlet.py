"""Whom a peer pushes to, and what it keeps while that is nobody."""

from collections import deque
from collections.abc import Callable
from typing import Final

from relay.interfaces import Frame, Receiver

MAX_HELD_BYTES: Final = 1024 * 1024
"""Above this the peer stops reading: 16 s of base64 audio, far more than an engine needs to open.
What one read brought is still taken, at most one message of the peer's limit."""

MAX_HELD_FRAMES: Final = 2048
"""The same for small frames: 40 s of audio in 20 ms pieces, bounds what Python's objects cost."""


class Hold:
    """The receiver of a peer to whom nobody is attached yet.

    Frames are copied, because their buffer is valid only during the call. `on_full` is called each
    time a frame comes that is over the bound.
    """

    __slots__ = ("_on_full", "frames", "size")

    def __init__(self, on_full: Callable[[], None]) -> None:
        self.frames: deque[bytes] = deque()
        self.size = 0
        self._on_full = on_full

    def frame(self, frame: Frame) -> None:
        """Keep a copy."""
        self.frames.append(bytes(frame))
        self.size += len(frame)
        if self.size > MAX_HELD_BYTES or len(self.frames) > MAX_HELD_FRAMES:
            self._on_full()

    def writable(self, ready: bool) -> None:
        """Nobody is sending yet; the peer remembers it for the one who attaches."""

    def closed(self, code: int, reason: str) -> None:
        """The peer remembers its ending for the one who attaches."""


class Outlet:
    """A receiver whose faults end with `on_fault`, and a hold until there is one."""

    __slots__ = ("_hold", "_on_fault", "receiver")

    def __init__(self, on_full: Callable[[], None], on_fault: Callable[[Exception], None]) -> None:
        self._hold: Hold | None = Hold(on_full)
        self._on_fault = on_fault
        self.receiver: Receiver = self._hold

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver, what was held first."""
        self.receiver = receiver
        hold = self._hold
        if hold is not None:
            # A frame may make its receiver discard the rest, or attach another to take it.
            while hold.frames:
                self.push(hold.frames.popleft())
            self._hold = None

    def discard(self) -> None:
        """Forget what is still held."""
        if self._hold is not None:
            self._hold.frames.clear()

    def push(self, frame: Frame) -> None:
        """Hand over one message."""
        self.give(self.receiver.frame, frame)

    def give(self, take: Callable[[Frame], None], frame: Frame) -> None:
        """Hand one message to somebody else, with the same care."""
        try:
            take(frame)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self.discard()
            self._on_fault(fault)

    def writable(self, ready: bool) -> None:
        """Tell whether the outgoing buffer has room."""
        try:
            self.receiver.writable(ready)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._on_fault(fault)

    def closed(self, code: int, reason: str) -> None:
        """Tell that the peer is gone."""
        try:
            self.receiver.closed(code, reason)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._on_fault(fault)
