"""Runs a plan: contenders in turn, round after round, so that a noisy minute hits them all."""

import asyncio
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks import frames, micro
from tests.benchmarks.contenders import Far, Server, missing, started, token
from tests.benchmarks.fleet import Engines, Fleet
from tests.benchmarks.load import Field, Load
from tests.benchmarks.plan import (
    DIRECT,
    FRAMES_PER_SESSION,
    NGINX,
    RELAY,
    RELAY_OF,
    SKELETON,
    Memory,
    Plan,
    Scenario,
    Upstream,
    Window,
)
from tests.benchmarks.proc import cpu_seconds, resident_kib
from tests.benchmarks.schedule import Material
from tests.websocket.certificate import make_certificate

_FULL: Final = 0.9  # of a core: a contender above that is asked for less
_HOPELESS: Final = 1.5  # of a core, by what a frame cost at less load, where it costs more
_DISTURBED: Final = 2  # windows that a contender may fall behind in, before it is asked for less
_SMALLEST: Final = 1 / 8  # of the full rate
_QUIET: Final = 0.05  # seconds in which a server at rest does next to nothing
_WARM_SESSIONS: Final = 8  # opened and closed before memory is looked at for the first time
Tell = Callable[[str], None]


@dataclass(slots=True)
class Results:
    """All that was seen."""

    windows: list[Window] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    micro: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cores:
    """Where what runs: contenders on one core, the load on another where there is one."""

    contender: int
    load: int


