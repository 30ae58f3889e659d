"""One WebSocket connection as a `Peer`: picows' listener on one side, a `Receiver` on the other."""

from collections.abc import Callable
from functools import partial

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from relay.interfaces import Frame, Receiver
from relay.wire.assembly import Assembly
from relay.wire.closing import BAD_TEXT, BROKEN, FAULT, LOST, Close, Malformed
from relay.wire.core import address_of
from relay.wire.exit import Exit
from relay.wire.options import PeerOptions
from relay.wire.outlet import Outlet
from relay.wire.pulse import Pulse
from relay.wire.reading import Reading

# picows hands out these very members, so `is` is enough, at half the price of `==`.
_TEXT = WSMsgType.TEXT
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG


class WirePeer(WSListener):
    """A `Peer` over one connection, client's or server's side (DESIGN §4.2).

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
    _exit: Exit
    _reading: Reading

    def __init__(
        self, options: PeerOptions, on_connected: "Callable[[WirePeer], None] | None" = None
    ) -> None:
        self._options = options
        self._on_connected = on_connected
        self._outlet = Outlet(lambda: self._reading.fill(True), self._fault)
        self._assembly = Assembly(options.max_message_bytes, options.binary is not None)
        self._pulse = Pulse()
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

    def _fail(self, ending: Close) -> None:
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
        self._exit = Exit(transport, options)
        self._reading = Reading(underlying)
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
        except Malformed as malformed:
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
