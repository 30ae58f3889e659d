"""What packet loss costs a call over TCP: underruns, lead, recovery, and the microphone's delay.

`python -m tests.benchmarks.stalls [--loss 0,1,3] [--calls 5] [--answers 5] [--seed 1]`
Needs Node for the browser client's player. It takes about two minutes and prints two tables.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.benchmarks.calls import FRAME, Call, Engine, Talk, Way, engine, learner
from tests.benchmarks.contenders import Far, Server, started, token
from tests.benchmarks.heard import playbacks, quantile, uplink
from tests.benchmarks.loss import LossyProxy, Network, lossy_proxy
from tests.benchmarks.plan import RELAY
from tests.components import COMPONENTS

BURST: Final = Way("as it comes", "default", piece=0.25, burst=5.0)
PACED: Final = Way("paced to 500 ms", "paced", piece=0.25, burst=5.0)
LIVE: Final = Way("without a lead", "default", piece=0.04, burst=1.0)
WAYS: Final = (BURST, PACED, LIVE)
AGENTS: Final = "[agents.default]\n[agents.paced]\npace_ms = 500\n"


@dataclass(frozen=True, slots=True)
class Given:
    """What is measured."""

    losses: tuple[float, ...]
    calls: int
    talk: Talk
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All calls at one rate of loss."""

    loss: float
    calls: list[Call]


async def held(end: Engine, proxy: LossyProxy, calls: Sequence[Call]) -> None:
    """Hold these calls at the same time, through the proxy."""
    async with asyncio.TaskGroup() as tasks:
        for number, call in enumerate(calls):
            model = f"call-{id(proxy)}-{number}"
            end.calls[model] = call
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model={model}"
            tasks.create_task(learner(url, token(call.way.agent), call))


@asynccontextmanager
async def relay_and_engine() -> AsyncIterator[tuple[Server, Engine]]:
    """The relay as it is served, and an engine behind it."""
    with tempfile.TemporaryDirectory() as folder:
        agents = Path(folder, "agents.toml")
        agents.write_text(AGENTS)
        async with (
            engine() as end,
            started(RELAY, Far(end.port, None), None, RELAY_AGENTS=str(agents)) as server,
        ):
            yield server, end


async def measure(given: Given) -> list[Measured]:
    """One relay, and all rates of loss one after another."""
    found = []
    async with relay_and_engine() as (server, end):
        for loss in given.losses:
            calls = [Call(way, given.talk) for way in WAYS for _ in range(given.calls)]
            async with lossy_proxy(Network(loss / 100, seed=given.seed), server.port) as proxy:
                await held(end, proxy, calls)
            found.append(Measured(loss, calls))
            print(f"{loss:g} %: {proxy.lost} segments lost", file=sys.stderr, flush=True)
    return found


DOWN_HEAD: Final = """\
| answers | loss | underruns a minute | how long | in one answer | lead 1 % · 10 % · 50 % \
| recovery | onset | after an underrun |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""
UP_HEAD: Final = """\
| loss | delay 50 % · 99 % · most | stalls a minute | recovery | first third | last third |
|---:|---:|---:|---:|---:|---:|"""


def tables(found: Sequence[Measured], node: Path) -> str:
    """Both tables, as Markdown."""
    usual = quantile((took for call in found[0].calls for took in uplink(call, 0).delays), 0.5)
    rows = [DOWN_HEAD]
    for way in WAYS:
        for one in found:
            calls = [call for call in one.calls if call.way == way]
            rows.append(f"| {way.name} | {one.loss:g} % | {_down(calls, node)} |")
    rows += ["", UP_HEAD]
    rows += [f"| {one.loss:g} % | {_up(one.calls, usual)} |" for one in found]
    return "\n".join(rows)


def _down(calls: Sequence[Call], node: Path) -> str:
    heard = playbacks(calls, node)
    answers = [answer for call in heard for answer in call]
    minutes = sum(call.talk.answers * call.talk.answer for call in calls) / 60
    underruns = [one for answer in answers for one in answer.underruns]
    leads = [lead for answer in answers for lead in answer.leads]
    pairs = [pair for call in heard for pair in pairwise(call)]
    return " | ".join(
        [
            f"{len(underruns) / minutes:.1f}",
            _span(underruns),
            f"{max(sum(answer.underruns) for answer in answers):.0f}",
            " · ".join(f"{quantile(leads, part):.0f}" for part in (0.01, 0.1, 0.5)),
            _span([one for answer in answers for one in answer.recoveries]),
            _span([answer.onset for answer in answers]),
            _span([after.onset for before, after in pairs if before.underruns]),
        ]
    )


def _up(calls: Sequence[Call], usual: float) -> str:
    ups = [uplink(call, usual) for call in calls]
    delays = [took for up in ups for took in up.delays]
    recoveries = [one for up in ups for one in up.recoveries]
    first = [took for up in ups for took in up.delays[: len(up.delays) // 3]]
    last = [took for up in ups for took in up.delays[-(len(up.delays) // 3) :]]
    return " | ".join(
        [
            " · ".join(f"{quantile(delays, part):.0f}" for part in (0.5, 0.99, 1)),
            f"{len(recoveries) / (len(delays) * FRAME / 60):.1f}",
            _span(recoveries),
            f"{quantile(first, 0.5):.0f}",
            f"{quantile(last, 0.5):.0f}",
        ]
    )


def _span(values: Sequence[float]) -> str:
    """The median and the longest."""
    return f"{quantile(values, 0.5):.0f} · {max(values):.0f}" if values else "none"


def main() -> int:
    """Measure and print; 1 when sound was lost."""
    node = COMPONENTS["node"].find()
    if node is None:
        sys.exit(f"the player needs Node: {COMPONENTS['node'].source}")
    found = asyncio.run(measure(_arguments()))
    print(tables(found, node))
    broken = sum(not call.heard_all for one in found for call in one.calls)
    print(f"\n{broken} of {sum(len(one.calls) for one in found)} calls lost sound", file=sys.stderr)
    return 1 if broken else 0


def _arguments() -> Given:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.stalls",
        description="What packet loss costs a call over TCP, through a proxy that models it.",
    )
    parser.add_argument("--loss", default="0,1,3", help="percent of segments, with commas")
    parser.add_argument("--calls", type=int, default=5, help="calls at a time of each way")
    parser.add_argument("--answers", type=int, default=5, help="answers of 5 s in each call")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    losses = tuple(float(loss) for loss in given.loss.split(","))
    if not all(0 <= loss < 50 for loss in losses):
        parser.error("a loss is a percentage below 50")
    return Given(losses, given.calls, Talk(given.answers), given.seed)


if __name__ == "__main__":
    sys.exit(main())
