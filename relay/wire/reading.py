"""Whether a connection is read."""

from asyncio import Transport


class Reading:
    """Two reasons not to read, and one to read all the same.

    Not read are a peer that was paused and one whose hold is full. One that is closing is always
    read, or it would not see the answer. All calls may be repeated, also once the connection is
    gone.
    """

    __slots__ = ("_closing", "_full", "_paused", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._full = False
        self._closing = False
        self._paused = False

    @property
    def stopped(self) -> bool:
        """True while nothing is read."""
        return (self._paused or self._full) and not self._closing

    def pause(self, paused: bool) -> None:
        """The receiver wants no more, or wants more again."""
        self._paused = paused
        self._apply()

    def fill(self, full: bool) -> None:
        """The hold is full, or was emptied."""
        self._full = full
        self._apply()

    def close(self) -> None:
        """Read until the end."""
        self._closing = True
        self._apply()

    def _apply(self) -> None:
        if self.stopped:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
