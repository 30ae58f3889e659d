"""A whole conversation with one agent, warmed up, with what it cost; also runs with the peers."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.proc import cpu_seconds, proportional_kib, resident_kib
from tests.benchmarks.voice.call import Call, Plan, Turn

SETTLE: Final = 2.0
"""Seconds of silence before the first word."""
SPREAD: Final = 5.0
"""Seconds over which several calls begin, about as long as a turn."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a program's processes took for the measured turns, and hold at their end.

    `cpu` is seconds in all, `wall` the seconds that it was taken over. Resident memory counts what
    processes share once for each of them, proportional memory once in all.
    """

    cpu: float
    wall: float
    resident_mib: float
    proportional_mib: float


async def converse(call: Call, plan: Plan, pid: int, report: Path | None = None) -> "Conversation":
    """Speak the plan's recordings to the agent whose program is `pid`; write the report."""
    await asyncio.sleep(SETTLE)
    await call.say(plan.warm)
    loop = asyncio.get_running_loop()
    cpu, began = cpu_seconds(pid), loop.time()
    turns = await call.talk(plan.sayings)
    cost = Cost(
        cpu_seconds(pid) - cpu,
        loop.time() - began,
        resident_kib(pid) / 1024,
        proportional_kib(pid) / 1024,
    )
    conversation = Conversation(turns, cost)
    if report is not None:
        conversation.write(report)
    return conversation


async def converse_at_once(
    calls: Sequence[Call], plan: Plan, pid: int, empty_mib: float, report: Path | None = None
) -> "Crowd":
    """Speak the plan's recordings in every call, the calls spread over `SPREAD` seconds.

    `empty_mib` is what the program held before the calls.
    """
    await asyncio.sleep(SETTLE)
    loop = asyncio.get_running_loop()
    cpu, began = cpu_seconds(pid), loop.time()

    async def talk(index: int) -> list[Turn]:
        await asyncio.sleep(SPREAD * index / len(calls))
        return await calls[index].talk(plan.sayings)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(talk(index)) for index in range(len(calls))]
    spent, passed = cpu_seconds(pid) - cpu, loop.time() - began
    turns = [turn for task in tasks for turn in task.result()]
    mib = (resident_kib(pid) / 1024 - empty_mib) / len(calls)
    crowd = Crowd(len(calls), spent / passed, mib, turns)
    if report is not None:
        report.write_text(json.dumps(asdict(crowd)))
    return crowd


@dataclass(frozen=True, slots=True)
class Crowd:
    """What came of several calls at once: the cores in use, and MiB that each call added."""

    calls: int
    cores: float
    mib_a_call: float
    turns: Sequence[Turn]

    @classmethod
    def read(cls, path: Path) -> "Crowd":
        fields: dict[str, Any] = json.loads(path.read_text())
        return cls(**fields | {"turns": [Turn(**one) for one in fields["turns"]]})


@dataclass(frozen=True, slots=True)
class Conversation:
    """What came of one agent's conversation."""

    turns: Sequence[Turn]
    cost: Cost

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Conversation":
        fields: dict[str, Any] = json.loads(path.read_text())
        return cls([Turn(**one) for one in fields["turns"]], Cost(**fields["cost"]))
