"""The bounds and habits of a peer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from relay.interfaces import Frame
from relay.wire.closing import Close
from relay.wire.faults import report_to_loop

MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
"""The largest message a client may send (OUTSIDE "Endings", 1009)."""

CLOSE_GRACE: Final = 0.75
"""Seconds between our close frame and force."""

FAIL_GRACE: Final = 0.2
"""The same for one who broke the protocol, whose answer nobody waits for (RFC 6455 §7.1.7): time to
read why. Only then is the other side of its session closed, and together that must be within a
second (OUTSIDE "Endings")."""

WRITE_HIGH: Final = 1024 * 1024
"""Outgoing bytes above which a receiver is told to hold back: 16 s of answer in one burst."""

WRITE_LOW: Final = 256 * 1024
"""Outgoing bytes at which it may go on."""


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """Bounds and habits of a peer.

    `binary` is given whole binary messages; without it they end the connection with 1003.
    `on_fault` is told what a receiver raised; without it the loop's exception handler is told
    where it happened, never what the frame said. `last_words` gives what is sent before a close of
    the wire's own, which no receiver asked for. `close_grace` and `fail_grace` are in seconds.
    """

    max_message_bytes: int = MAX_MESSAGE_BYTES
    close_grace: float = CLOSE_GRACE
    fail_grace: float = FAIL_GRACE
    write_high: int = WRITE_HIGH
    write_low: int = WRITE_LOW
    binary: Callable[[Any, Frame], None] | None = None
    on_fault: Callable[[Exception], None] = report_to_loop
    last_words: Callable[[Close], Iterable[Frame]] = lambda _: ()
