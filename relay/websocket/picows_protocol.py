"""Makes picows' asyncio protocol; the one module that knows its constructor, logger and buffer."""

import socket
import sys
from asyncio import Transport
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # missing in picows' stub

from relay.websocket.busy import BusyConnections, busy_connections
from relay.websocket.memory import (
    FIRST_BUFFER_BYTES,
    KEPT_BYTES,
    give_back,
    most_unfinished,
)
from relay.websocket.open_sockets import open_sockets
from relay.websocket.reading import ReadPause
from relay.websocket.upgrade_answer import AnswerTooLong, UpgradeAnswer

UNATTENDED_BYTES: Final = 64 * 1024
"""What is read of a connection before somebody attends to it, its upgrade request included."""

UNATTENDED_FRAMES: Final = 64
"""The same bound in frames."""

REQUEST_BYTES: Final = 16 * 1024 - 1
"""The largest upgrade request. picows would take one of 16 KiB, or end the connection silently."""

REQUEST_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 42\r\nConnection: close\r\n\r\n"
    b"The request and its headers exceed 16 KiB\n"
)

_LEAST_FRAME: Final = 6
"""Bytes of the smallest frame of a client: a read of so many brings one at most."""

CLOSING_READ_BYTES: Final = 4 * 1024
"""What is read at once while a connection closes: only the other end's close frame matters."""

FRAMES_OF_READS: Final = 512
"""Frames that small reads may bring before others are read: half a millisecond while they are
dropped. Those of an open connection are counted when they are handled (`turns`)."""

GROWN_READ_BYTES: Final = 32 * 1024
"""The most that is read at once of a busy connection, whose buffer may be large."""

LEAST_READ_BYTES: Final = 2 * 1024
"""What is read at once of one whose frames are tiny: 340 of them, in less than a millisecond."""

RECEIVE_BUFFER_BYTES: Final = 128 * 1024
"""What the kernel may receive ahead (it counts double). Its own choice grows to 6 MiB, all of which
one end that floods would have us keep."""

CLIENT_ACK_SECONDS: Final = 30.0
"""Seconds that what a client was sent may stay unacknowledged: longer than a gap of a radio."""

ENGINE_ACK_SECONDS: Final = 15.0
"""The same towards an engine, whose network is a good one."""

_BYTES_RECEIVED: Final = slice(128, 136)
"""Where `tcp_info` of Linux has tcpi_bytes_received, since 4.1."""

_TCP_CLOSE: Final = 7
"""The state of a TCP connection that is over (Linux, net/tcp_states.h)."""

_POST: Final = b"POST "

OnPost = Callable[[bytes], bytes | None]
"""Given the target of a POST, returns the whole HTTP response; None leaves it to picows."""


class Attended(Protocol):
    """The listener of a WebSocket, as far as its socket asks it."""

    @property
    def frames(self) -> int:
        """How many frames have come."""

    @property
    def is_behind(self) -> bool:
        """Whether frames wait for their turn."""

    def charge(self) -> None:
        """Account for the bytes that came."""

    @property
    def waiting(self) -> int:
        """Bytes that wait in it."""

    def look(self, now: float) -> None:
        """End it if it is a flood."""

    def end_for_memory(self) -> None:
        """End it: it holds too much."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a client's upgrade request names: Host header, path with query, further headers."""

    host: str
    resource: str
    headers: tuple[tuple[str, str], ...]


class ConnectionRegistry(Protocol):
    """Knows which connections are open."""

    def add(self, connection: "PicowsConnection", /) -> None:
        """Its transport is open."""

    def discard(self, connection: "PicowsConnection", /) -> None:
        """It is lost."""


