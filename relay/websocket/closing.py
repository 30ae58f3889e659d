"""The way out of one connection: close frames, the grace for an answer, then force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from picows import WSCloseCode, WSMsgType, WSTransport
from picows.picows import WSCloseHandshake

from relay.interfaces import Frame
from relay.realtime.endings import (
    BINARY_REFUSED,
    FRAME_TOO_BIG,
    INTERNAL_ERROR,
    NOT_UTF8,
    PROTOCOL_ERROR,
    Ending,
)
from relay.tasks import report_to_loop

# ---- Which close codes may travel and how a close frame's payload is read and written.

CloseFrame = tuple[int, str]
"""A close code and its reason."""


def _close(ending: Ending) -> CloseFrame:
    return ending.code, ending.reason


BROKEN: Final = _close(PROTOCOL_ERROR)
BAD_TEXT: Final = _close(NOT_UTF8)
TOO_BIG: Final = _close(FRAME_TOO_BIG)
NO_BINARY: Final = _close(BINARY_REFUSED)
FAULT: Final = _close(INTERNAL_ERROR)

LOST: Final[CloseFrame] = (1006, "")
"""What a lost connection is called; never on the wire (RFC 6455 §7.1.5)."""

NO_CODE: Final[CloseFrame] = (1005, "")
"""What a close frame without a code is called; never on the wire (RFC 6455 §7.1.5)."""

NORMAL: Final = 1000

MAX_REASON_BYTES: Final = 123
"""A control frame holds 125 bytes and the code takes two (RFC 6455 §5.5)."""

# RFC 6455 §7.4 and IANA's registry. 1004, 1005, 1006 and 1015 are reserved and never travel.
_REGISTERED = frozenset({NORMAL, 1001, 1002, 1003, *range(1007, 1015)})


class ProtocolViolation(Exception):  # noqa: N818 - it is what the other end did, not a fault of ours
    """The other end broke the protocol; `close` is how it is told."""

    def __init__(self, close: CloseFrame) -> None:
        super().__init__(close)
        self.close = close


def may_travel(code: int) -> bool:
    """True when this code may stand in a close frame."""
    return code in _REGISTERED or 3000 <= code < 5000


def violation(code: int) -> CloseFrame:
    """How a violation that picows found is told: its code, in our words."""
    return {each[0]: each for each in (BAD_TEXT, TOO_BIG)}.get(code, BROKEN)


def reason_bytes(reason: str) -> bytes:
    """The reason as it fits into a close frame, cut between characters."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_REASON_BYTES:
        return encoded
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()


def read_close(payload: bytes) -> CloseFrame:
    """What a close frame says; raises `ProtocolViolation` where it may not say that."""
    if not payload:
        return NO_CODE
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_travel(code):
        raise ProtocolViolation(BROKEN)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(BAD_TEXT) from None


# ---- The bounds and habits of a peer.

MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
"""The largest message a client may send (docs/protocol.md, "Endings": 1009)."""

CLOSE_GRACE: Final = 0.75
"""Seconds between our close frame and force."""

FAIL_GRACE: Final = 0.2
"""The same for one who broke the protocol, whose answer nobody waits for (RFC 6455 §7.1.7): time to
read why. Only then is the other side of its session closed, and together that must be within a
second (docs/architecture.md, "Bounds")."""

WRITE_HIGH: Final = 1024 * 1024
"""Outgoing bytes above which a receiver is told to hold back: 16 s of answer in one burst."""

WRITE_LOW: Final = 256 * 1024
"""Outgoing bytes at which it may go on."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
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
    last_words: Callable[[CloseFrame], Iterable[Frame]] = lambda _: ()


class ClosingHandshake:
    """How one connection ends; `ending` is None while nobody has begun to.

    At most one close frame is sent. From then on the connection lives for its grace, however full
    its buffers are, and the timer that sees to it goes when the connection does.
    """

    __slots__ = ("_options", "_timer", "_transport", "ending", "gone")

    def __init__(self, transport: WSTransport, options: ConnectionOptions) -> None:
        self._transport = transport
        self._options = options
        self._timer: asyncio.TimerHandle | None = None
        self.ending: CloseFrame | None = None
        self.gone = False

    def close(self, ending: CloseFrame) -> None:
        """Say goodbye first; a code that may not travel (1006 and its like) ends it at once."""
        self._begin(ending, self._options.close_grace)
        if may_travel(ending[0]):
            self._say(ending)
        else:
            self.abort()

    def fail(self, ending: CloseFrame) -> None:
        """Say why, and go soon, whatever the other end has to say to that."""
        self._begin(ending, self._options.fail_grace)
        try:
            for frame in self._options.last_words(ending):
                self._transport.send(WSMsgType.TEXT, frame)
        except Exception as fault:  # noqa: BLE001 - whatever it was, the close goes out
            self._options.on_fault(fault)
        self._say(ending)

    def answer(self, payload: bytes) -> None:
        """The other end has said goodbye: say it in kind, or what is wrong with it, and go."""
        try:
            ending = read_close(payload)
        except ProtocolViolation as malformed:
            self.fail(malformed.close)
        else:
            self._begin(ending, self._options.close_grace)
            if ending is NO_CODE:
                self._transport.send(WSMsgType.CLOSE, b"")
            else:
                self._say(ending)
        self.go()

    def break_off(self, code: int) -> None:
        """The core cannot read what came, and is about to close by itself with this code.

        It would do so in its own words and wait for a full buffer without end, so we come first.
        Where what came is a second close right behind the first, the first wants its answer.
        """
        handshake: WSCloseHandshake | None = self._transport.close_handshake
        first = handshake.recv if handshake else None
        if first:
            self.close((cast("int", first.code) or NORMAL, first.reason or ""))
        else:
            self.fail(violation(code))

    def go(self) -> None:
        """Close the socket once everything is written; force comes after the grace."""
        self._transport.disconnect()

    def abort(self) -> None:
        """Drop the connection with all that is unwritten."""
        self._transport.underlying_transport.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self.gone = True
        self.ending = self.ending or LOST
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, ending: CloseFrame, grace: float) -> None:
        self.ending = ending
        self._timer = asyncio.get_running_loop().call_later(grace, self.abort)

    def _say(self, ending: CloseFrame) -> None:
        # picows' stub knows the registered codes only; picows itself takes any number.
        self._transport.send_close(cast("WSCloseCode", ending[0]), reason_bytes(ending[1]))
