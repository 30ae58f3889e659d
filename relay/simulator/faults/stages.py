"""How faults stand behind one another: what one lets through, the next one alters."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.simulator.faults.seen import Seen


class Stage(Protocol):
    """One fault in one session."""

    def take(self, seen: Seen, now: float) -> list[Seen]:
        """Return what goes on in place of this; what is held comes back from `tick`."""

    def due(self) -> float:
        """Return when `tick` wants to be called, infinity while nothing is held."""

    def tick(self, now: float) -> list[Seen]:
        """Return what was held until now."""


@dataclass(frozen=True, slots=True)
class Each:
    """A fault that holds nothing: a function of one event, for those that concern it."""

    concerns: Callable[[Seen], bool]
    apply: Callable[[Seen], list[Seen]]

    def take(self, seen: Seen, now: float) -> list[Seen]:
        """Alter what concerns it."""
        return self.apply(seen) if self.concerns(seen) else [seen]

    def due(self) -> float:
        """Hold nothing."""
        return math.inf

    def tick(self, now: float) -> list[Seen]:
        """Hold nothing."""
        return []


class Pipeline:
    """All the faults of one session, in the order of the script."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def take(self, seen: Seen, now: float) -> list[Seen]:
        """Return what becomes of an event."""
        return self._through(0, [seen], now)

    def due(self) -> float:
        """Return when `tick` wants to be called."""
        return min((stage.due() for stage in self._stages), default=math.inf)

    def tick(self, now: float) -> list[Seen]:
        """Return what was held until now, altered by the faults behind the one that held it."""
        freed: list[Seen] = []
        for index, stage in enumerate(self._stages):
            freed += self._through(index + 1, stage.tick(now), now)
        return freed

    def _through(self, first: int, several: list[Seen], now: float) -> list[Seen]:
        for stage in self._stages[first:]:
            several = [passed for seen in several for passed in stage.take(seen, now)]
        return several
