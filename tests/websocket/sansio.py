"""A `Connection` over the sans-I/O protocol of `websockets`: the way out of the wire library."""

import asyncio
import codecs
from collections.abc import Callable
from functools import partial
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from relay.interfaces import Frame, Receiver
from relay.realtime.endings import BINARY_REFUSED, INTERNAL_ERROR, NOT_UTF8, Ending
from relay.websocket import closing
from relay.websocket.client import ConnectError
from relay.websocket.closing import CloseFrame, ConnectionOptions
from relay.websocket.pings import PingTracker
from relay.websocket.reading import ReadPause
from relay.websocket.receivers import ReceiverSlot


class SansioConnection(asyncio.Protocol):
    """One end of a WebSocket; `on_request` decides a handshake, `on_open` is told it is over."""

    def __init__(self, protocol: ServerProtocol | ClientProtocol, options: ConnectionOptions):
        self.protocol = protocol
        self.options = options
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_request: Callable[[Request], None] = lambda _: None
        self.on_open: Callable[[], None] = lambda: None
        self.request: Request | None = None  # what a client asks with
        self.ending: CloseFrame | None = None
        self.fault: Ending | None = None
        self.gone = False
        self._writable = True
        self._slot = ReceiverSlot(lambda: self._read_pause.set_full(True), self._fault)
        self._pings = PingTracker()
        self._timer: asyncio.TimerHandle | None = None
        self._message = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._fail_protocol = protocol.fail
        protocol.fail = self._violated  # type: ignore[method-assign]

    @property
    def remote(self) -> str:
        """The other end's address as `host:port`."""
        return "{}:{}".format(*self._transport.get_extra_info("peername"))

    @property
    def buffered(self) -> int:
        """Outgoing bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def attach(self, receiver: Receiver) -> None:
        """Push to this receiver from now on, what was held first."""
        self._slot.attach(receiver)
        self._read_pause.set_full(False)
        if self._slot.receiver is not receiver:
            return
        if self.gone:
            self._slot.closed(*(self.ending or closing.ABNORMAL))
        elif not self._writable and self.ending is None:
            self._slot.writable(False)

    def send(self, frame: Frame) -> None:
        """Queue one text message; the protocol may have read a close that is not taken yet."""
        if self.ending is None and self.protocol.state is State.OPEN:
            self.protocol.send_text(bytes(frame))
            self._flush()

    def pause(self) -> None:
        """Stop reading."""
        self._read_pause.set_paused(True)

    def resume(self) -> None:
        """Read again."""
        self._read_pause.set_paused(False)

    def ping(self) -> int:
        """Ask for a pong; returns how many earlier pings are unanswered."""
        unanswered = self._pings.unanswered
        if self.ending is None and self.protocol.state is State.OPEN:
            self.protocol.send_ping(self._pings.next_payload())
            self._flush()
        return unanswered

    def close(self, code: int, reason: str = "") -> None:
        """Close once, with at most `close_grace` seconds for the answer."""
        if self.ending is not None:
            return
        self._slot.discard_pending()
        self._begin((code, reason), self.options.close_grace)
        if closing.may_be_sent(code):
            self.protocol.send_close(code, closing.encode_reason(reason).decode())
            self._flush()
        else:
            self.abort()

    def abort(self) -> None:
        """Drop the connection with all that is unwritten."""
        self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        """The socket is there; a client asks for the upgrade."""
        self._transport: asyncio.Transport = transport
        self._read_pause = ReadPause(transport)
        transport.set_write_buffer_limits(self.options.write_high, self.options.write_low)
        if isinstance(self.protocol, ClientProtocol) and self.request is not None:
            self.protocol.send_request(self.request)
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes came: the protocol reads them."""
        self.protocol.receive_data(data)
        self._take()

    def eof_received(self) -> None:
        """The other end has closed its socket."""
        self.protocol.receive_eof()
        self._take()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self.gone = True
        self.ending = self.ending or closing.ABNORMAL
        if self._timer is not None:
            self._timer.cancel()
        if not self.opened.done():
            self.opened.set_exception(ConnectError("network"))
            self.opened.exception()  # a listener does not wait for it
        self._slot.closed(*self.ending)

    def pause_writing(self) -> None:
        """The outgoing buffer is above its high mark."""
        self._tell_writable(False)

    def resume_writing(self) -> None:
        """The outgoing buffer is drained."""
        self._tell_writable(True)

    def _take(self) -> None:
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.on_request(event)
                if self.protocol.state is State.OPEN:
                    self._open()
            elif isinstance(event, Response):
                self._upgraded(event)
            elif isinstance(event, WebSocketFrame):
                self._frame(event)
        self._flush()

    def _upgraded(self, response: Response) -> None:
        if self.protocol.handshake_exc is None:  # what follows may have closed it already
            self._open()
        elif not self.opened.done():
            refused = isinstance(self.protocol.handshake_exc, InvalidStatus)
            error = (
                ConnectError("refused", response.status_code)
                if refused
                else ConnectError("network")
            )
            self.opened.set_exception(error)
            self.abort()

    def _open(self) -> None:
        self._flush()
        self.opened.set_result(None)
        try:
            self.on_open()
        except Exception as fault:  # noqa: BLE001 - one caller's fault ends one connection
            self._fault(fault)

    def _frame(self, frame: WebSocketFrame) -> None:
        if frame.opcode is Opcode.PONG:
            self._pings.on_pong(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            self._begin(closing.read_close(bytes(frame.data)), self.options.close_grace)
            self._flush()
            self._transport.close()
        elif frame.opcode is not Opcode.PING and self.ending is None:
            self._data(frame.opcode, frame.data, frame.fin)

    def _data(self, opcode: Opcode, data: bytes | bytearray | memoryview, fin: bool) -> None:
        if opcode is Opcode.BINARY and self.options.binary is None:
            return self.protocol.fail(BINARY_REFUSED.code)
        if opcode is not Opcode.CONT:
            text = opcode is Opcode.TEXT
            self._decoder = codecs.getincrementaldecoder("utf-8")() if text else None
        self._message += data
        try:
            if self._decoder is not None:
                self._decoder.decode(data, fin)
        except UnicodeDecodeError:
            return self.protocol.fail(NOT_UTF8.code)
        if fin:
            message, self._message = memoryview(self._message), bytearray()
            if self._decoder is not None:
                self._slot.deliver(self._slot.receiver.frame, message)
            elif self.options.binary is not None:
                self._slot.deliver(partial(self.options.binary, self), message)
        return None

    def _violated(self, code: int, reason: str = "") -> None:
        """The other end broke the protocol: say so in the relay's words."""
        received = self.protocol.close_rcvd
        if received is not None or code == closing.ABNORMAL[0]:
            # A close amid a message, which this library refuses, or an end without a close.
            ending = (received.code, received.reason) if received is not None else closing.ABNORMAL
            self._begin(ending, self.options.fail_grace)
            self._fail_protocol(*ending)
        else:
            refused = code == BINARY_REFUSED.code
            self._fail(BINARY_REFUSED if refused else closing.ending_of_violation(code))

    def _fault(self, fault: Exception) -> None:
        self.options.on_fault(fault)
        self._fail(INTERNAL_ERROR)

    def _fail(self, ending: Ending) -> None:
        if self.ending is not None:
            return
        self._slot.discard_pending()
        self.fault, close = ending, (ending.code, ending.reason)
        self._begin(close, self.options.fail_grace)
        if self.protocol.state is State.OPEN:
            for frame in self.options.farewell_frames(ending):
                self.protocol.send_text(bytes(frame))
        self._fail_protocol(*close)
        self._flush()

    def _begin(self, ending: CloseFrame, grace: float) -> None:
        if self.ending is None:
            self.ending = ending
            self._read_pause.read_to_end()
            self._timer = asyncio.get_running_loop().call_later(grace, self.abort)

    def _tell_writable(self, ready: bool) -> None:
        self._writable = ready
        if self.ending is None:
            self._slot.writable(ready)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
