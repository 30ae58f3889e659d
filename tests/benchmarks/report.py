"""Windows become rows: medians over rounds, ratios within rounds, latency less the direct one."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.benchmarks.plan import (
    CONTENDERS,
    DIRECT,
    FRAMES_PER_SESSION,
    NGINX,
    RELAY,
    SKELETON,
    Memory,
    Scenario,
    Window,
)
from tests.benchmarks.runner import Results

_BUSY: Final = 0.9  # of its core: beyond it the load generator is what is measured
_HEADS: Final = (
    "contender", "rate", "µs a frame", "x skeleton", "x nginx", "added p50 ms", "added p99 ms",
    "sessions a core", "lost",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One contender under one load. Ratios are None where what they compare with was not run.

    `busiest` is the load generator's part of its core at most; `added` are milliseconds.
    """

    scenario: Scenario
    contender: str
    rounds: int
    scale: float
    microseconds: float
    to_skeleton: float | None
    to_nginx: float | None
    added_p50: float
    added_p99: float
    lost: int
    busiest: float

    @property
    def sessions_a_core(self) -> int:
        """How many such sessions would fill a core, by what a frame cost here."""
        return int(1e6 / (self.microseconds * FRAMES_PER_SESSION)) if self.microseconds else 0


def rows(windows: Sequence[Window]) -> list[Row]:
    """In the order of scenarios and, within them, of contenders."""
    made = []
    for scenario in dict.fromkeys(window.scenario for window in windows):
        here = [window for window in windows if window.scenario == scenario]
        for name in CONTENDERS:
            # Where a contender had to be asked for less, what came before that does not count.
            scale = min((one.scale for one in here if one.contender == name), default=0.0)
            mine = [one for one in here if one.contender == name and one.scale == scale]
            if mine:
                made.append(_row(scenario, mine, here))
    return made


def _row(scenario: Scenario, mine: Sequence[Window], here: Sequence[Window]) -> Row:
    direct = [window.latency for window in here if window.contender == DIRECT]

    def less_direct(own: Iterable[float], other: Iterable[float]) -> float:
        return _median(own) - _median(other)

    return Row(
        scenario=scenario,
        contender=mine[0].contender,
        rounds=len(mine),
        scale=mine[0].scale,
        microseconds=_median(window.microseconds for window in mine),
        to_skeleton=_ratio(mine, here, SKELETON),
        to_nginx=_ratio(mine, here, NGINX),
        added_p50=less_direct((w.latency.p50 for w in mine), (one.p50 for one in direct)),
        added_p99=less_direct((w.latency.p99 for w in mine), (one.p99 for one in direct)),
        lost=sum(window.lost for window in mine),
        busiest=max(window.load_cpu / window.seconds for window in mine),
    )


def _ratio(mine: Sequence[Window], here: Sequence[Window], other: str) -> float | None:
    """The median of the ratios of each round, which a slow minute leaves as they are."""
    theirs = {one.round: one.microseconds for one in here if one.contender == other}
    ratios = [w.microseconds / theirs[w.round] for w in mine if theirs.get(w.round)]
    return _median(ratios) if ratios else None


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return statistics.median(known) if known else 0.0


def goals(found: Sequence[Row]) -> list[str]:
    """What the relay is held to, and what was seen; steady rate, most sessions."""
    told = []
    for upstream, wanted in (("plain", (1.2, 1.6, 600)), ("tls", (None, 1.4, 400))):
        mine = [
            row for row in found if row.contender == RELAY and row.scenario.upstream == upstream
        ]
        steady = [row for row in mine if row.scenario.answers == "steady"]
        if not steady:
            continue
        row = max(steady, key=lambda one: one.scenario.sessions)
        skeleton, nginx, sessions = wanted
        told += [
            f"{row.scenario}: {_times(row.to_skeleton)} the skeleton"
            + (f" (goal {skeleton})" if skeleton else "")
            + f", {_times(row.to_nginx)} nginx (goal {nginx}),"
            f" {row.sessions_a_core} sessions a core (goal {sessions}),"
            f" p99 added {row.added_p99:.1f} ms (goal 5)"
        ]
    return told


def _times(ratio: float | None) -> str:
    return f"{ratio:.2f} x" if ratio is not None else "-"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.contender,
        f"{row.scale:.0%}",
        f"{row.microseconds:.1f}",
        f"{row.to_skeleton:.2f}" if row.to_skeleton is not None else "-",
        f"{row.to_nginx:.2f}" if row.to_nginx is not None else "-",
        f"{row.added_p50:.2f}",
        f"{row.added_p99:.2f}",
        str(row.sessions_a_core),
        str(row.lost),
    )


def _lined_up(table: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that can be read as it is."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = [("-" * (width - 1)) + ":" for width in widths[1:]]
    return [line(table[0]), line(["-" * widths[0], *rule]), *map(line, table[1:])]


def markdown(results: Results) -> str:
    """All of it, to be read in a terminal or on a page."""
    found = rows(results.windows)
    parts = [f"{_machine()}. {_explained(found)}"]
    parts += [f"Note: {note}." for note in results.notes]
    for scenario in dict.fromkeys(row.scenario for row in found):
        here = [row for row in found if row.scenario == scenario]
        table = _lined_up([_HEADS, *map(_cells, here)])
        parts.append("\n".join([f"**{scenario}**", "", *table]))
    parts += _memory(results.memory) + _micro(results.micro)
    if told := goals(found):
        parts.append("\n".join(f"- {line}" for line in told))
    return "\n\n".join(parts) + "\n"


def _explained(found: Sequence[Row]) -> str:
    rounds = max((row.rounds for row in found), default=0)
    told = (
        f"Medians of up to {rounds} interleaved rounds; ratios are medians of each round's. Rate:"
        " of 50 frames up and 30 down a second and session. Added: less the same load without a"
        " relay. Sessions a core: by the CPU of a frame"
    )
    busiest = max((row.busiest for row in found), default=0.0)
    warning = ", TOO MUCH: latencies are its own" if busiest > _BUSY else ""
    return f"{told}. The load generator used {busiest:.0%} of its core at most{warning}."


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _memory(memory: Sequence[Memory]) -> list[str]:
    if not memory:
        return []
    table = [(one.contender, one.upstream, str(one.sessions), f"{one.kib:.1f}") for one in memory]
    head = ("contender", "upstream", "idle sessions", "KiB a session")
    return ["\n".join(["**Memory**", "", *_lined_up([head, *table])])]


def _micro(micro: dict[str, float]) -> list[str]:
    if not micro:
        return []
    table = [(name, f"{value:.2f}") for name, value in micro.items()]
    return ["\n".join(["**Functions alone**", "", *_lined_up([("function", "µs"), *table])])]


def as_json(results: Results) -> str:
    """All of it, to be read by a program: rows, and each window they come from."""
    content: dict[str, Any] = {
        "machine": _machine(),
        "notes": results.notes,
        "goals": goals(rows(results.windows)),
        "rows": [
            {**asdict(row), "sessions_a_core": row.sessions_a_core} for row in rows(results.windows)
        ],
        "memory": [asdict(one) for one in results.memory],
        "micro": results.micro,
        "windows": [
            {**asdict(one), "microseconds": one.microseconds, "lost": one.lost}
            for one in results.windows
        ],
    }
    return json.dumps(content, indent=1) + "\n"
