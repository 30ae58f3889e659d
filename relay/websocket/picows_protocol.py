"""Makes picows' asyncio protocol; the one module that knows its constructor and its logger."""

from asyncio import Transport
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # missing in picows' stub

READ_BUFFER_BYTES: Final = 8 * 1024
"""Initial size of each read buffer: picows doubles it for a longer message and never shrinks it."""


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
    """

    __slots__ = ("_logger", "_open_connections")

    def __init__(
        self,
        logger: "_PicowsLogger",
        open_connections: ConnectionRegistry,
        *arguments: Any,
    ) -> None:
        super().__init__(*arguments)
        self._logger = logger
        self._open_connections = open_connections

    def on_unreadable(self, callback: Callable[[int], None]) -> None:
        """Call this with the close code when picows cannot parse what came, before it closes."""
        self._logger.on_unreadable = callback

    def connection_made(self, transport: Transport) -> None:
        """Register; a TLS handshake that fails reaches neither this nor `connection_lost`."""
        self._open_connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister."""
        super().connection_lost(exc)
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
) -> PicowsConnection:
    """Make the protocol of one connection: a client's with a target, a server's without.

    picows answers no ping by itself (it would answer one with reserved bits set) and sends none
    (that takes a task for each connection).
    """
    logger = _PicowsLogger()
    return PicowsConnection(
        logger,
        open_connections,
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
        READ_BUFFER_BYTES,
    )


def remote_address(transport: Transport) -> str:
    """The other end's address as `host:port`, empty where it has none."""
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""