class PicowsConnection(WSProtocol):  # type: ignore[misc]  # untyped in picows' stub
    """picows' protocol, in `open_connections` while its transport is open.

    It retrieves the exception that picows keeps, or asyncio would report it as never retrieved.

    Reads are small until somebody attends to the connection, and when it closes: for so long it is
    a `LimitedPicowsConnection`. While it brings more than a turn handles, or its buffer is large,
    it is a `BusyPicowsConnection`. Two more calls for each read of any would cost too much.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_busy",
        "_charged_at",
        "_first_read",
        "_is_attended",
        "_largest",
        "_logger",
        "_on_post",
        "_open_connections",
        "_received",
        "_socket",
        "_timeout",
        "_upgrade",
        "_window",
        "_yielded_at",
        "reading",
    )

    _busy: BusyConnections
    _socket: socket.socket
    reading: ReadPause

    def __init__(
        self,
        logger: "_PicowsLogger",
        open_connections: ConnectionRegistry,
        largest: int,
        timeout: float,
        on_post: OnPost | None,
        *arguments: Any,
    ) -> None:
        super().__init__(*arguments)
        self._logger = logger
        self._open_connections = open_connections
        self._largest = largest + GROWN_READ_BYTES
        self._timeout = timeout
        self._on_post = on_post
        self._first_read: memoryview | None = None
        self._is_attended = False
        self._asked = self._received = self._yielded_at = self._charged_at = 0
        self._window = _LEAST_FRAME * UNATTENDED_FRAMES
        self._upgrade: UpgradeAnswer | None = None

    def on_unreadable(self, callback: Callable[[int], None]) -> None:
        """Call this with the close code when picows cannot parse what came, before it closes."""
        self._logger.on_unreadable = callback

    def connection_made(self, transport: Transport) -> None:
        """Register; a TLS handshake that fails reaches neither this nor `connection_lost`."""
        self._open_connections.add(self)
        self._socket = transport.get_extra_info("socket")
        self.reading = ReadPause(transport)
        self._busy = busy_connections()
        set_options(self._socket, self._timeout)
        super().connection_made(transport)
        open_sockets().add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister."""
        open_sockets().discard(self)
        self._busy.leave(self.reading)
        super().connection_lost(exc)
        self.reading.read_to_end()
        self._retrieve_exception()
        self._open_connections.discard(self)

    def _retrieve_exception(self) -> None:
        waiting = self.transport.wait_disconnected()
        try:
            waiting.send(None)
        except StopIteration:
            pass
        except Exception:  # noqa: BLE001, S110 - the connection has told its receiver already
            pass
        finally:
            waiting.close()

    def abort(self) -> None:
        """Close the socket at once, in whatever state the connection is."""
        if self.transport is not None:
            self.transport.underlying_transport.abort()

    # Reading.

    def attend(self) -> None:
        """There is a receiver: read what comes, as much as there is."""
        if not self._is_attended:
            self._is_attended = True
            self.__class__ = PicowsConnection

    def begin_closing(self) -> None:
        """Read on in small pieces."""
        self._is_attended = True
        self._window = CLOSING_READ_BYTES
        self.__class__ = LimitedPicowsConnection

    def become_busy(self) -> None:
        """It brings more than a turn handles: share the time with others of that kind."""
        if type(self) is PicowsConnection:
            self._window = GROWN_READ_BYTES
            self.__class__ = BusyPicowsConnection
            self._busy.join(self.reading)

    def _become_calm(self) -> None:
        if type(self) is BusyPicowsConnection and self._window == GROWN_READ_BYTES:
            self.__class__ = PicowsConnection
            self._busy.leave(self.reading)

    def received_bytes(self) -> int:
        """Bytes that the kernel received in all; 0 where it does not say."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return 0
        information = self._socket.getsockopt(socket.IPPROTO_TCP, option, _BYTES_RECEIVED.stop)
        return int.from_bytes(information[_BYTES_RECEIVED], sys.byteorder)

    # Once a second.

    def look(self, now: float) -> int:
        """End it if it was reset or is a flood; returns how many bytes wait in it."""
        if was_reset(self._socket):
            self.abort()
            return 0
        free: memoryview = WSProtocol.get_buffer(self, -1)
        if len(free) > KEPT_BYTES:
            give_back(free)
        unfinished = self.notice_size()
        connection: Attended | None = self.listener
        if connection is None:
            return unfinished
        connection.look(now)
        return unfinished + connection.waiting

    def notice_size(self) -> int:
        """Be busy while the read buffer is large; the most bytes of an unfinished frame in it."""
        free = len(WSProtocol.get_buffer(self, -1))
        unfinished = most_unfinished(free, self._largest)
        if max(free, unfinished) > KEPT_BYTES:
            self.become_busy()
        else:
            self._become_calm()
        return unfinished

    def end_for_memory(self) -> None:
        """End it: it holds too much."""
        connection: Attended | None = self.listener
        if connection is None:
            self.abort()
        else:
            connection.end_for_memory()


class LimitedPicowsConnection(PicowsConnection):
    """A connection whose reads are small. Its instances change their class."""

    __slots__ = ()

    def get_buffer(self, hint: int) -> memoryview:
        """Where the transport is to read to, no more than the window."""
        free: memoryview = WSProtocol.get_buffer(self, hint)
        self._asked = min(len(free), self._window)
        return free[: self._asked]

    def buffer_updated(self, count: int) -> None:
        """So many bytes were read: parse them, and say how many may be read next."""
        WSProtocol.buffer_updated(self, count)
        self._received += count
        connection: Attended | None = self.listener
        frames = connection.frames if connection is not None else 0
        if not self._is_attended:
            window = unattended_window(self._received, frames)
            if window > 0:
                self._window = window  # the transport reads on at once: there is not much to come
            else:
                self.reading.set_full(True)
        elif count == self._asked and frames - self._yielded_at >= FRAMES_OF_READS:
            self._yielded_at = frames
            self.reading.yield_turn()


class BusyPicowsConnection(PicowsConnection):
    """A connection whose reads are small, and as many as there is time for (`busy`)."""

    __slots__ = ()

    def get_buffer(self, hint: int) -> memoryview:
        """Where the transport is to read to, no more than the window."""
        free: memoryview = WSProtocol.get_buffer(self, hint)
        return free[: self._window]

    def buffer_updated(self, count: int) -> None:
        """So many bytes were read: parse them, and account for the time it took."""
        busy = self._busy
        began = busy.clock()
        WSProtocol.buffer_updated(self, count)
        connection: Attended | None = self.listener
        if connection is not None and type(self) is BusyPicowsConnection:
            self._window = busy_window(self._window, connection.is_behind)
            self._received += count
            if self._received - self._charged_at >= GROWN_READ_BYTES:
                self._charged_at = self._received
                connection.charge()
        busy.spend(busy.clock() - began, self.reading)


def busy_window(window: int, is_behind: bool) -> int:
    """Bytes to read next of a busy connection, by those read last and whether it is behind."""
    return max(LEAST_READ_BYTES, window // 4) if is_behind else min(GROWN_READ_BYTES, window * 2)


class UpgradingPicowsConnection(LimitedPicowsConnection):
    """A client's connection until its upgrade request was read.

    One that is too large, and a POST, get an HTTP response that picows does not give.
    """

    __slots__ = ()

    def get_buffer(self, hint: int) -> memoryview:
        """Where the transport is to read to, no further than the largest request goes."""
        left = max(1, REQUEST_BYTES - self._received)
        window = LimitedPicowsConnection.get_buffer(self, hint)[:left]
        if not self._received:
            self._first_read = window
        return window

    def buffer_updated(self, count: int) -> None:
        """So many bytes were read: parse them, unless they have an answer already."""
        response = self._answer_to_post(count)
        if response is None:
            LimitedPicowsConnection.buffer_updated(self, count)
            if self.listener is None and self._received >= REQUEST_BYTES:
                response = REQUEST_TOO_LARGE
        if response is not None:
            self._answer(response)
        elif self.listener is not None and type(self) is UpgradingPicowsConnection:
            self.__class__ = LimitedPicowsConnection

    def _answer_to_post(self, count: int) -> bytes | None:
        """The response to a POST, whose line is in the first bytes that come; None to others."""
        if self._first_read is None:
            return None
        first, self._first_read = self._first_read[:count].tobytes(), None
        if self._on_post is None or not first.startswith(_POST):
            return None
        return self._on_post(first.split(b" ", 2)[1])

    def _answer(self, response: bytes) -> None:
        """Answer, and read on for as long as a newcomer has: a reset would overtake the answer."""
        self.__class__ = AnsweredPicowsConnection
        transport = self.transport.underlying_transport
        transport.write(response)
        if transport.can_write_eof():
            transport.write_eof()


class AnsweredPicowsConnection(PicowsConnection):
    """A connection that was answered and is read until its client, or the listener, ends it."""

    __slots__ = ()

    def get_buffer(self, hint: int) -> memoryview:
        """Where the transport is to read to: always the same."""
        free: memoryview = WSProtocol.get_buffer(self, hint)
        return free[:CLOSING_READ_BYTES]

    def buffer_updated(self, count: int) -> None:
        """So many bytes were read: drop them, as far as any are read of a newcomer."""
        self._received += count
        if self._received >= UNATTENDED_BYTES:
            self.reading.set_full(True)


class DialingPicowsConnection(LimitedPicowsConnection):
    """A connection to a server until its answer to the upgrade request is whole.

    picows refuses good answers: it wants `Connection` to be one word.
    """

    __slots__ = ()

    def get_buffer(self, hint: int) -> memoryview:
        """Where the transport is to read to."""
        return memoryview(self._incoming().piece)

    def buffer_updated(self, count: int) -> None:
        """So many bytes were read: hand them to picows once they are a whole answer."""
        try:
            answer = self._incoming().take(count)
        except AnswerTooLong:
            self.abort()
            return
        if answer is not None:
            self._upgrade = None
            self.__class__ = LimitedPicowsConnection
            _feed(self, answer)

    def _incoming(self) -> UpgradeAnswer:
        if self._upgrade is None:
            self._upgrade = UpgradeAnswer()
        return self._upgrade


def _feed(connection: LimitedPicowsConnection, answer: bytes) -> None:
    left = memoryview(answer)
    while left:
        free: memoryview = WSProtocol.get_buffer(connection, -1)
        count = min(len(free), len(left))
        free[:count] = left[:count]
        LimitedPicowsConnection.buffer_updated(connection, count)
        left = left[count:]


def unattended_window(received: int, frames: int) -> int:
    """Bytes to read next of a connection without a receiver; 0 or less: none."""
    return min(UNATTENDED_BYTES - received, _LEAST_FRAME * (UNATTENDED_FRAMES - frames))


def set_options(connected: socket.socket, timeout: float) -> None:
    """Bound what the kernel keeps for a socket, and how long it waits for the other end."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux
    if option is not None:
        connected.setsockopt(socket.IPPROTO_TCP, option, int(timeout * 1000))


