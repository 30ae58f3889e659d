"""The one place that knows how picows makes a connection and over which transports."""

from asyncio import Transport
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # missing in picows' stub

READ_BUFFER_BYTES: Final = 8 * 1024
"""Where each read buffer starts: picows doubles it when a message needs more, and never shrinks."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client connects to: the Host header and the path with its query."""

    host: str
    resource: str
    headers: tuple[tuple[str, str], ...]


def address_of(transport: Transport) -> str:
    """The other end's address as `host:port`."""
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""


class ListeningProtocol(Protocol):
    """What a connection tells of itself beside what picows tells its listener."""

    def on_broken(self, code: int) -> None:
        """What came cannot be read; picows is about to close with this code."""


class _PicowsLogger:
    """The logger that picows is given: it says nothing, since picows' texts quote what came in.

    picows logs a parser error just before it closes by itself. That is the one word of it that is
    passed on, so that our own close comes first. A plain logger would also make a child for each
    connection.
    """

    __slots__ = ("listener",)

    def __init__(self) -> None:
        self.listener: ListeningProtocol | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Nothing is."""
        return False

    def error(self, text: str, *details: object) -> None:
        """Pass a parser error on: its detail is the pair of code and text."""
        match details:
            case [(int(code), str())] if self.listener is not None:
                self.listener.on_broken(int(code))

    def debug(self, *details: object) -> None:
        """Say nothing."""

    info = warning = exception = log = debug


class PicowsConnection(WSProtocol):  # type: ignore[misc]  # untyped in picows' stub
    """picows' protocol, in a register while it lives; it leaves no unread exception behind."""

    __slots__ = ("_register", "_silence")

    def __init__(
        self, silence: _PicowsLogger, register: "set[PicowsConnection]", *arguments: Any
    ) -> None:
        super().__init__(*arguments)
        self._silence = silence
        self._register = register

    def watch(self, listener: ListeningProtocol) -> None:
        """Tell this listener when what came cannot be read."""
        self._silence.listener = listener

    def connection_made(self, transport: Transport) -> None:
        """Enter the register; a TLS handshake that fails never comes so far, nor to its end."""
        self._register.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the register and let go."""
        super().connection_lost(exc)
        self._read_failure()
        self._register.discard(self)

    def _read_failure(self) -> None:
        """Take picows' own record of a failure, or asyncio would report it as never retrieved."""
        waiting = self.transport.wait_disconnected()
        try:
            waiting.send(None)
        except StopIteration:
            pass
        except Exception:  # noqa: BLE001, S110 - whatever it was, the peer has told its receiver
            pass
        finally:
            waiting.close()

    def abort(self) -> None:
        """Drop the connection, whatever state it is in."""
        if self.transport is not None:
            self.transport.underlying_transport.abort()


def make_connection(
    target: Target | None,
    listener_factory: Callable[..., Any],
    max_frame_bytes: int,
    handshake_timeout: float,
    register: set[PicowsConnection],
) -> PicowsConnection:
    """One connection's protocol: a client's with a target, a server's without.

    picows answers no ping by itself (it would answer one with reserved bits set) and sends none
    (that is a task for each connection).
    """
    silence = _PicowsLogger()
    return PicowsConnection(
        silence,
        register,
        target.host if target else None,
        target.resource if target else None,
        target is not None,
        listener_factory,
        silence,
        True,  # disconnect on exception; a peer raises none
        handshake_timeout,
        False,  # auto ping, with its two times and its strategy
        20,
        20,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # auto pong
        max_frame_bytes,
        target.headers if target else None,
        READ_BUFFER_BYTES,
    )
