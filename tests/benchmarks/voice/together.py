"""Several people speak at once to one relay: what lags, what is mixed up, who waits longest."""

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.proc import cpu_seconds
from tests.benchmarks.voice.call import Call, Saying, Turn
from tests.benchmarks.voice.conversation import SETTLE
from tests.benchmarks.voice.material import recordings
from tests.benchmarks.voice.meter import metered
from tests.benchmarks.voice.programs import Relay, model_server, relay
from tests.benchmarks.voice.results import quantile
from tests.benchmarks.voice.runner import make_plan, relay_settings
from tests.engines.cascade.recordings import as_words, word_errors

TURNS: Final = 4
"""Recordings that each person speaks, all of them at the same moments."""
LAG: Final = "relay_event_loop_lag_seconds"
_BUCKET: Final = re.compile(rf'^{LAG}_bucket{{le="([^"]+)"}} (\S+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Together:
    """What came of it: seconds from the last voiced sample to the first sound, and the loop's lag.

    `mixed_up` are turns whose transcript is nearer to what another person said; `lag_over` maps
    seconds to how many of the lag's `lag_samples` exceeded them.
    """

    sessions: int
    load: float
    p50: float
    slowest: float
    silent: int
    busy: int
    mixed_up: int
    cpu_a_turn: float
    lag_samples: int
    lag_over: Mapping[str, int]
    turns: Sequence[Turn]


async def measure_together(count: int, folder: Path) -> None:
    """Let so many people speak at once, local parts, one model server; print and write it."""
    load = os.getloadavg()[0]
    sayings = recordings(max(count, TURNS) + 1, 0, folder.resolve() / "recordings")
    async with model_server() as server, metered(server) as meter:
        plan = make_plan(meter.base_url, sayings)
        async with relay(relay_settings(meter.base_url)) as ours, AsyncExitStack() as stack:
            calls = [await stack.enter_async_context(ours.call(plan)) for _ in range(count)]
            await asyncio.sleep(SETTLE)
            await calls[0].say(plan.warm)
            found = await _speak(ours, calls, plan.sayings, load)
    (folder / f"sessions-{count}.json").write_text(json.dumps(asdict(found), indent=1))
    print(_told(found))


async def _speak(
    ours: Relay, calls: Sequence[Call], sayings: Sequence[Saying], load: float
) -> Together:
    before, cpu = lag_over(await ours.scrape()), cpu_seconds(ours.pid)
    turns: list[Turn] = []
    mixed_up = 0
    for number in range(TURNS):
        said = [sayings[(number + one) % len(sayings)] for one in range(len(calls))]
        async with asyncio.TaskGroup() as group:
            pairs = zip(calls, said, strict=True)
            tasks = [group.create_task(call.say(saying)) for call, saying in pairs]
        now = [task.result() for task in tasks]
        mixed_up += sum(is_mixed_up(turn, said) for turn in now)
        turns += now
    after = lag_over(await ours.scrape())
    times = sorted(turn.seconds["sound"] for turn in turns if "sound" in turn.seconds)
    return Together(
        sessions=len(calls),
        load=round(load, 2),
        p50=quantile(times, 0.5),
        slowest=max(times, default=0.0),
        silent=len(turns) - len(times),
        busy=sum(len(turn.errors) for turn in turns),
        mixed_up=mixed_up,
        cpu_a_turn=(cpu_seconds(ours.pid) - cpu) / len(turns),
        lag_samples=after["0"] - before["0"],
        lag_over={bound: after[bound] - before[bound] for bound in after if bound != "0"},
        turns=turns,
    )


def is_mixed_up(turn: Turn, said: Sequence[Saying]) -> bool:
    """Whether a transcript is nearer to the words of another than to this speaker's own."""
    heard = as_words(turn.heard)
    if not heard:
        return False
    nearest = min(said, key=lambda saying: word_errors(as_words(saying.text), heard))
    own = word_errors(as_words(turn.said), heard)
    return word_errors(as_words(nearest.text), heard) < own


def lag_over(metrics: str) -> dict[str, int]:
    """How many samples of the event loop's lag exceeded each bucket's bound; "0" counts all."""
    buckets = {bound: int(float(count)) for bound, count in _BUCKET.findall(metrics)}
    total = buckets.pop("+Inf", 0)
    return {"0": total} | {bound: total - count for bound, count in buckets.items()}


def _told(found: Together) -> str:
    over = ", ".join(f"{count} over {bound} s" for bound, count in found.lag_over.items() if count)
    return (
        f"{found.sessions} people at once, {TURNS} turns each (load before it {found.load}):\n"
        f"  first sound p50 {found.p50:.2f} s, slowest {found.slowest:.2f} s;"
        f" {found.silent} without an answer, {found.busy} errors, {found.mixed_up} mixed up\n"
        f"  {found.cpu_a_turn:.2f} s of CPU a turn; event loop's lag: {found.lag_samples} samples,"
        f" {over or 'none over the least bucket'}"
    )
