"""A connection without a socket, whose other end is played by the test."""

from relay.interfaces import Frame, Receiver
from relay.realtime.endings import Ending

_LOST = (1006, "")


class FakePeer:
    """A `Connection` for tests; it passes the same conformance suite as the real ones.

    `arrive`, `leave` and `fill` play the far end; `sent` and `close_sent` are what it got.
    """

    def __init__(self, *, answers_close: bool = True) -> None:
        self.sent: list[bytes] = []
        self.close_sent: tuple[int, str] | None = None
        self.paused = False
        self.fault: Ending | None = None
        self.unanswered_pings = 0
        self._answers_close = answers_close
        self._receiver: Receiver | None = None
        self._held: list[bytes] = []
        self._gone: tuple[int, str] | None = None
        self._told = False

    def attach(self, receiver: Receiver) -> None:
        """See `Connection`."""
        self._receiver = receiver
        while self._held and self.close_sent is None:
            receiver.frame(self._held.pop(0))
        self._tell()

    def send(self, frame: Frame) -> None:
        """See `Connection`."""
        if self.close_sent is None and self._gone is None:
            self.sent.append(bytes(frame))

    def pause(self) -> None:
        """See `Connection`."""
        self.paused = True

    def resume(self) -> None:
        """See `Connection`."""
        self.paused = False
        held, self._held = self._held, []
        for frame in held:
            self.arrive(frame)

    def ping(self) -> int:
        """See `Connection`."""
        self.unanswered_pings += 1
        return self.unanswered_pings - 1

    def close(self, code: int, reason: str) -> None:
        """See `Connection`."""
        if self.close_sent is not None or self._gone is not None:
            return
        self.close_sent = (code, reason)
        self._held.clear()
        if self._answers_close:
            self.leave(code, reason)

    def arrive(self, frame: bytes | str) -> None:
        """The far end sends an event."""
        data = frame.encode() if isinstance(frame, str) else frame
        if self.close_sent is not None or self._gone is not None:
            return
        if self._receiver is None or self.paused:
            self._held.append(data)
        else:
            self._receiver.frame(memoryview(data))

    def leave(self, code: int = _LOST[0], reason: str = _LOST[1]) -> None:
        """The far end is gone."""
        if self._gone is None:
            self._gone = self.close_sent or (code, reason)
            self._tell()

    def fill(self, full: bool) -> None:
        """The outgoing buffer rises above its high mark, or is drained."""
        if self._receiver is not None:
            self._receiver.writable(not full)

    def _tell(self) -> None:
        if self._receiver is not None and self._gone is not None and not self._told:
            self._told = True
            self._receiver.closed(*self._gone)
