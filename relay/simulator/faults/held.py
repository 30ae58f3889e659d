"""Faults that hold events back: until a time, until another turn's words, or before an item."""

import math
from collections import deque
from collections.abc import Callable

from relay.engines.cascade.effects import Close
from relay.simulator.faults.seen import Seen

TRANSCRIPTION = "conversation.item.input_audio_transcription."
MAX_HELD = 4096
"""Events that one fault holds; then the eldest go on early."""


class Late:
    """Lets everything pass, but some of it so many seconds later."""

    def __init__(self, concerns: Callable[[Seen], bool], seconds: float) -> None:
        self._concerns = concerns
        self._seconds = seconds
        self._held: deque[tuple[float, Seen]] = deque()

    def take(self, seen: Seen, now: float) -> list[Seen]:
        """Hold what concerns it."""
        if not self._concerns(seen):
            return [seen]
        self._held.append((now + self._seconds, seen))
        return [self._held.popleft()[1]] if len(self._held) > MAX_HELD else []

    def due(self) -> float:
        """Return when the eldest has waited long enough."""
        return self._held[0][0] if self._held else math.inf

    def tick(self, now: float) -> list[Seen]:
        """Let go of what has waited long enough."""
        freed = []
        while self._held and self._held[0][0] <= now:
            freed.append(self._held.popleft()[1])
        return freed


class OutOfOrder:
    """Holds what is said of one turn's words until a later turn's words are whole."""

    def __init__(self, concerns: Callable[[Seen], bool], seconds: float) -> None:
        self._concerns = concerns
        self._seconds = seconds
        self._held: list[Seen] = []
        self._until = math.inf

    def take(self, seen: Seen, now: float) -> list[Seen]:
        """Hold this turn's words; a later turn's let them go."""
        if not seen.kind.startswith(TRANSCRIPTION):
            return [seen]
        if self._concerns(seen) and (not self._held or self._held[0].turn == seen.turn):
            self._held.append(seen)
            self._until = now + self._seconds
            return []
        return [seen, *self._free()] if _ends(seen) else [seen]

    def due(self) -> float:
        """Return when no later turn is waited for any more."""
        return self._until

    def tick(self, now: float) -> list[Seen]:
        """Let go when no other turn came."""
        return self._free() if now >= self._until else []

    def _free(self) -> list[Seen]:
        freed, self._held, self._until = self._held, [], math.inf
        return freed


class BeforeItem:
    """Holds a turn from its end on, until some of its words were told (WIRE §4.1)."""

    def __init__(self, concerns: Callable[[Seen], bool], seconds: float) -> None:
        self._concerns = concerns
        self._seconds = seconds
        self._held: list[Seen] = []
        self._until = math.inf

    def take(self, seen: Seen, now: float) -> list[Seen]:
        """Hold everything from the end of a turn on, but for its own words."""
        if not self._held:
            if not self._begins(seen):
                return [seen]
            self._until = now + self._seconds
        elif seen.turn == self._held[0].turn and seen.kind.startswith(TRANSCRIPTION):
            return [*self._free(), seen] if _ends(seen) else [seen]
        self._held.append(seen)
        crowded = len(self._held) > MAX_HELD or isinstance(seen.effect, Close)
        return self._free() if crowded else []

    def due(self) -> float:
        """Return when no words are waited for any more."""
        return self._until

    def tick(self, now: float) -> list[Seen]:
        """Let go when no words came."""
        return self._free() if now >= self._until else []

    def _begins(self, seen: Seen) -> bool:
        ends_a_turn = seen.kind in (
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        )
        return ends_a_turn and self._concerns(seen)

    def _free(self) -> list[Seen]:
        freed, self._held, self._until = self._held, [], math.inf
        return freed


def _ends(seen: Seen) -> bool:
    return seen.kind in (f"{TRANSCRIPTION}completed", f"{TRANSCRIPTION}failed")
