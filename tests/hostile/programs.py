"""The programs of one trial: the relay on a core of its own, all others on another."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.contenders import SECRET, die_with_parent, free_port
from tests.benchmarks.proc import resident_kib
from tests.edge.program import Program, served
from tests.hostile.attacks import Attack

ROOT: Final = Path(__file__).parents[2]
NICER: Final = 8
"""Than everybody else of the trial: an attacker gets the time that these leave."""
LISTENS_WITHIN: Final = 60.0
ASK_SECONDS: Final = 5.0


def cores() -> tuple[int, int]:
    """The relay's, and everybody else's; the same where there is only one."""
    here = sorted(os.sched_getaffinity(0))
    return here[0], here[-1]


@dataclass(slots=True)
class Relay:
    """A running `relay serve` with its far ends; `engine` is the process of one."""

    program: Program
    issuer: str | None
    engine: int | None = None

    @property
    def pid(self) -> int:
        return self.program.process.pid

    @property
    def voice(self) -> int:
        return self.program.voice

    @property
    def mib(self) -> float:
        """Its memory in RAM."""
        return resident_kib(self.pid) / 1024

    @property
    def logged(self) -> str:
        """All that it wrote."""
        return (self.program.folder / "console.log").read_text(errors="replace")

    async def sessions(self) -> int | None:
        """How many it says are live; None where it does not answer."""
        status, body = await asyncio.to_thread(asked, self.program.http, "/health")
        return int(json.loads(body)["activeConnections"]) if status == 200 else None

    async def ready(self) -> tuple[int, str]:
        """Status and body of /ready; 0 where it does not answer."""
        return await asyncio.to_thread(asked, self.program.http, "/ready")


def asked(port: int, path: str) -> tuple[int, str]:
    """Status and body of an answer; 0 for none within the time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ASK_SECONDS) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()
    except OSError:
        return 0, ""


@asynccontextmanager
async def program(module: str, *arguments: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A program of this folder, on everybody's core; ended with the context."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it is started, not waited for
        _pinned(cores()[1], sys.executable, "-m", f"tests.hostile.{module}", *arguments),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours runs
    )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


def _pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@asynccontextmanager
async def listening(module: str) -> AsyncIterator[tuple[int, subprocess.Popen[bytes]]]:
    """One that listens, and its port."""
    port = free_port()
    async with program(module, str(port)) as process:
        await until_listening(port)
        yield port, process


async def until_listening(port: int) -> None:
    """Return when somebody answers at the port."""
    async with asyncio.timeout(LISTENS_WITHIN):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@asynccontextmanager
async def relay_for(folder: Path, attack: Attack) -> AsyncIterator[Relay]:
    """The relay as an attack wants it, its engine, and its authentication server if need be."""
    async with AsyncExitStack() as stack:
        engine, process = await stack.enter_async_context(listening("engine"))
        settings, issuer = dict(attack.settings), None
        if attack.auth_server:
            auth, _ = await stack.enter_async_context(listening("auth_server"))
            settings |= auth_settings(auth)
            issuer = f"http://127.0.0.1:{auth}/auth/v1"
        limit = [f"--nofile={attack.descriptors}:{attack.descriptors}"]
        before = ["prlimit", *limit] if attack.descriptors else []
        pinned = _pinned(cores()[0], *before)
        started = served(folder, *pinned, **environment(engine), **settings)
        one = await stack.enter_async_context(started)
        await until_listening(one.voice)  # which may be later than HTTP
        yield Relay(one, issuer, process.pid)


def environment(engine: int) -> dict[str, str]:
    """The relay's environment; no address of loopback is a proxy's, so each is a caller's own."""
    return {
        "PYTHONPATH": str(ROOT),
        "SUPABASE_JWT_SECRET": SECRET,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{engine}/v1",
        "TRUSTED_PROXIES": "192.0.2.1",
        "DRAIN_TIMEOUT": "1",
    }


def auth_settings(port: int) -> dict[str, str]:
    """Have an authentication server asked for each user."""
    return {
        "SUPABASE_URL": f"http://127.0.0.1:{port}",
        "SUPABASE_AUTH_CHECK": "user",
        "SUPABASE_SERVICE_ROLE_KEY": "a-service-key",
    }


@asynccontextmanager
async def attacker(name: str) -> AsyncIterator["Attacker"]:
    """The attack as a program of a lower priority, which waits to be told whom."""
    async with program("attacks", name) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, os.nice(0) + NICER)
        yield Attacker(process)


@dataclass(slots=True)
class Attacker:
    """An attack that is ready."""

    process: subprocess.Popen[bytes]

    async def attack(self, relay: Relay, seconds: float, within: float) -> dict[str, Any]:
        """Attack so long; what was done, nothing where `within` seconds were not enough."""
        ports = f"{relay.program.voice} {relay.program.http}"
        line = f"{ports} {seconds} {relay.issuer or ''}\n".encode()
        try:
            said, _ = await asyncio.to_thread(self.process.communicate, line, within)
        except subprocess.TimeoutExpired:
            return {}
        lines = said.decode().splitlines()
        return json.loads(lines[-1]) if lines else {}
