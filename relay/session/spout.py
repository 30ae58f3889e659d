"""Which way a session's frames go down just now: listened to or not, the model's sound or none."""

from relay.session.outlet import Outlet, Silent
from relay.session.sides import Down, Up
from relay.session.taps import Tap, Tapped


class Spout:
    """`plain` is the way past every tap and mute, `outlet` the one for what is not the model's."""

    def __init__(self, plain: Outlet, up: Up) -> None:
        self.plain = plain
        self.outlet = plain
        self._up = up
        self._down: Down | None = None
        self._is_muted = False

    def lead(self, down: Down) -> None:
        """The engine is there, and this is its direction."""
        self._down = down
        self.silence(self._is_muted)

    def silence(self, muted: bool) -> None:
        """Whether the model's sound is for nobody."""
        self._is_muted = muted
        if self._down is not None:
            self._down.outlet = Silent(self.outlet) if muted else self.outlet

    def listen(self, tap: Tap | None) -> None:
        """From now on this tap hears both directions; None takes it out."""
        self._up.listen(tap)
        self.outlet = self.plain if tap is None else Tapped(self.plain, tap)
        self.silence(self._is_muted)