def cores() -> Cores:
    """The first two that this process may use."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(first, others[0] if others else first)


class Runner:
    """One run of one plan; `results` grows meanwhile."""

    def __init__(self, plan: Plan, tell: Tell) -> None:
        self._plan = plan
        self._tell = tell
        self._cores = cores()
        self._material = Material(frames.append(), frames.turns())
        self._token = token()
        self._scales: dict[tuple[str, Scenario], float] = {}
        self._client_tls: ssl.SSLContext | None = None
        self._slot = 0
        self.results = Results()

    async def run(self) -> None:
        """All of it, or as much as fits into the plan's limit."""
        if self._cores.contender == self._cores.load:
            self.results.notes.append("one core alone: contenders and load share it")
        os.sched_setaffinity(0, {self._cores.load})
        limit = asyncio.timeout(self._plan.limit)
        try:
            async with limit:
                if self._plan.micro:
                    self.results.micro = micro.measure()
                for upstream in self._plan.upstreams:
                    await self._against(upstream)
        except TimeoutError:
            if not limit.expired():
                raise
            self.results.notes.append(f"stopped after {self._plan.limit:.0f} s, not complete")

    async def _against(self, upstream: Upstream) -> None:
        """Everything with this kind of upstream leg."""
        async with AsyncExitStack() as stack:
            engines, far = await stack.enter_async_context(self._engines(upstream))
            servers = [Server(DIRECT, 0, f"{far.url('ws')}/realtime")]
            for name in self._plan.contenders:
                if (source := missing(name)) is not None:
                    self._note(f"{name} is not here; it comes with: {source}")
                    continue
                server = await stack.enter_async_context(started(name, far, self._cores.contender))
                servers.append(server)
            if self._plan.idle_sessions:
                for server in servers[1:]:
                    await self._memory(server, engines, upstream)
            for count in self._plan.sessions:
                for number in range(self._plan.rounds):
                    for server in servers:
                        self._slot += 1
                        await self._load(
                            server, engines, Scenario(upstream, count, "steady"), number
                        )

    @asynccontextmanager
    async def _engines(self, upstream: Upstream) -> AsyncIterator[tuple[Engines, Far]]:
        """A fake engine on a port of its own, with a certificate where it needs one."""
        engines = Engines()
        with tempfile.TemporaryDirectory(prefix="bench-tls-") as folder:
            certificate = None
            self._client_tls = tls = None
            if upstream == "tls":
                certificate = Path(folder) / "certificate.pem"
                certificate.write_bytes(make_certificate())
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(certificate)
                self._client_tls = ssl.create_default_context(cafile=certificate)
            await engines.start(tls)
            try:
                yield engines, Far(engines.port, certificate)
            finally:
                await engines.aclose()

    @asynccontextmanager
    async def _open(self, server: Server, engines: Engines, count: int) -> AsyncIterator[Fleet]:
        """So many sessions through this server; it is at rest before and after."""
        await _settle(server.pid)
        fleet = Fleet(engines)
        tls = self._client_tls if server.name == DIRECT else None
        await fleet.open(count, server.url, self._token, tls)
        try:
            yield fleet
        finally:
            await fleet.close()
            await _settle(server.pid)

    async def _memory(self, server: Server, engines: Engines, upstream: Upstream) -> None:
        async with self._open(server, engines, _WARM_SESSIONS):
            pass
        before, count = resident_kib(server.pid), self._plan.idle_sessions
        async with self._open(server, engines, count):
            await _settle(server.pid)
            kib = (resident_kib(server.pid) - before) / count
        self.results.memory.append(Memory(server.name, upstream, count, kib))
        self._tell(f"memory  {server.name:20}{upstream:7}{kib:7.1f} KiB a session")

    async def _load(self, server: Server, engines: Engines, steady: Scenario, number: int) -> None:
        """One set of sessions, each kind of answers in turn."""
        async with self._open(server, engines, steady.sessions) as fleet:
            loaded = Field(fleet, engines, self._material)
            for answers in self._plan.answers:
                scenario = Scenario(steady.upstream, steady.sessions, answers)
                window = await self._window(server, loaded, scenario, number)
                self.results.windows.append(window)
                self._progress(window)

    async def _window(
        self, server: Server, loaded: Field, scenario: Scenario, number: int
    ) -> Window:
        """A window at a rate that the contender can sustain."""
        key = _alike(server.name), scenario
        disturbed = 0
        while True:
            scale = self._scales.setdefault(key, self._expected(server.name, scenario))
            warm, seconds = self._plan.warm, self._plan.window
            window = await loaded.measure(
                Load(server.name, server.pid, scenario, number, scale, warm, seconds)
            )
            full = window.cpu > _FULL * window.seconds
            behind = window.seconds < 0.9 * seconds
            if scale <= _SMALLEST or not (full or behind):
                return window
            if full or disturbed == _DISTURBED:
                self._scales[key] = scale / 2
            else:
                disturbed += 1  # behind without having used its core: others had it

    def _expected(self, name: str, scenario: Scenario) -> float:
        """The first scale to try, by what a frame cost this contender so far."""
        costs = [
            one.microseconds
            for one in self.results.windows
            if one.contender == name and one.scenario.upstream == scenario.upstream
        ]
        demand = max(costs, default=0.0) * scenario.sessions * FRAMES_PER_SESSION / 1e6
        scale = 1.0
        while demand * scale > _HOPELESS and scale > _SMALLEST:
            scale /= 2
        return scale

    def _progress(self, window: Window) -> None:
        cost = f"{window.microseconds:6.1f} µs/frame" if window.cpu else " " * 15
        busy = window.load_cpu / window.seconds
        lost = f"  LOST {window.lost}" if window.lost else ""
        self._tell(
            f"{self._slot:3}/{self._plan.slots}  {window.contender:20}"
            f"{window.scenario!s:28}{cost}{window.frames / window.seconds:9.0f} frames/s"
            f"  p99 {window.latency.p99:6.2f} ms  load {busy:4.0%}{lost}"
        )

    def _note(self, text: str) -> None:
        if text not in self.results.notes:
            self.results.notes.append(text)
            self._tell(text)


def _alike(name: str) -> str:
    """Those that are compared most closely are offered the same rate."""
    lean = name in (RELAY, NGINX, SKELETON) or name.startswith(RELAY_OF)
    return "lean" if lean else name


async def _settle(pid: int) -> None:
    """Wait, three seconds at most, until a server does nothing that would be counted as load's."""
    for _ in range(int(3 / _QUIET)):
        before = cpu_seconds(pid) if pid else 0.0
        await asyncio.sleep(_QUIET)
        if not pid or cpu_seconds(pid) - before < 0.05 * _QUIET:
            return
