"""One WebSocket connection: picows' listener on one side, a pushed `Receiver` on the other."""

import codecs
from asyncio import Transport
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from relay.interfaces import Frame, Receiver
from relay.realtime.endings import (
    BINARY_REFUSED,
    FRAME_TOO_BIG,
    INTERNAL_ERROR,
    NOT_UTF8,
    PROTOCOL_ERROR,
    Ending,
)
from relay.websocket.closing import ClosingHandshake, ConnectionOptions, ProtocolViolation
from relay.websocket.picows_protocol import remote_address

MAX_PENDING_BYTES: Final = 1024 * 1024
"""Above this a connection without a receiver stops reading: 16 s of base64 audio, far more than an
engine needs to open. What one read brought is still kept, at most one message of the limit."""

MAX_PENDING_FRAMES: Final = 2048
"""The same bound in frames, 40 s of audio in 20 ms pieces: small ones cost memory as objects."""

MAX_PONG_DIGITS: Final = 12
"""Our pings are numbered with no more digits; a longer pong answers none of them."""

# picows hands out these very members, so `is` is enough, at half the price of `==`.
_TEXT = WSMsgType.TEXT
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class WebSocketConnection(WSListener):
    """A `Connection` over one WebSocket, client's or server's side (docs/adr/0002).

    Everything happens on the event loop, in the call that brings it; there is no task and no queue
    but the transport's own. `send` and `attach` may therefore call the receiver back.

    Reading stops while the receiver has paused the connection and while too many frames are
    pending. A connection that does not read cannot see its end: whatever pauses it, or leaves it
    without a receiver, needs a deadline of its own.
    """

    __slots__ = (
        "_assembler",
        "_closing",
        "_closing_handshake",
        "_on_connected",
        "_options",
        "_pings",
        "_plain",
        "_read_pause",
        "_slot",
        "_transport",
        "_writable",
    )

    _transport: WSTransport
    _closing_handshake: ClosingHandshake
    _read_pause: "ReadPause"

    def __init__(
        self,
        options: ConnectionOptions,
        on_connected: "Callable[[WebSocketConnection], None] | None" = None,
    ) -> None:
        self._options = options
        self._on_connected = on_connected
        self._slot = ReceiverSlot(lambda: self._read_pause.set_full(True), self._on_fault)
        self._assembler = MessageAssembler(options.max_message_bytes, options.binary is not None)
        self._pings = PingTracker()
        self._plain = True  # open, and no message is half received: the common case
        self._closing = False  # a close was sent or answered, or the connection is lost
        self._writable = True

    def __repr__(self) -> str:
        """Show side, remote address, state, and how much is buffered."""
        if not hasattr(self, "_closing_handshake"):
            return "<WebSocketConnection connecting>"
        closing = self._closing_handshake
        side = "client" if self._transport.is_client_side else "server"
        state = "lost" if closing.is_lost else "closing" if self._closing else "open"
        words = [side, self.remote, state, f"buffered={self.buffered}"]
        words += ["paused"] * self._read_pause.active + ["full"] * (not self._writable)
        words += [str(closing.close_frame)] if self._closing else []
        return f"<WebSocketConnection {' '.join(words)}>"

    # Called by the session.

    @property
    def remote(self) -> str:
        """The other end's address as `host:port`."""
        return remote_address(self._transport.underlying_transport)

    @property
    def buffered(self) -> int:
        """Outgoing bytes that the kernel has not taken yet."""
        return self._transport.underlying_transport.get_write_buffer_size()

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on; pending frames come first, within this call.

        A receiver attached to a lost connection is told so at once.
        """
        self._slot.attach(receiver)
        self._read_pause.set_full(False)
        if self._slot.receiver is not receiver:
            return  # a pending frame has made it attach another receiver
        if self._closing_handshake.is_lost:
            self._slot.closed(*self._closing_handshake.close_frame)
        elif not self._writable and not self._closing:
            self._slot.writable(False)

    def send(self, frame: Frame) -> None:
        """Queue one text message, UTF-8; never blocks, ignored once closed.

        What cannot be written at once is copied: the caller may reuse the buffer.
        """
        if not self._closing:
            self._transport.send(_TEXT, frame)

    def pause(self) -> None:
        """Stop reading; what is already in the read buffer still comes."""
        self._read_pause.set_paused(True)

    def resume(self) -> None:
        """Read again."""
        self._read_pause.set_paused(False)

    def ping(self) -> int:
        """Send a ping; returns how many earlier pings are unanswered."""
        unanswered = self._pings.unanswered
        if not self._closing:
            self._transport.send_ping(self._pings.next_payload())
        return unanswered

    def close(self, code: int, reason: str = "") -> None:
        """Close once: our close frame, at most `close_grace` seconds for the answer, then abort.

        What comes from now on is ignored, and pending frames are discarded. A code that may not be
        sent (1006 and its like) aborts the connection without a close frame.
        """
        if not self._closing:
            self._slot.discard_pending()
            self._stop()
            self._closing_handshake.close((code, reason))

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is complete."""
        options, underlying = self._options, transport.underlying_transport
        self._transport = transport
        self._closing_handshake = ClosingHandshake(transport, options)
        self._read_pause = ReadPause(underlying)
        underlying.set_write_buffer_limits(options.write_high, options.write_low)
        if self._on_connected is not None:
            on_connected, self._on_connected = self._on_connected, None
            try:
                on_connected(self)
            except Exception as fault:  # noqa: BLE001 - a fault ends its own connection only
                self._on_fault(fault)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame came in; the common case is a whole text message in one frame."""
        if (
            not self._plain
            or frame.msg_type is not _TEXT
            or not frame.fin
            or frame.rsv1
            or frame.rsv2
            or frame.rsv3
        ):
            self._on_uncommon_frame(transport, frame)
            return
        try:
            frame.get_payload_as_utf8_text()
        except UnicodeDecodeError:
            self._fail(NOT_UTF8)
            return
        try:
            self._slot.receiver.frame(frame.get_payload_as_memoryview())
        except Exception as fault:  # noqa: BLE001 - a fault ends its own connection only
            self._on_fault(fault)

    def on_unreadable(self, code: int) -> None:
        """Bytes came that picows cannot parse; it is about to close with this code."""
        if not self._closing:
            self._stop()
            self._closing_handshake.fail_unreadable(code)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is lost, for whatever reason."""
        self._stop()
        self._closing_handshake.on_lost()
        self._slot.closed(*self._closing_handshake.close_frame)

    def pause_writing(self) -> None:
        """The transport's buffer rose above the high mark."""
        self._writable = False
        if not self._closing:
            self._slot.writable(False)

    def resume_writing(self) -> None:
        """The transport's buffer fell to the low mark."""
        self._writable = True
        if not self._closing:
            self._slot.writable(True)

    # Frames off the hot path, and failures.

    def _on_uncommon_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self._closing:
            if kind is _CLOSE:
                self._closing_handshake.disconnect()
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(PROTOCOL_ERROR)
        elif kind is _PING:
            # A flood of pings from an end that does not read must not fill our memory.
            if self._writable:
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._pings.on_pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._stop()
            self._closing_handshake.answer(frame.get_payload_as_bytes())
        else:
            self._on_data_frame(frame)

    def _on_data_frame(self, frame: WSFrame) -> None:
        """A binary frame, or a fragment of a message."""
        try:
            message = self._assembler.take(frame)
        except ProtocolViolation as violation:
            self._fail(violation.ending)
            return
        self._plain = not self._assembler.pending
        if message is not None:
            binary = None if message.is_text else self._options.binary
            take = partial(binary, self) if binary else self._slot.receiver.frame
            self._slot.deliver(take, memoryview(message.data))

    def _on_fault(self, fault: Exception) -> None:
        """A receiver failed."""
        self._fail(INTERNAL_ERROR)
        self._options.on_fault(fault)

    def _fail(self, ending: Ending) -> None:
        if not self._closing:
            self._slot.discard_pending()
            self._stop()
            self._closing_handshake.fail(ending)

    def _stop(self) -> None:
        """From now on nothing is sent or pushed."""
        self._closing = True
        self._plain = False
        self._assembler.clear()
        self._read_pause.read_to_end()


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

    def discard_pending(self) -> None:
        """Drop the frames that are still pending."""
        if self._pending is not None:
            self._pending.frames.clear()

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


