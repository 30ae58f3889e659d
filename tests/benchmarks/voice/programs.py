"""The programs of a run: the model server, the relay, and each peer in its own environment."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.benchmarks.contenders import ROOT, SECRET, die_with_parent, free_port, token
from tests.benchmarks.proc import resident_kib
from tests.benchmarks.voice.call import Call, Plan
from tests.benchmarks.voice.conversation import (
    Conversation,
    Crowd,
    converse,
    converse_at_once,
)
from tests.benchmarks.voice.relay_caller import calling

PEERS: Final = ROOT / "build" / "voice-peers"
"""Where `tests/benchmarks/voice/install` puts an environment for each peer."""
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 10.0
LONGEST_CONVERSATION: Final = 1200.0
MODEL: Final = "smollm2"


class ProgramError(RuntimeError):
    """A program did not start, or did not do what it should; its last words were printed."""


@asynccontextmanager
async def running(
    command: Sequence[str], settings: Mapping[str, str]
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run a program in a folder of its own; it and its children are gone at the context's end."""
    folder = Path(tempfile.mkdtemp(prefix="voice-"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"} | dict(settings)
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it is short
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours runs yet
        )
    try:
        yield process
    finally:
        if process.poll():
            print(f"{' '.join(command)} ended with {process.returncode}:", file=sys.stderr)
            print((folder / "output.log").read_text(errors="replace")[-3000:], file=sys.stderr)
        await _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


async def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        await _ended(process, STOP_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    await _ended(process, STOP_SECONDS)


async def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ended within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while process.poll() is None:
                await asyncio.sleep(0.05)
    return process.returncode is not None


@asynccontextmanager
async def model_server() -> AsyncIterator[str]:
    """The llama.cpp server, `http://host:port`, when it answers."""
    port = free_port()
    module = "tests.benchmarks.voice.model_server"
    async with running([sys.executable, "-m", module, str(port)], {}) as process:
        address = f"http://127.0.0.1:{port}"
        await _until_answered(f"{address}/health", process)
        yield address


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay: its process, the address of its voice, and of its metrics."""

    pid: int
    url: str
    metrics: str

    async def scrape(self) -> str:
        """What it counts now, in Prometheus' text format."""
        async with aiohttp.ClientSession() as client, client.get(self.metrics) as answer:
            return await answer.text()

    @asynccontextmanager
    async def call(self, plan: Plan) -> AsyncIterator[Call]:
        """A call over a session of its own."""
        async with calling(self.url, token(), plan.instructions, plan.silence_ms) as call:
            yield call


@asynccontextmanager
async def relay(settings: Mapping[str, str]) -> AsyncIterator[Relay]:
    """`relay dev` as a user starts it, with these settings, when it is ready."""
    port, http_port = free_port(), free_port()
    ours = {
        "PORT": str(port),
        "HTTP_PORT": str(http_port),
        "SUPABASE_JWT_SECRET": SECRET,
        "LOG_LEVEL": "WARNING",
        # Every caller is one user of this machine.
        "MAX_SESSIONS_PER_USER": "0",
        "MAX_CONNECTIONS_PER_IP": "0",
        "MAX_CONNECTS_PER_MINUTE": "0",
    }
    async with running([sys.executable, "-m", "relay", "dev"], ours | dict(settings)) as process:
        http = f"http://127.0.0.1:{http_port}"
        await _until_answered(f"{http}/ready", process)
        yield Relay(
            process.pid, f"ws://127.0.0.1:{port}/v1/realtime?model=local", f"{http}/metrics"
        )


async def _until_answered(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when this address answers 200; raises TimeoutError."""
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as client:
        while process.poll() is None:
            with suppress(aiohttp.ClientError):
                async with client.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
    raise ProgramError("it ended before it was ready")


async def hold_with_relay(plan: Plan, settings: Mapping[str, str]) -> Conversation:
    """The plan's conversation with the relay."""
    async with relay(settings) as server, server.call(plan) as call:
        return await converse(call, plan, server.pid)


async def hold_with_peer(name: str, plan: Plan) -> Conversation:
    """The plan's conversation with a peer, which calls itself."""
    return Conversation.read(await _calls_itself(name, plan))


async def crowd_with_peer(name: str, plan: Plan, count: int) -> Crowd:
    """So many conversations at once with a peer, which calls itself, over remote parts."""
    return Crowd.read(await _calls_itself(name, plan, str(count)))


async def _calls_itself(name: str, plan: Plan, *arguments: str) -> Path:
    """Run a peer with this plan; return its report."""
    given, report = PEERS / f"{name}-plan.json", PEERS / f"{name}-report.json"
    report.unlink(missing_ok=True)
    plan.write(given)
    python, module = PEERS / name / "bin" / "python", f"tests.benchmarks.voice.{name}_agent"
    command = [str(python), "-m", module, str(given), str(report), *arguments]
    async with running(command, {}) as process:
        if not await _ended(process, LONGEST_CONVERSATION) or not report.exists():
            raise ProgramError(f"{name} did not end its conversation")
    return report


async def crowd_with_relay(plan: Plan, settings: Mapping[str, str], count: int) -> Crowd:
    """So many conversations at once with one relay."""
    async with relay(settings) as server, AsyncExitStack() as stack:
        empty = resident_kib(server.pid) / 1024
        calls = [await stack.enter_async_context(server.call(plan)) for _ in range(count)]
        return await converse_at_once(calls, plan, server.pid, empty)


@asynccontextmanager
async def distant_parts() -> AsyncIterator[str]:
    """The far end of remote parts, as a base URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.voice.distant", str(port)]
    async with running(command, {}) as process:
        await _until_answered(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"


def missing(name: str) -> bool:
    """Whether this peer's environment has not been installed, or is not the locked one."""
    installed = PEERS / name / "installed.txt"
    lock = Path(__file__).with_name(f"{name}.txt")
    return not installed.exists() or installed.read_bytes() != lock.read_bytes()
