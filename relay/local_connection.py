"""Connections whose both ends are code in this process, for doors that bring no socket."""

import asyncio
from collections import deque
from typing import Final

from relay.interfaces import Frame, Receiver
from relay.realtime.endings import INTERNAL_ERROR, Ending
from relay.tasks import report_to_loop

HIGH_BYTES: Final = 1024 * 1024
"""Above this an end is told not to send (`Receiver.writable`); below half of it, to go on."""
HIGH_FRAMES: Final = 2048
"""The same bound in frames: small ones cost more memory as Python objects than as bytes."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""A sender that does not mind `writable` is closed here: above what one message may add."""


class LocalConnection:
    """One end of a pair: a `Connection` whose frames arrive at the other end, in order.

    Frames and endings are pushed by the event loop's next turn, never from within `send` or
    `close`. What waits while the other end is paused, or nothing is attached to it, is bounded.
    """

    def __init__(self) -> None:
        self.fault: Ending | None = None
        self._far = self
        self._receiver: Receiver | None = None
        self._incoming: deque[bytes] = deque()
        self._incoming_bytes = 0
        self._paused = False
        self._writable = True
        self._ending: tuple[int, str] | None = None
        self._told = False
        self._turn: asyncio.Handle | None = None

    @classmethod
    def pair(cls) -> "tuple[LocalConnection, LocalConnection]":
        """Both ends of a new connection."""
        near, far = cls(), cls()
        near.connect(far)
        far.connect(near)
        return near, far

    def connect(self, far: "LocalConnection") -> None:
        """Name the other end, once."""
        self._far = far

    def attach(self, receiver: Receiver) -> None:
        """Push everything to this receiver from now on."""
        self._receiver = receiver
        if not self._writable and self._ending is None:
            receiver.writable(False)
        self._soon()

    def send(self, frame: Frame) -> None:
        """Queue one event for the other end."""
        if self._ending is None:
            self._far.deliver(bytes(frame))

    def pause(self) -> None:
        """Stop pushing frames."""
        self._paused = True

    def resume(self) -> None:
        """Push frames again."""
        self._paused = False
        self._soon()

    def ping(self) -> int:
        """Return 0: what lives in this process answers."""
        return 0

    def close(self, code: int, reason: str) -> None:
        """Close both ends; what has not been pushed to this one is dropped."""
        self._paused = False
        self._incoming.clear()
        self._incoming_bytes = 0
        if self._ending is None:
            self._ending = (code, reason)
            self._far.hang_up(code, reason)
        self._soon()

    def hang_up(self, code: int, reason: str) -> None:
        """For the other end: it has closed; push what it sent before, then that."""
        if self._ending is None:
            self._ending = (code, reason)
            self._soon()

    def deliver(self, frame: bytes) -> None:
        """For the other end: queue a frame to be pushed here."""
        if self._ending is not None:
            return
        self._incoming.append(frame)
        self._incoming_bytes += len(frame)
        if self._incoming_bytes > MAX_BYTES:
            self._fail()
        elif self._incoming_bytes > HIGH_BYTES or len(self._incoming) > HIGH_FRAMES:
            self._far.set_writable(False)
        self._soon()

    def _fail(self) -> None:
        if self._ending is None:
            self.fault = INTERNAL_ERROR
        self.close(INTERNAL_ERROR.code, INTERNAL_ERROR.reason)

    def set_writable(self, ready: bool) -> None:
        """For the other end: whether it has room for more frames."""
        if ready != self._writable:
            self._writable = ready
            if self._receiver is not None and self._ending is None:
                self._receiver.writable(ready)

    def _soon(self) -> None:
        if self._turn is None and self._receiver is not None and not self._told:
            self._turn = asyncio.get_running_loop().call_soon(self._push)

    def _push(self) -> None:
        self._turn = None
        while self._incoming and self._receiver is not None and not self._paused:
            frame = self._incoming.popleft()
            self._incoming_bytes -= len(frame)
            try:
                self._receiver.frame(frame)
            except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
                report_to_loop(fault)
                self._fail()
        if self._incoming_bytes <= HIGH_BYTES // 2 and len(self._incoming) <= HIGH_FRAMES // 2:
            self._far.set_writable(True)
        if self._ending is None or self._incoming or self._paused or self._told:
            return
        if self._receiver is not None:
            self._told = True
            self._receiver.closed(*self._ending)
