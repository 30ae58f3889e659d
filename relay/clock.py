"""The machine's clock for tokens and dates, and clocks for durations that nobody can set."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Final, NoReturn

import structlog

STEP_SECONDS: Final = 1.0
"""Smaller steps are not told; time servers slew the clock by less, and slew both clocks."""
LOOK_SECONDS: Final = 1.0
"""Between two looks at the machine's clock."""

Clock = Callable[[], float]
"""Returns seconds."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MachineClock:
    """The time: `unix` as the machine has it now, for tokens and dates; `monotonic` for durations.

    The first is set by people and time servers, forward and back; the second only passes.
    """

    unix: Clock = time.time  # noqa: TID251 - the one place that hands it to the others
    monotonic: Clock = time.monotonic

    def even(self, not_before: float = -inf) -> Clock:
        """Return a clock that begins at the machine's date and then passes evenly.

        It begins at `not_before` (Unix seconds) if that is later, and is never set.
        """
        offset = max(self.unix(), not_before) - self.monotonic()
        monotonic = self.monotonic
        return lambda: offset + monotonic()


class StepDetector:
    """Tells by how much the machine's clock was set. Times are seconds."""

    def __init__(self, unix: float, monotonic: float) -> None:
        self._offset = unix - monotonic

    def look(self, unix: float, monotonic: float) -> float:
        """By how many seconds it was set since the last look, 0.0 if it was not."""
        step = unix - monotonic - self._offset
        if abs(step) < STEP_SECONDS:
            return 0.0
        self._offset += step
        return step


async def report_steps(
    clock: MachineClock, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> NoReturn:
    """Log, until cancelled, each time the machine's clock was set or the machine had slept."""
    steps = StepDetector(clock.unix(), clock.monotonic())
    while True:
        await sleep(LOOK_SECONDS)
        step = steps.look(clock.unix(), clock.monotonic())
        if step:
            kind = "forward" if step > 0 else "back"
            log.warning("the machine's clock was set", seconds=round(step, 3), kind=kind)
