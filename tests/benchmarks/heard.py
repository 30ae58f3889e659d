"""How a call over a network that stalls is heard: underruns, lead, lateness, recovery."""

import json
import subprocess
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.benchmarks.calls import RATE, Answer, Call

QUANTUM_MS: Final = 128 / RATE * 1000
_PLAYER: Final = Path(__file__).with_name("player.mjs")
_STALL_MS: Final = 50.0  # a piece that is so much later than the one before it allows
_LATE_MS: Final = 20.0  # a frame that is so much later than usual
_REFILLED_MS: Final = 20.0  # the lead is what it was, to so much


@dataclass(frozen=True, slots=True)
class Playback:
    """How one answer was played, in ms.

    `onset` is from the engine's first sound to the learner's; `leads` are what the player held at
    each quantum until the last piece came; `recoveries` from the end of a stall until the player
    held as much as before it.
    """

    onset: float
    underruns: list[float]
    leads: list[float]
    recoveries: list[float]


@dataclass(frozen=True, slots=True)
class Uplink:
    """How one call's microphone reached the engine, in ms.

    `recoveries` are from the first late frame's arrival to the next one that was on time, or to the
    last frame of all.
    """

    delays: list[float]
    recoveries: list[float]


def quantile(values: Iterable[float], part: float) -> float:
    """The value that this part of them does not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def playbacks(calls: Sequence[Call], node: Path) -> list[list[Playback]]:
    """Play each call with the client's own player, which Node runs."""
    arrivals = json.dumps([list(_arrivals(call)) for call in calls])
    done = subprocess.run(
        [node, _PLAYER], input=arrivals, capture_output=True, text=True, check=True
    )
    return [_played(*both) for both in zip(calls, json.loads(done.stdout), strict=True)]


def uplink(call: Call, usual: float) -> Uplink:
    """Judge the microphone's frames by the delay (ms) that they usually have."""
    took = delays(call, lambda _: True)
    late = [delay > usual + _LATE_MS for delay in took]
    recoveries = []
    began: float | None = None
    for is_late, (_, at) in zip(late, call.reached, strict=True):
        if is_late and began is None:
            began = at
        elif not is_late and began is not None:
            recoveries.append((at - began) * 1000)
            began = None
    if began is not None:
        recoveries.append((call.reached[-1][1] - began) * 1000)
    return Uplink(took, recoveries)


def delays(call: Call, sent: Callable[[float], bool]) -> list[float]:
    """How long (ms) the frames took that were sent at moments like these."""
    took = ((call.frames[number], at) for number, at in call.reached)
    return [(at - start) * 1000 for start, at in took if sent(start)]


def _arrivals(call: Call) -> Iterator[tuple[float, str, int]]:
    begun = call.answers[0].sent
    for number, answer in enumerate(call.answers):
        item = f"item_{number}"
        for at, samples in zip(answer.arrived, answer.samples, strict=True):
            yield (at - begun) * 1000, item, samples
        yield (answer.ended - begun) * 1000, item, 0


def _played(call: Call, counts: list[int]) -> list[Playback]:
    begun = call.answers[0].sent
    before = 0
    found = []
    for answer in call.answers:
        found.append(_playback(answer, begun, counts, before))
        before += sum(answer.samples)
    return found


def _playback(answer: Answer, begun: float, counts: list[int], before: int) -> Playback:
    """Judge one answer; `before` samples of others are played before it."""
    first = bisect_right(counts, before)  # the quantum with its first sample
    last = bisect_right(counts, before + sum(answer.samples) - 1)
    quanta = list(pairwise(counts[first : last + 1]))
    sent = (answer.sent - begun) * 1000
    arrived = [(at - begun) * 1000 for at in answer.arrived]

    def lead(now: float) -> float:
        """What the player holds of it at this moment."""
        came = sum(answer.samples[: bisect_right(arrived, now)])
        quantum = min(int(now / QUANTUM_MS), len(counts) - 1)
        return (came - max(0, counts[quantum] - before)) / RATE * 1000

    ends = min(last, int(arrived[-1] / QUANTUM_MS))
    return Playback(
        onset=first * QUANTUM_MS - sent,
        underruns=list(_runs(late == early for early, late in quanta)),
        leads=[lead(place * QUANTUM_MS) for place in range(first, ends)],
        recoveries=list(_refills(arrived, [lead(at) for at in arrived], _period(answer))),
    )


def _period(answer: Answer) -> float:
    """The usual time (ms) between two pieces of an answer."""
    return quantile(((b - a) * 1000 for a, b in pairwise(answer.arrived)), 0.5)


def _runs(silent: Iterable[bool]) -> Iterator[float]:
    """Lengths (ms) of the silences."""
    length = 0
    for one in silent:
        if one:
            length += 1
        elif length:
            yield length * QUANTUM_MS
            length = 0


def _refills(arrived: list[float], leads: list[float], period: float) -> Iterator[float]:
    """From the end of each stall until the lead is what it was, or all of the answer is there."""
    place = 1
    while place < len(arrived):
        if arrived[place] - arrived[place - 1] <= period + _STALL_MS:
            place += 1
            continue
        resumed, wanted = arrived[place], leads[place - 1] - _REFILLED_MS
        while place < len(arrived) - 1 and leads[place] < wanted:
            place += 1
        yield arrived[place] - resumed
        place += 1
