"""The CPU that a relayed frame costs here and in another checkout, in one interleaved run.

`python -m tests.benchmarks.beside FOLDER [--rounds N] [--sessions N] [--most RATIO]`
Both relays run at once and are loaded in turn, so that a noisy minute hits both. Prints a row for
each load, and ends with 1 where the median ratio is above `--most`, or a frame was lost.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from tests.benchmarks.plan import RELAY, RELAY_OF, Plan, Scenario, Window
from tests.benchmarks.runner import Runner

MOST: Final = 1.08
"""The ratio that a row may have: CPU within 8 %."""
ROUNDS, SESSIONS, WINDOW = 9, 100, 2.0
MINUTES: Final = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians over the rounds, in µs of CPU a frame; `ratio` is the median of each round's."""

    scenario: Scenario
    rounds: int
    here: float
    there: float
    ratio: float
    least: float
    most: float

    def __str__(self) -> str:
        """A row for a person."""
        return (
            f"{self.scenario!s:28} here {self.here:6.1f}  there {self.there:6.1f} µs/frame  "
            f"ratio {self.ratio:.3f} ({self.least:.3f} to {self.most:.3f}, {self.rounds} rounds)"
        )


def compared(windows: Sequence[Window], other: str) -> list[Comparison]:
    """The relay beside the other, load by load; a round counts that both have at one rate."""
    found = []
    for scenario in dict.fromkeys(window.scenario for window in windows):
        mine = {
            (window.contender, window.round, window.scale): window.microseconds
            for window in windows
            if window.scenario == scenario
        }
        pairs = [
            (here, mine[other, number, scale])
            for (name, number, scale), here in mine.items()
            if name == RELAY and (other, number, scale) in mine
        ]
        if pairs:
            found.append(_comparison(scenario, pairs))
    return found


def _comparison(scenario: Scenario, pairs: Sequence[tuple[float, float]]) -> Comparison:
    here, there = zip(*pairs, strict=True)
    ratios = [one / two for one, two in pairs]
    return Comparison(
        scenario,
        rounds=len(pairs),
        here=statistics.median(here),
        there=statistics.median(there),
        ratio=statistics.median(ratios),
        least=min(ratios),
        most=max(ratios),
    )


def main() -> int:
    """Run and print; 1 where a ratio is too high or a frame was lost."""
    given = _arguments()
    other = f"{RELAY_OF}{given.folder.resolve()}"
    plan = Plan(
        contenders=(RELAY, other),
        upstreams=("plain",),
        sessions=(given.sessions,),
        rounds=given.rounds,
        window=given.seconds,
        idle_sessions=0,
        micro=False,
        limit=60.0 * MINUTES,
    )
    runner = Runner(plan, lambda line: print(line, file=sys.stderr, flush=True))
    uvloop.run(runner.run())
    windows = runner.results.windows
    rows = compared(windows, other)
    for row in rows:
        print(row)
    lost = sum(window.lost for window in windows)
    return int(not rows or bool(lost) or any(row.ratio > given.most for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.beside",
        description="CPU of a relayed frame here and in another checkout, in one run.",
    )
    parser.add_argument("folder", type=Path, help="of the other checkout, with its relay/ in it")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--seconds", type=float, default=WINDOW, help="of each measured window")
    parser.add_argument("--most", type=float, default=MOST, help="the ratio that is accepted")
    given = parser.parse_args()
    if not (given.folder / "relay").is_dir():
        parser.error(f"{given.folder} has no relay")
    return given


if __name__ == "__main__":
    sys.exit(main())
