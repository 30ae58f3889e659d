"""Puts load on one contender for a while and measures it."""

import asyncio
import time
from array import array
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.fleet import Engines, Fleet
from tests.benchmarks.plan import Latency, Scenario, Window
from tests.benchmarks.proc import cpu_seconds
from tests.benchmarks.schedule import Agenda, Material, Pace, agenda

_IN_A_ROW: Final = 8  # frames sent before the generator reads again
_TICK: Final = 0.001  # seconds: shorter sleeps would keep the generator's core busy with nothing
_LATEST: Final = 3.0  # seconds that frames may take to arrive after the last was sent
_MOST_BEHIND: Final = 20  # frames of one session under way: beyond it more load proves nothing
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """One window to come: whose (`pid` 0: nobody's), what, and how long in seconds."""

    contender: str
    pid: int
    scenario: Scenario
    round: int
    scale: float
    warm: float
    window: float


class Field:
    """Both ends of the sessions that are loaded."""

    def __init__(self, fleet: Fleet, engines: Engines, material: Material) -> None:
        self._fleet = fleet
        self._engines = engines
        self._material = material
        self._tallies = (fleet.tally, engines.tally)

    @property
    def sent(self) -> int:
        """Frames sent so far."""
        return sum(tally.sent for tally in self._tallies)

    @property
    def received(self) -> int:
        """Frames received so far."""
        return sum(tally.received for tally in self._tallies)

    async def measure(self, load: Load) -> Window:
        """Warm up, measure, and wait for what is still under way."""
        sent, received = self.sent, self.received
        plan = self._agenda(load)
        await self._drive(plan, load.warm)
        self._keep(True)
        began = time.monotonic()
        counted, cpu, own = self.received, _cpu(load.pid), time.process_time()
        await self._drive(plan, load.window)
        cpu, own = _cpu(load.pid) - cpu, time.process_time() - own
        seconds, frames = time.monotonic() - began, self.received - counted
        self._keep(False)
        latency = _latency(self._engines.tally.nanoseconds, self._fleet.tally.nanoseconds)
        await self._arrive()
        return Window(
            contender=load.contender,
            scenario=load.scenario,
            round=load.round,
            scale=load.scale,
            seconds=seconds,
            frames=frames,
            sent=self.sent - sent,
            received=self.received - received,
            cpu=cpu,
            load_cpu=own,
            latency=latency,
        )

    def _agenda(self, load: Load) -> Agenda:
        up = [self._fleet.tally.sending(one) for one in self._fleet.here]
        down = [self._engines.tally.sending(one) for one in self._engines.here]
        pace = Pace(load.scenario.answers, load.scale)
        return agenda(up, down, self._material, pace, time.monotonic_ns())

    def _keep(self, keeping: bool) -> None:
        for tally in self._tallies:
            tally.keeping = keeping
            if keeping:
                tally.nanoseconds = array("q")

    async def _drive(self, plan: Agenda, seconds: float) -> None:
        """Send what is due until the time is over or the contender is hopelessly behind."""
        end = time.monotonic_ns() + int(seconds * _NS)
        most = _MOST_BEHIND * len(self._fleet.here)
        while (now := time.monotonic_ns()) < end and self.sent - self.received < most:
            for _ in range(_IN_A_ROW):
                if plan.next > now:
                    break
                plan.fire(time.monotonic_ns())
            idle = plan.next - time.monotonic_ns()
            await asyncio.sleep(max(idle / _NS, _TICK) if idle > 0 else 0)

    async def _arrive(self) -> None:
        """Wait for all that was sent."""
        latest = time.monotonic() + _LATEST
        while self.received < self.sent and time.monotonic() < latest:
            await asyncio.sleep(0.005)


def _cpu(pid: int) -> float:
    return cpu_seconds(pid) if pid else 0.0


def _latency(up: "array[int]", down: "array[int]") -> Latency:
    both = sorted([*up, *down])
    return Latency(
        *(_quantile(both, part) for part in (0.5, 0.99)),
        *(_quantile(sorted(up), part) for part in (0.5, 0.99)),
        *(_quantile(sorted(down), part) for part in (0.5, 0.99)),
    )


def _quantile(sorted_nanoseconds: list[int], part: float) -> float:
    """Milliseconds; 0 where nothing came."""
    if not sorted_nanoseconds:
        return 0.0
    return sorted_nanoseconds[int(part * (len(sorted_nanoseconds) - 1))] / 1e6
