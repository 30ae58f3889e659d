"""What a run measured: every turn with its parts, rows over all rounds, the table, the raw JSON."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from tests.benchmarks.voice.call import Turn
from tests.benchmarks.voice.conversation import Cost
from tests.benchmarks.voice.meter import Asked
from tests.engines.cascade.recordings import as_words, word_errors

STAGES: Final = (
    "end of turn", "transcriber", "first token", "first sentence", "synthesizer",
)  # fmt: skip
"""The parts of an answer's time, in their order; each ends where the next begins."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn, and what the model server saw of it: seconds after the last voiced sample."""

    turn: Turn
    asked: float | None = None
    token: float | None = None
    sentence: float | None = None

    @property
    def sound(self) -> float | None:
        """When the listener heard the first sound; None where nothing was heard."""
        return self.turn.seconds.get("sound")

    def parts(self) -> dict[str, float]:
        """Seconds that each part took; one that was done in the shadow of the one before took 0.

        Where the model server was not asked, the transcript ends the transcriber's part.
        """
        if self.sound is None:
            return {}
        noted = self.turn.seconds
        asked = noted.get("transcribed") if self.asked is None else self.asked
        marks = (noted.get("stopped"), asked, self.token, self.sentence)
        taken, before = {}, 0.0
        for name, mark in zip(STAGES, (*marks, self.sound), strict=True):
            now = min(self.sound, before if mark is None else max(before, mark))
            taken[name], before = now - before, now
        return taken


def answered(turn: Turn, asked: Asked | None) -> Answered:
    """A turn beside the request that its answer came from."""
    if asked is None:
        return Answered(turn)
    turn.answer = asked.answer
    marks = (asked.at, asked.token, asked.sentence)
    return Answered(turn, *(mark and round(mark - turn.ended, 4) for mark in marks))


@dataclass(frozen=True, slots=True)
class Held:
    """One contender's conversation in one round; `load` is the machine's before it."""

    contender: str
    number: int
    load: float
    cost: Cost
    answers: Sequence[Answered]


@dataclass(slots=True)
class Results:
    """All conversations so far, and what a reader has to know."""

    held: list[Held] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One contender over all rounds, in seconds; `silent` turns got no answer."""

    contender: str
    turns: int
    p50: float
    p95: float
    slowest: float
    unfinished_p50: float
    cpu: float
    resident_mib: float
    proportional_mib: float
    word_errors: float
    silent: int
    early: int
    parts: dict[str, float]


def rows(held: Sequence[Held]) -> list[Row]:
    """A row for each contender, in the order in which they came first."""
    names = dict.fromkeys(one.contender for one in held)
    return [_row(name, [one for one in held if one.contender == name]) for name in names]


def _row(name: str, mine: Sequence[Held]) -> Row:
    answers = [answer for one in mine for answer in one.answers]
    whole = [answer for answer in answers if answer.turn.finished]
    times = sorted(answer.sound for answer in whole if answer.sound is not None)
    broken = [a.sound for a in answers if not a.turn.finished and a.sound is not None]
    return Row(
        contender=name,
        turns=len(whole),
        p50=quantile(times, 0.5),
        p95=quantile(times, 0.95),
        slowest=times[-1] if times else 0.0,
        unfinished_p50=_median(broken),
        cpu=sum(one.cost.cpu for one in mine) / max(1, len(answers)),
        resident_mib=_median(one.cost.resident_mib for one in mine),
        proportional_mib=_median(one.cost.proportional_mib for one in mine),
        word_errors=error_rate(answer.turn for answer in answers),
        silent=sum(answer.sound is None for answer in answers),
        early=sum(answer.turn.early for answer in answers),
        parts={part: _median(a.parts()[part] for a in whole if a.sound) for part in STAGES},
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that so much of an ordered sequence does not exceed; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]


def error_rate(turns: Iterable[Turn]) -> float:
    """Words that were put in, left out or exchanged, of those that were said."""
    pairs = [(as_words(turn.said), as_words(turn.heard)) for turn in turns]
    said = sum(len(words) for words, _ in pairs)
    return sum(word_errors(*pair) for pair in pairs) / said if said else 0.0


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return statistics.median(known) if known else 0.0


def markdown(results: Results) -> str:
    """The tables, as they go into a page of docs/benchmarks."""
    found = rows(results.held)
    lines = [
        "| contender | turns | p50 s | p95 s | slowest s | unfinished p50 s | CPU s a turn"
        " | resident MiB | proportional MiB | word errors | no answer | too early |",
        "|---|" + "---:|" * 11,
    ]
    lines += [
        f"| {row.contender} | {row.turns} | {row.p50:.2f} | {row.p95:.2f} | {row.slowest:.2f}"
        f" | {row.unfinished_p50:.2f} | {row.cpu:.2f} | {row.resident_mib:.0f}"
        f" | {row.proportional_mib:.0f} | {row.word_errors:.1%} | {row.silent} | {row.early} |"
        for row in found
    ]
    lines += ["", f"| median seconds of | {' | '.join(STAGES)} |", "|---|" + "---:|" * len(STAGES)]
    lines += [
        f"| {row.contender} | {' | '.join(f'{row.parts[part]:.2f}' for part in STAGES)} |"
        for row in found
    ]
    loads = [one.load for one in results.held]
    if loads:
        lines += [
            "",
            f"Load of the machine before each conversation: {min(loads)} to {max(loads)}.",
        ]
    return "\n".join([*lines, *results.notes, ""])


def as_json(results: Results) -> str:
    """Every turn measured."""
    return json.dumps(asdict(results), indent=1)