def was_reset(connected: socket.socket) -> bool:
    """Whether the other end has reset the connection.

    The transport may not have been told: uvloop stops watching a socket for which data and a reset
    come together, and aiofastnet 1.2.0 then reads the data alone.
    """
    try:
        option = getattr(socket, "TCP_INFO", None)  # Linux
        if option is not None:
            return connected.getsockopt(socket.IPPROTO_TCP, option, 1)[0] == _TCP_CLOSE
        return connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except OSError:
        return True


class _PicowsLogger:
    """The logger picows is given. It discards everything, since picows' texts quote what came in.

    picows logs a parser error right before it closes by itself; that one call is passed on, so that
    our own close frame goes out first. `logging.Logger` would also make a child per connection.
    """

    __slots__ = ("on_unreadable",)

    def __init__(self) -> None:
        self.on_unreadable: Callable[[int], None] | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Always False."""
        return False

    def error(self, text: str, *details: object) -> None:
        """Pass a parser error on; its only detail is a pair of close code and text."""
        match details:
            case [(int(code), str())] if self.on_unreadable is not None:
                self.on_unreadable(int(code))

    def debug(self, *details: object) -> None:
        """Discard it."""

    info = warning = exception = log = debug


def make_connection(
    target: Target | None,
    listener_factory: Callable[..., Any],
    max_frame_bytes: int,
    handshake_timeout: float,
    open_connections: ConnectionRegistry,
    on_post: OnPost | None = None,
) -> PicowsConnection:
    """Make the protocol of one connection: a client's with a target, a server's without.

    picows answers no ping by itself (it would answer one with reserved bits set) and sends none
    (that takes a task for each connection).
    """
    logger = _PicowsLogger()
    kind: type[LimitedPicowsConnection] = (
        UpgradingPicowsConnection if target is None else DialingPicowsConnection
    )
    return kind(
        logger,
        open_connections,
        max_frame_bytes,
        CLIENT_ACK_SECONDS if target is None else ENGINE_ACK_SECONDS,
        on_post,
        target.host if target else None,
        target.resource if target else None,
        target is not None,
        listener_factory,
        logger,
        True,  # disconnect on exception; a WebSocketConnection raises none
        handshake_timeout,
        False,  # auto ping, with its two times and its strategy
        20,
        20,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # auto pong
        max_frame_bytes,
        target.headers if target else None,
        FIRST_BUFFER_BYTES,
    )


def remote_address(transport: Transport) -> str:
    """The other end's address as `host:port`, empty where it has none."""
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""