class MessageAssembler:
    """Joins the fragments of messages: one message at a time, of at most `limit` bytes."""

    __slots__ = ("_binary", "_limit", "_message")

    def __init__(self, limit: int, binary: bool) -> None:
        self._limit = limit
        self._binary = binary
        self._message: AssembledMessage | None = None

    @property
    def pending(self) -> bool:
        """True while a message is half received."""
        return self._message is not None

    def clear(self) -> None:
        """Drop a half received message."""
        self._message = None

    def take(self, frame: WSFrame) -> "AssembledMessage | None":
        """Take a data frame; returns the message once it is complete.

        Raises `ProtocolViolation` for fragments out of turn, too many bytes, invalid UTF-8, and
        binary messages where `binary` is False.
        """
        message = self._message_of(frame)
        if len(message.data) + frame.payload_size > self._limit:
            raise ProtocolViolation(FRAME_TOO_BIG)
        message.add(frame.get_payload_as_memoryview(), bool(frame.fin))
        self._message = None if frame.fin else message
        return message if frame.fin else None

    def _message_of(self, frame: WSFrame) -> "AssembledMessage":
        """The message that this frame continues or begins."""
        kind = frame.msg_type
        continues = kind is WSMsgType.CONTINUATION
        if continues is (self._message is None):
            raise ProtocolViolation(PROTOCOL_ERROR)
        if self._message is not None:
            return self._message
        if kind is not _TEXT and not self._binary:
            raise ProtocolViolation(BINARY_REFUSED)
        return AssembledMessage(kind is _TEXT)


