"""Pauses the reading of one connection, for several reasons at once."""

import asyncio
from asyncio import Transport
from collections.abc import Callable
from typing import Any, Final

_PAUSED: Final = 1
_FULL: Final = 2
_THROTTLED: Final = 4
_BACKLOG: Final = 8
_YIELDED: Final = 16
_WAITING: Final = 32

_UNTIL_CLOSED: Final = _PAUSED | _FULL | _THROTTLED
"""What holds the frames of an open connection back; a closing one is read to its end."""


class ReadPause:
    """Pauses the reading while the receiver wants that, or while too much waits or came too fast.

    A closing connection is always read, or it would not see the answer to its close frame. All
    calls may be repeated, also once the connection is lost.
    """

    __slots__ = ("_is_closing", "_reasons", "_stopped", "_timer", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._reasons = 0
        self._is_closing = False
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """True while frames are held back; not for the rest of one turn of the event loop."""
        return bool(self._reasons & _UNTIL_CLOSED)

    @property
    def holds_back(self) -> bool:
        """True while what was read already is to wait too."""
        return bool(self._reasons & (_PAUSED | _FULL))

    @property
    def is_stopped(self) -> bool:
        """True while nothing is read, for whatever reason."""
        return self._stopped

    def set_paused(self, paused: bool) -> None:
        """Set whether the receiver has paused the connection."""
        self._set(_PAUSED, paused)

    def set_full(self, full: bool) -> None:
        """Set whether too many frames are pending."""
        self._set(_FULL, full)

    def set_backlog(self, waiting: bool) -> None:
        """Set whether frames that were read wait for their turn."""
        self._set(_BACKLOG, waiting)

    def set_waiting(self, waiting: bool) -> None:
        """Set whether the connections that send much have had their part of the time."""
        self._set(_WAITING, waiting)

    def throttle(self, seconds: float) -> None:
        """Read nothing for so long."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closing:
            self._set(_THROTTLED, True)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._set, _THROTTLED, False)

    def yield_turn(self) -> None:
        """Read on in the next turn of the event loop, when others have been read too."""
        if not self._reasons & _YIELDED:
            self._set(_YIELDED, True)
            asyncio.get_running_loop().call_soon(self._set, _YIELDED, False)

    def read_to_end(self) -> None:
        """Ignore every reason but the turns from now on."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reasons &= _YIELDED
        self._apply()

    def _set(self, reason: int, applies: bool) -> None:
        if not applies:
            self._reasons &= ~reason
        elif reason == _YIELDED or not self._is_closing:
            self._reasons |= reason
        self._apply()

    def _apply(self) -> None:
        stop = bool(self._reasons)
        if stop is self._stopped:
            return
        self._stopped = stop
        if stop:
            self._transport.pause_reading()
        else:
            read_decrypted(self._transport)
            self._transport.resume_reading()


def read_decrypted(transport: Any) -> None:
    """Have a TLS transport of aiofastnet 1.2.0 pass on what it holds, before it reads again.

    A pause leaves bytes in the transport's own buffer. When it is resumed, it asks the socket
    first, finds nothing there, and forgets them until the other end sends more.
    """
    rest: Callable[[], None] | None = getattr(transport, "_do_read", None)
    if rest is None:
        return

    def read_rest() -> None:
        if transport.is_closing():
            return
        try:
            rest()
        except Exception:  # noqa: BLE001 - a read that fails ends its connection, as any other does
            transport.abort()

    asyncio.get_running_loop().call_soon(read_rest)
