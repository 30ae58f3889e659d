"""One WebSocket connection: picows' listener on one side, a pushed `Receiver` on the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from relay.interfaces import Frame, Receiver
from relay.realtime.endings import (
    BINARY_REFUSED,
    INTERNAL_ERROR,
    NOT_UTF8,
    OUT_OF_MEMORY,
    PROTOCOL_ERROR,
    TOO_MANY_FRAMES,
    Ending,
)
from relay.websocket.assembly import MessageAssembler, check_text
from relay.websocket.busy import busy_connections
from relay.websocket.closing import ClosingHandshake, ConnectionOptions, ProtocolViolation
from relay.websocket.open_sockets import open_sockets
from relay.websocket.picows_protocol import PicowsConnection, remote_address
from relay.websocket.pings import PingTracker, PongLimit
from relay.websocket.rates import FRAME_BYTES, FrameRate, TokenBucket
from relay.websocket.reading import ReadPause
from relay.websocket.receivers import ReceiverSlot
from relay.websocket.turns import FRAMES_PER_TURN, FrameTurns, HeldFrame

LARGEST_REUSED_BYTES: Final = 64 * 1024
"""Of a message that is sent from the connection's own buffer, which never shrinks."""

LARGE_BYTES: Final = 256 * 1024
"""Of a message that takes a noticeable part of a millisecond: who sends one is busy (`busy`)."""

HEADER_BYTES: Final = 14
"""The most that a frame's header takes."""

# picows hands out these very members, so `is` is enough, at half the price of `==`.
_TEXT = WSMsgType.TEXT
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG


