"""The bounds and habits of a peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from relay.interfaces import Frame
from relay.wire.faults import report_to_loop

if TYPE_CHECKING:
    from relay.wire.peer import WirePeer

MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
"""The largest message a client may send (OUTSIDE "Endings", 1009)."""

CLOSE_GRACE: Final = 1.0
"""Seconds between our close frame and force (OUTSIDE "Endings": within a second)."""

WRITE_HIGH: Final = 1024 * 1024
"""Outgoing bytes above which a receiver is told to hold back: 16 s of answer in one burst."""

WRITE_LOW: Final = 256 * 1024
"""Outgoing bytes at which it may go on."""


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """Bounds and habits of a peer.

    `binary` is given whole binary messages; without it they end the connection with 1003.
    `on_fault` is told what a receiver raised; without it the loop's exception handler is told
    where it happened, never what the frame said. `close_grace` is in seconds.
    """

    max_message_bytes: int = MAX_MESSAGE_BYTES
    close_grace: float = CLOSE_GRACE
    write_high: int = WRITE_HIGH
    write_low: int = WRITE_LOW
    binary: Callable[[WirePeer, Frame], None] | None = None
    on_fault: Callable[[Exception], None] = report_to_loop
