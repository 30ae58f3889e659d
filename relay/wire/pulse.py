"""Counts pings and the pongs that answer them."""

from typing import Final

_MAX_DIGITS: Final = 12
"""A number of ours has no more; whatever is longer is nobody's answer."""


class Pulse:
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