class AssembledMessage:
    """A message joined from its fragments so far."""

    __slots__ = ("_decoder", "data", "is_text")

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.data = bytearray()
        self._decoder = _utf8_decoder() if is_text else None

    def add(self, fragment: memoryview, last: bool) -> None:
        """Append; raises `ProtocolViolation` as soon as a text can no longer become UTF-8."""
        self.data += fragment
        if self._decoder is not None:
            try:
                self._decoder.decode(fragment, last)
            except UnicodeDecodeError:
                raise ProtocolViolation(NOT_UTF8) from None


class PingTracker:
    """Counts the unanswered pings of one connection, which carry their number as payload."""

    __slots__ = ("_answered", "_sent")

    def __init__(self) -> None:
        self._sent = 0
        self._answered = 0

    @property
    def unanswered(self) -> int:
        """How many pings have had no pong."""
        return self._sent - self._answered

    def next_payload(self) -> bytes:
        """Count one more ping and return its payload."""
        self._sent += 1
        return b"%d" % self._sent

    def on_pong(self, payload: bytes) -> None:
        """A pong answers its ping and all before it (RFC 6455 §5.5.3); others are ignored."""
        if not payload.isdigit() or len(payload) > MAX_PONG_DIGITS:
            return
        number = int(payload)
        if self._answered < number <= self._sent:
            self._answered = number


class ReadPause:
    """Pauses the reading while the receiver wants that, or while too many frames are pending.

    A closing connection is always read, or it would not see the answer to its close frame. All
    calls may be repeated, also once the connection is lost.
    """

    __slots__ = ("_closing", "_full", "_paused", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._full = False
        self._closing = False
        self._paused = False

    @property
    def active(self) -> bool:
        """True while nothing is read."""
        return (self._paused or self._full) and not self._closing

    def set_paused(self, paused: bool) -> None:
        """Set whether the receiver has paused the connection."""
        self._paused = paused
        self._apply()

    def set_full(self, full: bool) -> None:
        """Set whether too many frames are pending."""
        self._full = full
        self._apply()

    def read_to_end(self) -> None:
        """Ignore both reasons from now on."""
        self._closing = True
        self._apply()

    def _apply(self) -> None:
        if self.active:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
