"""One WebSocket connection as a `Peer`: picows' listener on one side, a `Receiver` on the other."""

import codecs
from asyncio import Transport
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from relay.interfaces import Frame, Receiver
from relay.websocket.closing import (
    BAD_TEXT,
    BROKEN,
    FAULT,
    LOST,
    NO_BINARY,
    TOO_BIG,
    CloseFrame,
    ClosingHandshake,
    ConnectionOptions,
    ProtocolViolation,
)
from relay.websocket.picows_protocol import address_of

# ---- Joins the pieces of messages, within the message limit.

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class AssembledMessage:
    """One message, half here or whole."""

    __slots__ = ("_decoder", "data", "is_text")

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.data = bytearray()
        self._decoder = _utf8_decoder() if is_text else None

    def add(self, piece: memoryview, last: bool) -> None:
        """Take a piece; raises `ProtocolViolation` as soon as a text can no longer become UTF-8."""
        self.data += piece
        if self._decoder is not None:
            try:
                self._decoder.decode(piece, last)
            except UnicodeDecodeError:
                raise ProtocolViolation(BAD_TEXT) from None


class MessageAssembler:
    """What is half here of one connection's messages: at most one, and at most `limit` bytes."""

    __slots__ = ("_binary", "_limit", "_message")

    def __init__(self, limit: int, binary: bool) -> None:
        self._limit = limit
        self._binary = binary
        self._message: AssembledMessage | None = None

    @property
    def pending(self) -> bool:
        """True while a message is half here."""
        return self._message is not None

    def clear(self) -> None:
        """Let go of what is half here."""
        self._message = None

    def take(self, frame: WSFrame) -> AssembledMessage | None:
        """Take a data frame; returns the message once it is whole.

        Raises `ProtocolViolation` for pieces out of turn, too many of them, bad UTF-8, and binary
        messages where none are wanted.
        """
        message = self._begun(frame)
        if len(message.data) + frame.payload_size > self._limit:
            raise ProtocolViolation(TOO_BIG)
        message.add(frame.get_payload_as_memoryview(), bool(frame.fin))
        self._message = None if frame.fin else message
        return message if frame.fin else None

    def _begun(self, frame: WSFrame) -> AssembledMessage:
        """The message that this frame goes on with, or begins."""
        kind = frame.msg_type
        goes_on = kind is WSMsgType.CONTINUATION
        if goes_on is (self._message is None):
            raise ProtocolViolation(BROKEN)
        if self._message is not None:
            return self._message
        if kind is not WSMsgType.TEXT and not self._binary:
            raise ProtocolViolation(NO_BINARY)
        return AssembledMessage(kind is WSMsgType.TEXT)


# ---- Counts pings and the pongs that answer them.

_MAX_DIGITS: Final = 12
"""A number of ours has no more; whatever is longer is nobody's answer."""


class PingTracker:
    """The pings of one connection, numbered in their payload."""

    __slots__ = ("_answered", "_sent")

    def __init__(self) -> None:
        self._sent = 0
        self._answered = 0

    @property
    def unanswered(self) -> int:
        """How many pings wait for their pong."""
        return self._sent - self._answered

    def beat(self) -> bytes:
        """The payload of one more ping."""
        self._sent += 1
        return b"%d" % self._sent

    def pong(self, payload: bytes) -> None:
        """A pong answers its ping and all before it (RFC 6455 §5.5.3); others answer nothing."""
        if not payload.isdigit() or len(payload) > _MAX_DIGITS:
            return
        number = int(payload)
        if self._answered < number <= self._sent:
            self._answered = number


# ---- Whom a peer pushes to, and what it keeps while that is nobody.

MAX_HELD_BYTES: Final = 1024 * 1024
"""Above this the peer stops reading: 16 s of base64 audio, far more than an engine needs to open.
What one read brought is still taken, at most one message of the peer's limit."""

MAX_HELD_FRAMES: Final = 2048
"""The same for small frames: 40 s of audio in 20 ms pieces, bounds what Python's objects cost."""


class PendingFrames:
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


