"""Pings of one connection: counts those it sent, answers those that came."""

import asyncio
from collections.abc import Callable
from typing import Final

MAX_PONG_DIGITS: Final = 12
"""Our pings are numbered with no more digits; a longer pong answers none of them."""

PONGS_PER_TURN: Final = 16
"""Pings that are answered one by one in a turn of the event loop; of more only the last is."""


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

    def on_sign_of_life(self) -> None:
        """The other end is there, though its pongs cannot have been read yet."""
        self._answered = self._sent


class PongLimit:
    """Answers pings by `send`, and in each turn of the event loop only so many.

    RFC 6455 §5.5.3 lets an end answer the most recent of several pings alone.
    """

    __slots__ = ("_count", "_last", "_send")

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._count = 0
        self._last: bytes | None = None

    def on_ping(self, payload: bytes) -> None:
        """Answer a ping, now or at the end of the turn."""
        if self._count == 0:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._count += 1
        if self._count <= PONGS_PER_TURN:
            self._send(payload)
        else:
            self._last = payload

    def _end_turn(self) -> None:
        self._count = 0
        last, self._last = self._last, None
        if last is not None:
            self._send(last)