class WebSocketConnection(WSListener):
    """A `Connection` over one WebSocket, client's or server's side (docs/adr/0002).

    Everything happens on the event loop, in the call that brings it; there is no task and no queue
    but the transport's own. `send` and `attach` may therefore call the receiver back.

    Reading stops while the receiver has paused the connection, while too many frames are pending
    or wait for their turn, and after more bytes than the other end may send (`rates`). A connection
    that does not read sees a reset alone, by `look`: whatever pauses it, or leaves it without a
    receiver, needs a deadline of its own.
    """

    __slots__ = (
        "_assembler",
        "_bucket",
        "_charged",
        "_closing",
        "_closing_handshake",
        "_credit",
        "_frame_rate",
        "_granted",
        "_held",
        "_is_dead",
        "_on_connected",
        "_options",
        "_pings",
        "_plain",
        "_pongs",
        "_protocol",
        "_read_pause",
        "_slot",
        "_transport",
        "_turns",
        "_was_throttled",
        "_writable",
    )

    _transport: WSTransport
    _closing_handshake: ClosingHandshake
    _protocol: PicowsConnection | None
    _read_pause: ReadPause
    _turns: FrameTurns
    _held: deque[HeldFrame]
    _is_dead: Callable[[], bool]

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
        self._pongs = PongLimit(self._send_pong)
        now = asyncio.get_running_loop().time()
        self._bucket = TokenBucket(options.rate, now) if options.rate else None
        self._frame_rate = FrameRate(now) if options.rate else None
        self._credit = 0  # frames that may come until it is asked whether a turn has passed
        self._granted = 0  # the sum of such credit
        self._charged = 0  # bytes that are paid for
        self._was_throttled = False
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

    def join(self, protocol: PicowsConnection) -> None:
        """Be the listener of this protocol; called before the upgrade is complete."""
        self._protocol = protocol
        protocol.on_unreadable(self.on_unreadable)

    # Called by the session.

    @property
    def remote(self) -> str:
        """The other end's address as `host:port`."""
        return remote_address(self._transport.underlying_transport)

    @property
    def fault(self) -> Ending | None:
        """Why this end has closed it by itself, as for bytes that are no frames."""
        return self._closing_handshake.fault

    @property
    def buffered(self) -> int:
        """Outgoing bytes that the kernel has not taken yet."""
        return self._transport.underlying_transport.get_write_buffer_size()

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on; pending frames come first, within this call.

        A receiver attached to a lost connection is told so at once.
        """
        if self._protocol is not None:
            self._protocol.attend()
        self._slot.attach(receiver)
        self._read_pause.set_full(False)
        self._turns.proceed()
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
        if not self._is_dead():
            if len(frame) <= LARGEST_REUSED_BYTES:
                self._transport.send(_TEXT, frame)
            else:
                self._send_large(frame)

    def _send_large(self, frame: Frame) -> None:
        # picows would keep a buffer of this size for as long as the connection is known anywhere.
        message = bytearray(HEADER_BYTES)
        message += frame  # a buffer of the whole size would be filled with zeros first
        self._transport.send_reuse_external_bytearray(_TEXT, message, HEADER_BYTES)

    def read_as_text(self, message: Frame) -> None:
        """Push a binary message that is JSON text; any other closes the connection with 1003."""
        try:
            is_event = str(message, "utf-8").lstrip().startswith("{")
        except UnicodeDecodeError:
            is_event = False
        if is_event:
            self._slot.receiver.frame(message)
        else:
            self._fail(BINARY_REFUSED)

    def pause(self) -> None:
        """Stop reading; what is already in the read buffer still comes."""
        self._read_pause.set_paused(True)

    def resume(self) -> None:
        """Read again."""
        self._read_pause.set_paused(False)
        self._turns.proceed()

    def ping(self) -> int:
        """Send a ping; returns how many earlier pings are unanswered.

        Those of an end that sends faster than it is read count as answered: its pongs wait behind
        what it sent.
        """
        if self._was_throttled:
            self._was_throttled = False
            self._pings.on_sign_of_life()
        unanswered = self._pings.unanswered
        if not self._is_dead():
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
        if self._protocol is not None:
            self._read_pause = self._protocol.reading
        self._turns = FrameTurns(self._on_uncommon_frame, self._read_pause, busy_connections())
        self._held = self._turns.held
        self._is_dead = underlying.is_closing  # a write may have failed, in this turn
        underlying.set_write_buffer_limits(options.write_high, options.write_low)
        if self._on_connected is not None:
            on_connected, self._on_connected = self._on_connected, None
            try:
                on_connected(self)
            except Exception as fault:  # noqa: BLE001 - a fault ends its own connection only
                self._on_fault(fault)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame came in; the common case is that a read brings one, and the next may come."""
        self._credit = credit = self._credit - 1
        if credit < 0 and self._is_postponed(frame):
            return
        if (
            not self._plain
            or frame.msg_type is not _TEXT
            or not frame.fin
            or frame.rsv1
            or frame.rsv2
            or frame.rsv3
        ):
            self._on_uncommon_frame(frame)
            return
        payload = frame.get_payload_as_memoryview()
        if len(payload) > LARGE_BYTES:
            self._on_data_frame(frame)
            return
        try:
            frame.get_payload_as_utf8_text()
        except UnicodeDecodeError:
            self._fail(NOT_UTF8)
            return
        try:
            self._slot.receiver.frame(payload)
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
        self._protocol = None  # with its read buffer
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

    @property
    def is_behind(self) -> bool:
        """Whether frames wait for their turn."""
        return bool(self._held)

    # Called once a second.

    @property
    def waiting(self) -> int:
        """Bytes that wait in this connection, in either direction."""
        if not hasattr(self, "_turns"):
            return 0  # refused in the upgrade
        waiting = self._assembler.size + self._slot.waiting + self._turns.size
        return waiting + self.buffered

    @property
    def frames(self) -> int:
        """How many frames have come."""
        return self._granted - self._credit

    def charge(self) -> None:
        """Take the bytes that came since the last time from the bucket; wait if it lacks them."""
        if self._bucket is None or self._protocol is None or self._closing:
            return
        received = self._protocol.received_bytes()
        now = asyncio.get_running_loop().time()
        wait = self._bucket.take(received - self._charged, now)
        self._charged = received
        if wait:
            self._was_throttled = True
            self._read_pause.throttle(wait)

    def look(self, now: float) -> None:
        """End it if its client sends a flood of frames; `now` is the event loop's time.

        A client that is not read cannot be seen to leave: its last words are behind what it sent.
        So it is sent a pong that answers nothing (RFC 6455 §5.5.3), which the system of one that is
        gone answers with a reset.
        """
        self.charge()
        if self._frame_rate is None:
            return
        if self._read_pause.is_stopped:
            self._send_pong(b"")
        if self._frame_rate.is_flood(self.frames, now):
            self._fail(TOO_MANY_FRAMES)

    def end_for_memory(self) -> None:
        """End it: too much waits in all connections, and most of it here."""
        if hasattr(self, "_turns") and not self._closing:
            self._fail(OUT_OF_MEMORY)

    # Frames off the hot path, and failures.

    def _is_postponed(self, frame: WSFrame) -> bool:
        """Whether a frame beyond what was granted has to wait: it was granted in this turn."""
        if self._closing:
            return False  # all but the other end's close is dropped, and costs nothing
        if self._turns.begin():
            self._grant(FRAMES_PER_TURN)
            return False
        if not self._held:
            self.charge()
            if self._protocol is not None:
                self._protocol.become_busy()
        self._charged -= FRAME_BYTES
        self._turns.hold(frame)
        self._grant(0)
        return True

    def _grant(self, credit: int) -> None:
        self._granted += credit - self._credit
        self._credit = credit

    def _send_pong(self, payload: bytes) -> None:
        # A flood of pings from an end that does not read must not fill our memory.
        if self._writable and not self._is_dead():
            self._transport.send_pong(payload)

    def _on_uncommon_frame(self, frame: WSFrame | HeldFrame) -> None:
        kind = frame.msg_type
        if self._closing:
            if kind is _CLOSE:
                self._closing_handshake.disconnect()
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(PROTOCOL_ERROR)
        elif kind is _PING:
            self._pongs.on_ping(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._pings.on_pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._stop()
            self._closing_handshake.answer(frame.get_payload_as_bytes())
        else:
            self._on_data_frame(frame)

    def _on_data_frame(self, frame: WSFrame | HeldFrame) -> None:
        """A binary frame, a fragment of a message, or a large message."""
        if frame.payload_size > LARGE_BYTES and self._protocol is not None:
            self._protocol.become_busy()
            open_sockets().notice_large()  # who is sent such messages at once gets them at once
        if self._plain and frame.fin and frame.msg_type is _TEXT:
            self._on_whole_text(frame)
            return
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

    def _on_whole_text(self, frame: WSFrame | HeldFrame) -> None:
        text = frame.get_payload_as_memoryview()
        try:
            check_text(text)
        except UnicodeDecodeError:
            self._fail(NOT_UTF8)
        else:
            self._slot.deliver(self._slot.receiver.frame, text)

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
        self._is_dead = _always
        self._plain = False
        self._assembler.clear()
        if self._protocol is not None:
            self._protocol.begin_closing()
        self._read_pause.read_to_end()
        if any(frame.msg_type is _CLOSE for frame in self._turns.clear()):
            # The answer to our close, which the other end will not repeat.
            asyncio.get_running_loop().call_soon(self._closing_handshake.disconnect)


def _always() -> bool:
    return True
