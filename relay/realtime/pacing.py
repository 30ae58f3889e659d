"""Sound held back so that a client never has more of it than a bounded lead."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from relay.realtime.events import Frame
from relay.realtime.playout import Playout

HELD_BYTES: Final = 8 * 1024 * 1024  # two minutes of sound; beyond it everything is sent at once


@dataclass(frozen=True, slots=True)
class _Held:
    """One frame that waits; `ms` is 0 and `item_id` empty for what is no sound."""

    frame: bytes
    item_id: str
    ms: int


class Pacing:
    """Keeps frames in order: whatever comes behind held sound waits with it.

    An interruption then flushes what was not sent yet, also at clients that know nothing of it.
    Times are seconds of one clock.
    """

    def __init__(self, playout: Playout, lead_ms: int) -> None:
        self._playout = playout
        self._lead_ms = lead_ms
        self._held: deque[_Held] = deque()
        self._bytes = 0

    @property
    def is_holding(self) -> bool:
        """Whether anything waits."""
        return bool(self._held)

    def sound(self, frame: Frame, item_id: str, ms: int, now: float) -> list[Frame]:
        """Sound comes: what may be sent now."""
        self._hold(_Held(bytes(frame), item_id, ms))
        return self.due(now)

    def other(self, frame: Frame, now: float) -> list[Frame]:
        """Anything else comes: it is sent now unless it stands behind held sound."""
        if not self._held:
            return [frame]
        self._hold(_Held(bytes(frame), "", 0))
        return self.due(now)

    def due(self, now: float) -> list[Frame]:
        """What may be sent by now."""
        free: list[Frame] = []
        while self._held and (self._bytes > HELD_BYTES or self._may_go(now)):
            held = self._held.popleft()
            self._bytes -= len(held.frame)
            self._playout.sent(held.item_id, held.ms, now)
            free.append(held.frame)
        return free

    def next(self) -> float:
        """When something more may be sent; infinity when nothing waits."""
        return self._playout.short_at(self._lead_ms) if self._held else float("inf")

    def flush(self) -> list[Frame]:
        """The sound that waits is dropped, the rest may be sent now."""
        rest: list[Frame] = [held.frame for held in self._held if not held.ms]
        self._held.clear()
        self._bytes = 0
        return rest

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self._bytes += len(held.frame)

    def _may_go(self, now: float) -> bool:
        return not self._held[0].ms or now >= self._playout.short_at(self._lead_ms)
