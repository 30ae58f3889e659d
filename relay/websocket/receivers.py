"""The receiver of a WebSocket connection, and what stands in until one is attached."""

from collections import deque
from collections.abc import Callable
from typing import Final

from relay.interfaces import Frame, Receiver
from relay.websocket.picows_protocol import UNATTENDED_BYTES, UNATTENDED_FRAMES

MAX_PENDING_BYTES: Final = UNATTENDED_BYTES
"""Above this a connection without a receiver stops reading: a second of base64 audio. Whoever is
let in is given a receiver at once. What one read brought is still kept."""

MAX_PENDING_FRAMES: Final = UNATTENDED_FRAMES
"""The same bound in frames: small ones cost memory as objects."""


class ReceiverSlot:
    """The receiver of a connection; until there is one, frames are kept as pending.

    What a receiver raises goes to `on_fault`; `on_full` is called as `PendingFrames` says.
    """

    __slots__ = ("_on_fault", "_pending", "receiver")

    def __init__(self, on_full: Callable[[], None], on_fault: Callable[[Exception], None]) -> None:
        self._pending: PendingFrames | None = PendingFrames(on_full)
        self._on_fault = on_fault
        self.receiver: Receiver = self._pending

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver, pending frames first."""
        self.receiver = receiver
        pending = self._pending
        if pending is not None:
            # A frame may make its receiver discard the rest, or attach another to take it.
            while pending.frames:
                self.deliver(self.receiver.frame, pending.frames.popleft())
            self._pending = None

    @property
    def waiting(self) -> int:
        """Bytes that wait here or, where the receiver says so, in the receiver."""
        here = 0 if self._pending is None else self._pending.size
        return here + int(getattr(self.receiver, "waiting", 0))

    def discard_pending(self) -> None:
        """Drop the frames that are still pending."""
        if self._pending is not None:
            self._pending.frames.clear()
            self._pending.size = 0

    def deliver(self, take: Callable[[Frame], None], frame: Frame) -> None:
        """Call `take` with one message."""
        try:
            take(frame)
        except Exception as fault:  # noqa: BLE001 - a fault ends its own connection only
            self.discard_pending()
            self._on_fault(fault)

    def writable(self, ready: bool) -> None:
        """Tell the receiver whether the outgoing buffer has room."""
        try:
            self.receiver.writable(ready)
        except Exception as fault:  # noqa: BLE001 - a fault ends its own connection only
            self._on_fault(fault)

    def closed(self, code: int, reason: str) -> None:
        """Tell the receiver that the connection is closed."""
        try:
            self.receiver.closed(code, reason)
        except Exception as fault:  # noqa: BLE001 - a fault ends its own connection only
            self._on_fault(fault)


class PendingFrames:
    """The receiver of a connection to which none is attached yet.

    Frames are copied, because their buffer is valid only during the call. `on_full` is called with
    each frame over `MAX_PENDING_BYTES` or `MAX_PENDING_FRAMES`.
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
        if self.size > MAX_PENDING_BYTES or len(self.frames) > MAX_PENDING_FRAMES:
            self._on_full()

    def writable(self, ready: bool) -> None:
        """Ignored: the connection tells the receiver when one is attached."""

    def closed(self, code: int, reason: str) -> None:
        """Ignored: the connection tells the receiver when one is attached."""