class ReceiverSlot:
    """A receiver whose faults end with `on_fault`, and a hold until there is one."""

    __slots__ = ("_hold", "_on_fault", "receiver")

    def __init__(self, on_full: Callable[[], None], on_fault: Callable[[Exception], None]) -> None:
        self._hold: PendingFrames | None = PendingFrames(on_full)
        self._on_fault = on_fault
        self.receiver: Receiver = self._hold

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver, what was held first."""
        self.receiver = receiver
        hold = self._hold
        if hold is not None:
            # A frame may make its receiver discard the rest, or attach another to take it.
            while hold.frames:
                self.push(hold.frames.popleft())
            self._hold = None

    def discard(self) -> None:
        """Forget what is still held."""
        if self._hold is not None:
            self._hold.frames.clear()

    def push(self, frame: Frame) -> None:
        """Hand over one message."""
        self.give(self.receiver.frame, frame)

    def give(self, take: Callable[[Frame], None], frame: Frame) -> None:
        """Hand one message to somebody else, with the same care."""
        try:
            take(frame)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self.discard()
            self._on_fault(fault)

    def writable(self, ready: bool) -> None:
        """Tell whether the outgoing buffer has room."""
        try:
            self.receiver.writable(ready)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._on_fault(fault)

    def closed(self, code: int, reason: str) -> None:
        """Tell that the peer is gone."""
        try:
            self.receiver.closed(code, reason)
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._on_fault(fault)


# ---- Whether a connection is read.


class ReadPause:
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


# picows hands out these very members, so `is` is enough, at half the price of `==`.
_TEXT = WSMsgType.TEXT
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG


class WebSocketConnection(WSListener):
    """A `Peer` over one connection, client's or server's side (docs/adr/0002).

    Everything happens on the event loop, in the call that brings it; there is no task and no queue
    but the transport's own. `send` and `attach` may therefore call the receiver back.

    Reading stops while the receiver has paused the peer and while the hold is full. A peer that
    does not read cannot see its end: whoever pauses it, or leaves it unattached, owns a deadline.
    """

    __slots__ = (
        "_assembly",
        "_closing",
        "_exit",
        "_on_connected",
        "_options",
        "_outlet",
        "_plain",
        "_pulse",
        "_reading",
        "_transport",
        "_writable",
    )

    _transport: WSTransport
    _exit: ClosingHandshake
    _reading: ReadPause

    def __init__(
        self,
        options: ConnectionOptions,
        on_connected: "Callable[[WebSocketConnection], None] | None" = None,
    ) -> None:
        self._options = options
        self._on_connected = on_connected
        self._outlet = ReceiverSlot(lambda: self._reading.fill(True), self._fault)
        self._assembly = MessageAssembler(options.max_message_bytes, options.binary is not None)
        self._pulse = PingTracker()
        self._plain = True  # open, and no message is half here: the common case
        self._closing = False  # a close was sent or answered, or the connection is gone
        self._writable = True

    def __repr__(self) -> str:
        """Read as: side, other end, state, and what waits where."""
        if not hasattr(self, "_exit"):
            return "<WirePeer connecting>"
        side = "client" if self._transport.is_client_side else "server"
        state = "gone" if self._exit.gone else "closing" if self._closing else "open"
        words = [side, self.remote, state, f"buffered={self.buffered}"]
        words += ["paused"] * self._reading.stopped + ["full"] * (not self._writable)
        words += [str(self._exit.ending)] if self._closing else []
        return f"<WirePeer {' '.join(words)}>"

    # What the session calls.

    @property
    def remote(self) -> str:
        """The other end's address as `host:port`."""
        return address_of(self._transport.underlying_transport)

    @property
    def buffered(self) -> int:
        """Outgoing bytes that the kernel has not taken yet."""
        return self._transport.underlying_transport.get_write_buffer_size()

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on; what was held comes first, within this call.

        A receiver that is attached to a peer that is gone is told so at once.
        """
        self._outlet.attach(receiver)
        self._reading.fill(False)
        if self._outlet.receiver is not receiver:
            return  # it has passed the peer on already
        if self._exit.gone:
            self._outlet.closed(*(self._exit.ending or LOST))
        elif not self._writable and not self._closing:
            self._outlet.writable(False)

    def send(self, frame: Frame) -> None:
        """Queue one text message, UTF-8; never blocks, ignored once closed.

        What cannot be written at once is copied: the caller may reuse the buffer.
        """
        if not self._closing:
            self._transport.send(_TEXT, frame)

    def pause(self) -> None:
        """Stop reading; what is already in the read buffer still comes."""
        self._reading.pause(True)

    def resume(self) -> None:
        """Read again."""
        self._reading.pause(False)

    def ping(self) -> int:
        """Ask for a sign of life; returns how many earlier pings are still unanswered."""
        unanswered = self._pulse.unanswered
        if not self._closing:
            self._transport.send_ping(self._pulse.beat())
        return unanswered

    def close(self, code: int, reason: str = "") -> None:
        """Close once: our close frame, at most `close_grace` seconds for the answer, then force.

        What comes from now on is ignored, as is what is still held. A code that may not travel
        (1006 and its like) ends the connection without a close frame.
        """
        if not self._closing:
            self._outlet.discard()
            self._stop()
            self._exit.close((code, reason))

    def _fail(self, ending: CloseFrame) -> None:
        """The other end broke the protocol, or a receiver of ours failed."""
        if not self._closing:
            self._outlet.discard()
            self._stop()
            self._exit.fail(ending)

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is over."""
        options, underlying = self._options, transport.underlying_transport
        self._transport = transport
        self._exit = ClosingHandshake(transport, options)
        self._reading = ReadPause(underlying)
        underlying.set_write_buffer_limits(options.write_high, options.write_low)
        if self._on_connected is not None:
            on_connected, self._on_connected = self._on_connected, None
            try:
                on_connected(self)
            except Exception as fault:  # noqa: BLE001 - one caller's fault ends one connection
                self._fault(fault)

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
            self._uncommon(transport, frame)
            return
        try:
            frame.get_payload_as_utf8_text()
        except UnicodeDecodeError:
            self._fail(BAD_TEXT)
            return
        try:
            self._outlet.receiver.frame(frame.get_payload_as_memoryview())
        except Exception as fault:  # noqa: BLE001 - one receiver's fault ends one connection
            self._fault(fault)

    def on_broken(self, code: int) -> None:
        """The core cannot read what came, and is about to close with this code."""
        if not self._closing:
            self._stop()
            self._exit.break_off(code)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, however that came about."""
        self._stop()
        self._exit.lost()
        self._outlet.closed(*(self._exit.ending or LOST))

    def pause_writing(self) -> None:
        """The transport's buffer rose above the high mark."""
        self._writable = False
        if not self._closing:
            self._outlet.writable(False)

    def resume_writing(self) -> None:
        """The transport's buffer fell to the low mark."""
        self._writable = True
        if not self._closing:
            self._outlet.writable(True)

    # The less common frames.

    def _uncommon(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self._closing:
            if kind is _CLOSE:
                self._exit.go()
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(BROKEN)
        elif kind is _PING:
            # A flood of pings from someone who does not read must not fill our memory.
            if self._writable:
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._pulse.pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._stop()
            self._exit.answer(frame.get_payload_as_bytes())
        else:
            self._piece(frame)

    def _piece(self, frame: WSFrame) -> None:
        """A binary frame, or a piece of a message."""
        try:
            message = self._assembly.take(frame)
        except ProtocolViolation as malformed:
            self._fail(malformed.close)
            return
        self._plain = not self._assembly.pending
        if message is not None:
            binary = None if message.is_text else self._options.binary
            take = partial(binary, self) if binary else self._outlet.receiver.frame
            self._outlet.give(take, memoryview(message.data))

    def _stop(self) -> None:
        """From now on nothing is sent or pushed."""
        self._closing = True
        self._plain = False
        self._assembly.clear()
        self._reading.close()

    def _fault(self, fault: Exception) -> None:
        self._fail(FAULT)
        self._options.on_fault(fault)
