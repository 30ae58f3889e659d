"""What a peer keeps until somebody is attached."""

from collections import deque
from collections.abc import Callable
from typing import Final

from relay.interfaces import Frame

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
