"""Pieces that are put into a session's two directions while somebody listens, and taken out."""

from collections.abc import Callable
from typing import Protocol

from relay.interfaces import Frame
from relay.session.outlet import Outlet

Send = Callable[[Frame], None]


class Tap(Protocol):
    """Who listens. The frames are valid during the call alone."""

    def learner(self, frame: Frame) -> None:
        """An `append` went up."""

    def model(self, frame: Frame) -> None:
        """A piece of the model's sound is on its way to the learner."""

    def flush(self) -> None:
        """What of it was not heard yet never will be."""


class Tapped:
    """An outlet that is listened to."""

    def __init__(self, outlet: Outlet, tap: Tap) -> None:
        self._outlet = outlet
        self._tap = tap
        self.other = outlet.other
        self.due = outlet.due
        self.next = outlet.next

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> None:
        """Both hear it."""
        self._outlet.sound(frame, item_id, ms, now)
        self._tap.model(frame)

    def flush(self) -> None:
        """Nobody hears the rest."""
        self._outlet.flush()
        self._tap.flush()


def tapped_send(send: Send, tap: Tap) -> Send:
    """A way up for sound that is listened to."""

    def both(frame: Frame) -> None:
        send(frame)
        tap.learner(frame)

    return both
