"""One WebSocket connection as a `Peer`: picows' listener on one side, a `Receiver` on the other."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSCloseHandshake

from relay.interfaces import Frame, Receiver
from relay.realtime.endings import BINARY_REFUSED, INTERNAL_ERROR
from relay.wire.closing import (
    ABNORMAL,
    BAD_TEXT,
    BROKEN,
    NO_CODE,
    Close,
    Malformed,
    may_travel,
    read_close,
    reason_bytes,
)
from relay.wire.faults import report_to_loop
from relay.wire.fragments import Fragments
from relay.wire.hold import Hold

MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
"""The largest message a client may send (OUTSIDE "Endings", 1009)."""

CLOSE_GRACE: Final = 1.0
"""Seconds between our close frame and force (OUTSIDE: within a second)."""

WRITE_HIGH: Final = 1024 * 1024
"""Outgoing bytes above which a receiver is told to hold back: an answer of 16 s in one burst."""

WRITE_LOW: Final = 256 * 1024
"""Outgoing bytes at which it may go on."""

_BINARY: Final[Close] = (BINARY_REFUSED.code, BINARY_REFUSED.reason)
_FAULT: Final[Close] = (INTERNAL_ERROR.code, INTERNAL_ERROR.reason)

_TEXT = WSMsgType.TEXT
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG


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
    binary: "Callable[[WirePeer, Frame], None] | None" = None
    on_fault: Callable[[Exception], None] = report_to_loop


class WirePeer(WSListener):
    """A `Peer` over one connection, client's or server's side (DESIGN §4.2).

    Everything happens on the event loop, in the call that brings it; there is no task and no queue
    but the transport's own. `send` and `attach` may therefore call the receiver back.

    Reading stops while the receiver has paused the peer and while the hold is full. A peer that
    does not read cannot see its end: whoever pauses it owns a deadline.
    """

    __slots__ = (
        "_closing",
        "_ending",
        "_fragments",
        "_gone",
        "_grace",
        "_hold_full",
        "_on_connected",
        "_options",
        "_paused",
        "_pings",
        "_plain",
        "_pongs",
        "_receiver",
        "_transport",
        "_writable",
    )

    _transport: WSTransport

    def __init__(
        self, options: PeerOptions, on_connected: "Callable[[WirePeer], None] | None" = None
    ) -> None:
        self._options = options
        self._on_connected = on_connected
        self._receiver: Receiver = Hold(self._hold_is_full)
        self._fragments: Fragments | None = None
        self._plain = True  # open, and no message is half here: the common case
        self._closing = False  # a close frame was sent or answered, or the connection is gone
        self._gone = False  # the connection is gone
        self._ending: Close | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._paused = False
        self._hold_full = False
        self._writable = True
        self._pings = 0
        self._pongs = 0

    def __repr__(self) -> str:
        """Read as: side, other end, state, and what waits where."""
        if not hasattr(self, "_transport"):
            return "<WirePeer connecting>"
        side = "client" if self._transport.is_client_side else "server"
        state = "gone" if self._gone else "closing" if self._closing else "open"
        flags = "".join(
            word
            for word, on in (
                (" paused", self._paused),
                (" full", not self._writable),
                (f" {self._ending}", self._ending),
            )
            if on
        )
        return f"<WirePeer {side} {self.remote} {state} buffered={self.buffered}{flags}>"

    # What the session calls.

    @property
    def remote(self) -> str:
        """The other end's address as `host:port`."""
        name = self._transport.underlying_transport.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""

    @property
    def buffered(self) -> int:
        """Outgoing bytes that the kernel has not taken yet."""
        return self._transport.underlying_transport.get_write_buffer_size()

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on; what was held comes first, within this call.

        A receiver that is attached to a peer that is gone is told so at once.
        """
        before = self._receiver
        self._receiver = receiver
        if isinstance(before, Hold):
            self._release(before)
        if self._gone:
            self._tell_closed()
        elif not self._writable and not self._closing:
            self._tell_writable(False)

    def send(self, frame: Frame) -> None:
        """Queue one text message; never blocks, copies what it cannot write, ignored once closed."""
        transport = self._transport
        if self._closing:
            return
        if transport.is_close_frame_sent:
            self._closed_by_picows()
            return
        transport.send(_TEXT, frame)

    def pause(self) -> None:
        """Stop reading; what is already in the read buffer still comes."""
        self._paused = True
        self._regulate()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._regulate()

    def ping(self) -> int:
        """Ask for a sign of life; returns how many earlier pings are still unanswered."""
        unanswered = self._pings - self._pongs
        if self._transport.is_close_frame_sent and not self._closing:
            self._closed_by_picows()
        if not self._closing:
            self._pings += 1
            self._transport.send_ping(b"%d" % self._pings)
        return unanswered

    def close(self, code: int, reason: str = "") -> None:
        """Close once: our close frame, at most `close_grace` seconds for the answer, then force.

        Held and coming frames are ignored from now on, an unattached peer's too. A code that may
        not travel (1006 and its like) ends the connection without a close frame.
        """
        if self._closing:
            return
        self._begin_closing((code, reason))
        if may_travel(code):
            # The stub knows the registered codes only; the core takes any number.
            self._transport.send_close(cast("WSCloseCode", code), reason_bytes(reason))
        else:
            self._abort()

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is over."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(
            self._options.write_high, self._options.write_low
        )
        if self._on_connected is not None:
            on_connected, self._on_connected = self._on_connected, None
            try:
                on_connected(self)
            except Exception as fault:  # noqa: BLE001 - one caller's fault ends one connection
                self._fault(fault)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame came in; the common case is a whole text message, unfragmented."""
        if (
            not self._plain
            or frame.msg_type is not _TEXT
            or not frame.fin
            or frame.rsv1
            or frame.rsv2
            or frame.rsv3
            or transport.is_close_frame_sent
        ):
            self._uncommon(transport, frame)
            return
        try:
            frame.get_payload_as_utf8_text()
        except UnicodeDecodeError:
            self.close(*BAD_TEXT)
            return
        try:
            self._receiver.frame(frame.get_payload_as_memoryview())
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._fault(fault)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, however that came about."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if self._ending is None:
            self._ending = self._ending_by_picows() or ABNORMAL
        self._plain = False
        self._closing = True
        self._gone = True
        self._fragments = None
        self._tell_closed()

    def pause_writing(self) -> None:
        """The transport's buffer rose above the high mark."""
        self._writable = False
        if not self._closing:
            self._tell_writable(False)

    def resume_writing(self) -> None:
        """The transport's buffer fell to the low mark."""
        self._writable = True
        if not self._closing:
            self._tell_writable(True)

    # The less common frames.

    def _uncommon(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self._closing:
            if kind is _CLOSE:
                transport.disconnect()
        elif transport.is_close_frame_sent:
            self._closed_by_picows()
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(*BROKEN)
        elif kind is _PING:
            # A flood of pings from someone who does not read must not fill our memory.
            if self._writable:
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._answer(transport, frame.get_payload_as_bytes())
        else:
            self._piece(frame)

    def _pong(self, payload: bytes) -> None:
        """A pong answers its ping and all before it; unsolicited ones are nobody's answer."""
        if payload.isdigit() and len(payload) < 16:
            number = int(payload)
            if self._pongs < number <= self._pings:
                self._pongs = number

    def _answer(self, transport: WSTransport, payload: bytes) -> None:
        """The other end closes: answer in kind, once, and go."""
        try:
            ending = read_close(payload)
        except Malformed as malformed:
            self.close(*malformed.close)
            return
        self._begin_closing(ending)
        if ending is NO_CODE:
            transport.send(_CLOSE, b"")
        else:
            transport.send_close(cast("WSCloseCode", ending[0]), reason_bytes(ending[1]))
        transport.disconnect()

    def _piece(self, frame: WSFrame) -> None:
        """A binary frame, or a piece of a message."""
        starts = frame.msg_type is not _CONTINUATION
        if starts is (self._fragments is not None):
            self.close(*BROKEN)
            return
        if starts and frame.msg_type is not _TEXT and self._options.binary is None:
            self.close(*_BINARY)
            return
        fragments = self._fragments or Fragments(
            frame.msg_type is _TEXT, self._options.max_message_bytes
        )
        try:
            fragments.add(frame.get_payload_as_memoryview(), bool(frame.fin))
        except Malformed as malformed:
            self.close(*malformed.close)
            return
        self._plain = bool(frame.fin)
        self._fragments = None if frame.fin else fragments
        if frame.fin:
            self._push(fragments)

    def _push(self, whole: Fragments) -> None:
        binary = self._options.binary
        try:
            if whole.text:
                self._receiver.frame(memoryview(whole.message))
            elif binary is not None:
                binary(self, memoryview(whole.message))
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._fault(fault)

    # Holding, reading, ending.

    def _release(self, hold: Hold) -> None:
        """Deliver what was held; a close by the receiver empties the rest of the hold."""
        while hold.frames:
            try:
                self._receiver.frame(hold.frames.popleft())
            except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
                hold.frames.clear()
                self._fault(fault)
        self._hold_full = False
        self._regulate()

    def _hold_is_full(self) -> None:
        self._hold_full = True
        self._regulate()

    def _regulate(self) -> None:
        """Read or not. While closing we always read, or we would not see the answer."""
        if self._gone:
            return
        underlying = self._transport.underlying_transport
        if (self._paused or self._hold_full) and not self._closing:
            underlying.pause_reading()
        else:
            underlying.resume_reading()

    def _begin_closing(self, ending: Close) -> None:
        self._ending = ending
        self._closing = True
        self._plain = False
        self._fragments = None
        self._regulate()
        loop = asyncio.get_running_loop()
        self._grace = loop.call_later(self._options.close_grace, self._abort)

    def _abort(self) -> None:
        self._transport.underlying_transport.abort()

    def _ending_by_picows(self) -> Close | None:
        """The close that the core sent by itself when it could not parse what came."""
        # The stub calls both of these always there.
        handshake: WSCloseHandshake | None = self._transport.close_handshake
        sent = handshake.sent if handshake else None
        return (cast("int", sent.code), "") if sent else None

    def _closed_by_picows(self) -> None:
        """The core sent a close by itself; it would wait for a full buffer for ever, we do not."""
        self._begin_closing(self._ending_by_picows() or ABNORMAL)

    def _fault(self, fault: Exception) -> None:
        self.close(*_FAULT)
        self._options.on_fault(fault)

    def _tell_writable(self, ready: bool) -> None:
        try:
            self._receiver.writable(ready)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._fault(fault)

    def _tell_closed(self) -> None:
        code, reason = self._ending or ABNORMAL
        try:
            self._receiver.closed(code, reason)
        except Exception as fault:  # noqa: BLE001 - the connection is gone already
            self._options.on_fault(fault)
