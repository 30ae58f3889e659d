"""`relay serve` as a process of its own, as an operator starts it, and how to call it."""

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from relay.engines.cascade.outputs import Pace
from relay.parts.simple import Script, scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.edge.front import PATIENCE, free_ports
from tests.scenarios.stage import SECRET, Line

PROVIDER_KEY = "sk-provider-key-that-nobody-may-read"
SERVE = (sys.executable, "-m", "relay", "serve")


@dataclass(slots=True)
class Program:
    """A running `relay serve`; everything that it writes is somewhere in `folder`."""

    process: Process
    folder: Path
    voice: int
    http: int

    @asynccontextmanager
    async def call(self, path: str, **options: Any) -> AsyncIterator[Line]:
        """A WebSocket to its voice listener."""
        url = f"ws://127.0.0.1:{self.voice}{path}"
        options = {"compression": None, "max_size": None, "close_timeout": 1, **options}
        async with connect(url, **options) as socket:
            yield Line(socket)

    async def ended(self) -> int:
        """Its exit code, once it is gone."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def logged(self, name: str, count: int) -> list[dict[str, Any]]:
        """A log once it has so many lines."""
        async with asyncio.timeout(PATIENCE):
            while len(found := self.lines(name)) < count:
                await asyncio.sleep(0.01)
        return found

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A log as JSON: `console.log` is its stderr, the others are those of LOG_DIR."""
        path = self.folder / name
        found = path if path.exists() else self.folder / "logs" / name
        text = found.read_text() if found.exists() else ""  # it may just have been rotated
        return [json.loads(line) for line in text.splitlines()]


@asynccontextmanager
async def served(folder: Path, *before: str, **environment: str) -> AsyncIterator[Program]:
    """Start it with these settings, and `before` in front of its command; killed at the end."""
    voice, http = free_ports(2)
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(voice),
        "HTTP_PORT": str(http),
        "RELAY_STORE": "sqlite",
        "RELAY_DATA_DIR": str(folder / "state"),
        "LOG_DIR": str(folder / "logs"),
        "SUPABASE_JWT_SECRET": SECRET,
        "OPENAI_API_KEY": PROVIDER_KEY,
        **environment,
    }
    with (folder / "console.log").open("ab") as console:
        process = await asyncio.create_subprocess_exec(
            *before, *SERVE, cwd=folder, env=settings, stdout=console, stderr=console
        )
    try:
        for port in (http, voice):  # the one for calls is the last to open
            await _listening(process, port, folder)
        yield Program(process, folder, voice, http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: Process, port: int, folder: Path) -> None:
    async with asyncio.timeout(3 * PATIENCE):
        while True:
            assert process.returncode is None, (folder / "console.log").read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


@asynccontextmanager
async def provider(script: Script) -> AsyncIterator[str]:
    """A simulated OpenAI with scripted words; gives its address for OPENAI_BASE_URL."""
    options = SimulatorOptions(parts=scripted_parts(script), pace=Pace(burst=50))
    async with await simulate(options) as simulator:
        yield simulator.base_url
