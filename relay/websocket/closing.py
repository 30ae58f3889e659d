"""Closes a WebSocket connection: close codes and frames, the closing handshake, its deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from picows import WSCloseCode, WSMsgType, WSTransport
from picows.picows import WSCloseHandshake

from relay.interfaces import Frame
from relay.realtime.endings import FRAME_TOO_BIG, NOT_UTF8, PROTOCOL_ERROR, Ending
from relay.tasks import report_to_loop
from relay.websocket.rates import RateLimits

MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
"""The largest message a client may send (docs/protocol.md, "Endings": 1009)."""

WRITE_HIGH: Final = 1024 * 1024
"""Outgoing bytes above which a receiver is told to stop sending: 16 s of audio in one burst."""

WRITE_LOW: Final = 256 * 1024
"""Outgoing bytes at which it may send again."""

CLOSE_GRACE: Final = 0.75
"""Seconds from our close frame until the connection is aborted."""

FAIL_GRACE: Final = 0.2
"""Seconds until the abort after a protocol violation, when no answer is waited for (RFC 6455
§7.1.7): time for the other end to read the reason. Only then is the other connection of the session
closed, and both must be closed within a second (docs/architecture.md, "Bounds")."""

MAX_REASON_BYTES: Final = 123
"""A control frame holds 125 bytes and the code takes two (RFC 6455 §5.5)."""

NORMAL: Final = 1000

# RFC 6455 §7.4 and IANA's registry. 1004, 1005, 1006 and 1015 are reserved and never sent.
_REGISTERED = frozenset({NORMAL, 1001, 1002, 1003, *range(1007, 1015)})

CloseFrame = tuple[int, str]
"""A close code and its reason."""

NO_STATUS: Final[CloseFrame] = (1005, "")
"""Stands for a close frame without a code; never sent (RFC 6455 §7.1.5)."""

ABNORMAL: Final[CloseFrame] = (1006, "")
"""Stands for a connection lost without a close frame; never sent (RFC 6455 §7.1.5)."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Limits and callbacks of one connection.

    `binary` receives whole binary messages; without it they close the connection with 1003.
    `on_fault` receives what a receiver raised; by default the event loop's exception handler is
    told where it was raised, never what the frame said. `farewell_frames` returns the frames to
    send before a close that the connection itself begins, which no receiver asked for.
    `close_grace` and `fail_grace` are in seconds, `write_high` and `write_low` in bytes. `rate` is
    how fast the other end may send; without it it is not limited.
    """

    max_message_bytes: int = MAX_MESSAGE_BYTES
    close_grace: float = CLOSE_GRACE
    fail_grace: float = FAIL_GRACE
    write_high: int = WRITE_HIGH
    write_low: int = WRITE_LOW
    rate: RateLimits | None = None
    binary: Callable[[Any, Frame], None] | None = None
    on_fault: Callable[[Exception], None] = report_to_loop
    farewell_frames: Callable[[Ending], Iterable[Frame]] = lambda _: ()


class ProtocolViolation(Exception):  # noqa: N818 - an act of the other end, not a fault of ours
    """The other end broke the protocol; `ending` has the code to close with."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending


class ClosingHandshake:
    """The closing of one connection; each of the four ways to begin it is called at most once.

    At most one close frame is sent. From then on the connection lives for its grace period, however
    full its buffers are; a timer then aborts it, and is cancelled when the connection is lost.
    `close_frame` is what the receiver is told, 1006 until the closing begins; `fault` is why this
    end has begun it by itself.
    """

    __slots__ = ("_options", "_timer", "_transport", "close_frame", "fault", "is_lost")

    def __init__(self, transport: WSTransport, options: ConnectionOptions) -> None:
        self._transport = transport
        self._options = options
        self._timer: asyncio.TimerHandle | None = None
        self.close_frame = ABNORMAL
        self.fault: Ending | None = None
        self.is_lost = False

    def close(self, frame: CloseFrame) -> None:
        """Send a close frame; a code that may not be sent, like 1006, aborts at once."""
        self._begin(frame, self._options.close_grace)
        if may_be_sent(frame[0]):
            self._send(frame)
        else:
            self.abort()

    def fail(self, ending: Ending) -> None:
        """Send the farewell frames and a close frame, and do not wait for the answer."""
        self.fault, frame = ending, (ending.code, ending.reason)
        self._begin(frame, self._options.fail_grace)
        try:
            for farewell in self._options.farewell_frames(ending):
                self._transport.send(WSMsgType.TEXT, farewell)
        except Exception as fault:  # noqa: BLE001 - whatever it was, the close frame is sent
            self._options.on_fault(fault)
        self._send(frame)

    def answer(self, payload: bytes) -> None:
        """Answer the other end's close frame in kind, or fail if it is malformed; disconnect."""
        try:
            frame = read_close(payload)
        except ProtocolViolation as violation:
            self.fail(violation.ending)
        else:
            self._begin(frame, self._options.close_grace)
            if frame is NO_STATUS:
                self._transport.send(WSMsgType.CLOSE, b"")
            else:
                self._send(frame)
        self.disconnect()

    def fail_unreadable(self, code: int) -> None:
        """Close before picows does: it cannot parse what came and is about to close with `code`.

        picows would send its own reason and wait without end for a full buffer. Where the
        unreadable bytes are a second close frame right behind the first, the first is answered.
        """
        handshake: WSCloseHandshake | None = self._transport.close_handshake
        first = handshake.recv if handshake else None
        if first:
            self.close((cast("int", first.code) or NORMAL, first.reason or ""))
        else:
            self.fail(ending_of_violation(code))

    def disconnect(self) -> None:
        """Close the socket once everything is written, at the latest after the grace period."""
        self._transport.disconnect()

    def abort(self) -> None:
        """Close the socket at once and discard what is not written."""
        self._transport.underlying_transport.abort()

    def on_lost(self) -> None:
        """Note that the connection is closed and cancel the timer."""
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, frame: CloseFrame, grace: float) -> None:
        self.close_frame = frame
        self._timer = asyncio.get_running_loop().call_later(grace, self.abort)

    def _send(self, frame: CloseFrame) -> None:
        # picows' stub knows the registered codes only; picows itself takes any number.
        self._transport.send_close(cast("WSCloseCode", frame[0]), encode_reason(frame[1]))


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code."""
    return code in _REGISTERED or 3000 <= code < 5000


def ending_of_violation(code: int) -> Ending:
    """The ending for a violation that picows reports with this code."""
    return {each.code: each for each in (NOT_UTF8, FRAME_TOO_BIG)}.get(code, PROTOCOL_ERROR)


def encode_reason(reason: str) -> bytes:
    """The reason as UTF-8, cut between characters to at most `MAX_REASON_BYTES`."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_REASON_BYTES:
        return encoded
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()


def read_close(payload: bytes) -> CloseFrame:
    """Read the payload of a close frame; raises `ProtocolViolation` if it is malformed."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_be_sent(code):
        raise ProtocolViolation(PROTOCOL_ERROR)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(NOT_UTF8) from None
