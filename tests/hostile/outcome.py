"""What an attack did to the others, the bounds it is held to, and the table of all attacks."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

LINES_A_SECOND: Final = 20.0
MEMORY_MIB: Final = 64.0
GIVEN_BACK_WITHIN: Final = 10.0
"""Seconds after an attack until memory and sessions are as before."""
LEFT_WITHIN: Final = 5.0
"""Seconds after it until a valid caller is let in, whatever it took away."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attack's figures; round trips in ms, memory in MiB, `seconds` of the attack itself.

    `own_trips` are the round trips without what their programs waited for a CPU, or the relay's own
    work meanwhile where that is more: they are what the bound is held to, since a machine that is
    busy with something else makes everybody wait.
    `before` and `after` are the relay's memory beside the attack, `most` during it. `left` counts
    the sessions that outlived their callers, `back` says whether a caller was let in afterwards.
    """

    name: str
    seconds: float
    round_trips: Sequence[float]
    own_trips: Sequence[float]
    ending: str | None
    let_in: Sequence[float]
    refusals: Sequence[str]
    shuts_out: bool
    back: bool
    left: int | None
    before: float
    most: float
    after: float
    lines: int
    done: dict[str, int] = field(default_factory=dict)

    def quantile(self, part: float) -> float:
        """Of the round trips; infinite where there was none."""
        return _quantile(self.round_trips, part)

    @property
    def own_p99(self) -> float:
        """Of the round trips as the bound is held to them."""
        return _quantile(self.own_trips, 0.99)

    @property
    def lines_a_second(self) -> float:
        return self.lines / self.seconds

    def broken(self, most_p99: float) -> list[str]:
        """The bounds that do not hold."""
        bounds = {
            f"p99 over {most_p99:.0f} ms": self.own_p99 > most_p99,
            "the call ended": self.ending is not None,
            "callers refused": bool(self.refusals) and not self.shuts_out,
            "nobody let in afterwards": not self.back,
            "sessions left": self.left is None or self.left > 0,
            f"memory over {MEMORY_MIB:.0f} MiB": self.after - self.before > MEMORY_MIB,
            f"over {LINES_A_SECOND:.0f} log lines/s": self.lines_a_second > LINES_A_SECOND,
        }
        return [name for name, is_broken in bounds.items() if is_broken]

    def line(self, most_p99: float) -> str:
        """All of it for a person who waits."""
        trip = " · ".join(f"{self.quantile(part):.0f}" for part in (0.5, 0.99, 1))
        memory = " · ".join(f"{mib:.0f}" for mib in (self.before, self.most, self.after))
        broken = ", ".join(self.broken(most_p99))
        busy = ", on a busy machine" if self.quantile(0.99) > most_p99 else ""
        verdict = f"NOT HELD: {broken}" if broken else f"ok{busy}"
        return (
            f"round trip {trip} ms, own p99 {self.own_p99:.0f}; {self._call}; "
            f"let in {self._let_in}; memory {memory} MiB; "
            f"{self.lines_a_second:.0f} log lines/s: {verdict}"
        )

    def row(self, most_p99: float) -> str:
        """The same as a row of the table."""
        cells = [
            self.name,
            " · ".join(f"{self.quantile(part):.0f}" for part in (0.5, 0.99, 1)),
            f"{self.own_p99:.0f}",
            self._call,
            self._let_in,
            " · ".join(f"{mib:.0f}" for mib in (self.before, self.most, self.after)),
            f"{self.lines_a_second:.0f}",
            f"{self.done.get('sent', 0) / 1e6:.1f} MB, {self.done.get('connects', 0)}",
            ", ".join(self.broken(most_p99)) or "held",
        ]
        return f"| {' | '.join(cells)} |"

    @property
    def _call(self) -> str:
        return "goes on" if self.ending is None else f"ended: {self.ending}"

    @property
    def _let_in(self) -> str:
        all_of_them = len(self.let_in) + len(self.refusals)
        took = f", {statistics.median(self.let_in):.0f} ms" if self.let_in else ""
        told = "".join(f"; {n}: {why}" for why, n in Counter(self.refusals).most_common(2))
        return f"{len(self.let_in)} of {all_of_them}{took}{told}"


def _quantile(trips: Sequence[float], part: float) -> float:
    ordered = sorted(trips)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("inf")


HEAD: Final = """\
| attack | round trip p50 · p99 · max | own p99 | the call | callers let in \
| memory before · most · after | log lines/s | sent, connections | bounds |
|---|---:|---:|---|---|---:|---:|---:|---|"""


def table(outcomes: Sequence[Outcome], most_p99: float, machine: str) -> str:
    """All of them as Markdown."""
    rows = [one.row(most_p99) for one in outcomes]
    held = sum(not one.broken(most_p99) for one in outcomes)
    return "\n".join([HEAD, *rows, "", f"{held} of {len(outcomes)} held. {machine}", ""])


def page(results: str, day: str, commit: str) -> str:
    """A page for docs/benchmarks with such a table."""
    return f"""\
# What a hostile caller costs the others, {day}
`python -m tests.hostile` at commit `{commit}`;
[README.md](README.md#what-a-hostile-caller-costs-the-others) says how it measures. Round trips in
ms, memory in MiB; "own p99" leaves out what the programs of a round trip waited for a CPU, and is
the relay's own work meanwhile where that is more.

{results}
How to read the rest of this folder: [README.md](README.md).
"""
