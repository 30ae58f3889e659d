"""A database that hangs costs the sound nothing: two relays, their windows interleaved."""

import asyncio
import statistics
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
import uvloop

from tests.benchmarks import frames
from tests.benchmarks.fleet import Engines, Fleet
from tests.benchmarks.load import Field, Load
from tests.benchmarks.plan import DIRECT, Scenario
from tests.benchmarks.schedule import Material
from tests.chaos.learners import user_of
from tests.chaos.programs import AGENT, Relay
from tests.components import needs
from tests.supabase.fixtures import Projects
from tests.supabase.project import Project

pytestmark = [pytest.mark.chaos, needs("postgresql", "postgrest")]

SESSIONS = 50
LEAST_ROUNDS, MOST_ROUNDS = 8, 30
"""Windows of each; more where others' work on the machine leaves it open."""
WARM, WINDOW = 0.3, 1.5  # seconds
BOUND_MS = 20.0
"""S3-40: storage delays sound by less than one frame of it."""
HEALTHY, HANGING = "storage healthy", "database hanging"


@dataclass
class Line:
    """Callers' way to the fake engine, and what each window of it showed, in ms."""

    url: str
    token: str
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    @property
    def usual_p99(self) -> float:
        return statistics.median(self.p99)


async def relay_of(project: Project, port: int, stack: AsyncExitStack) -> Relay:
    await project.add_agent(AGENT)
    await project.add_user(user_of(1))
    relay = Relay(project, port)
    stack.callback(relay.remove)
    await relay.start()
    return relay


async def window(line: Line, engines: Engines) -> None:
    """New sessions, a load of 50 frames up and 30 down a second each, and their farewell."""
    fleet = Fleet(engines)
    await fleet.open(SESSIONS, line.url, line.token, None)
    try:
        loaded = Field(fleet, engines, Material(frames.append(), frames.turns()))
        plan = Load("", 0, Scenario("plain", SESSIONS, "steady"), 0, 1.0, WARM, WINDOW)
        seen = await loaded.measure(plan)
    finally:
        await fleet.close()
    assert seen.lost == 0
    line.p50.append(seen.latency.p50)
    line.p99.append(seen.latency.p99)


def is_as_good(lines: dict[str, Line]) -> bool:
    """Whether hanging is within 10 % or 0.5 ms of healthy."""
    direct = lines[DIRECT].usual_p99
    healthy, hanging = (lines[name].usual_p99 - direct for name in (HEALTHY, HANGING))
    return hanging <= max(healthy * 1.1, healthy + 0.5)


async def measured(well: Project, ill: Project) -> tuple[dict[str, Line], list[str]]:
    """Rounds of one window each, in turn; and what the two relays say of their storage."""
    engines = Engines()
    async with AsyncExitStack() as stack:
        await engines.start(None)
        stack.push_async_callback(engines.aclose)
        lines = {DIRECT: Line(f"ws://127.0.0.1:{engines.port}/v1/realtime", "")}
        relays = {}
        for name, project in ((HEALTHY, well), (HANGING, ill)):
            relay = relays[name] = await relay_of(project, engines.port, stack)
            # Aware of the relay, or it would not be sent the words, which count as lost.
            url = f"{relay.voice_url}?relay=1&agent_id={AGENT}"
            lines[name] = Line(url, project.mint(user_of(1)))
            await window(Line(url, lines[name].token), engines)  # what is read once is read now
        ill.misbehave.always("hang")
        for number in range(MOST_ROUNDS):
            turn = (DIRECT, HEALTHY, HANGING) if number % 2 else (DIRECT, HANGING, HEALTHY)
            for name in turn:
                await window(lines[name], engines)
            if number + 1 >= LEAST_ROUNDS and is_as_good(lines):
                break
        said = [f"{name}: {await storage(relay)}" for name, relay in relays.items()]
        ill.misbehave.stop()
        await asyncio.sleep(0.1)
    return lines, said


async def storage(relay: Relay) -> str:
    figures = await relay.scrape()
    depth, retries = (figures[f"relay_journal_{name}"] for name in ("depth", "retries_total"))
    return f"{depth:.0f} records wait, {retries:.0f} retries"


def test_S3_40_sound_is_as_quick_while_the_database_hangs(
    projects: Projects, tell: Callable[..., None]
) -> None:
    """Added p99 within 10 % or 0.5 ms of a healthy database's, and below one frame of sound."""
    with projects.copy("s3_migrated") as well, projects.copy("s3_migrated") as ill:
        lines, said = uvloop.run(measured(well, ill))
        assert sum(ill.misbehave.done.values()) > 0
    direct = lines[DIRECT].usual_p99
    for name, line in lines.items():
        tell(
            f"{name:17} p50 {statistics.median(line.p50):5.2f} ms, p99 {line.usual_p99:6.2f} ms"
            f" (added {line.usual_p99 - direct:6.2f}), median of {len(line.p99)} windows,"
            f" {SESSIONS} sessions"
        )
    tell(*said)
    assert is_as_good(lines)
    assert lines[HANGING].usual_p99 - direct < BOUND_MS
