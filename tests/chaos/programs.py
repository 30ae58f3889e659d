"""The relay and its voice as programs: started, killed, and asked for their figures."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.supabase.project import Project

ROOT = Path.cwd()
START_SECONDS = 30.0
STOP_SECONDS = 15.0
SCRAPE_SECONDS = 2.0
RAN, WAITED = "loop ran", "loop waited for a CPU"
AGENT = "33333333-3333-4333-8333-333333333333"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Program:
    """One program of this repository with an environment and a folder of its own."""

    def __init__(self, arguments: list[str], settings: dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-chaos-"))
        self._command = [sys.executable, "-m", *arguments]
        home = str(self.folder)
        self._environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": home}
        self._environment |= settings
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def said(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")

    def end(self, *, politely: bool) -> None:
        if self.process is not None:
            if politely:
                self.process.terminate()
            else:
                self.process.kill()
            self.process.wait(STOP_SECONDS)

    def remove(self) -> None:
        if self.runs:
            self.end(politely=False)
        shutil.rmtree(self.folder)


async def until_listening(program: Program, port: int) -> None:
    """Return when somebody answers at the port."""
    latest = time.monotonic() + START_SECONDS
    while time.monotonic() < latest and program.runs:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"it does not listen:\n{program.said[-4000:]}")


class Voice(Program):
    """The simulated OpenAI."""

    def __init__(self) -> None:
        self.port = free_port()
        super().__init__(["tests.chaos.voice", str(self.port)], {})

    async def start(self) -> None:
        self.run()
        await until_listening(self, self.port)


class Relay(Program):
    """`relay serve` of a project, always on the same ports and the same folder.

    `lives` are the figures of each process so far as they were seen last, `killed_at` when each was
    killed (`time.monotonic`).
    """

    def __init__(self, project: Project, openai_port: int) -> None:
        self.port, self.http_port = free_port(), free_port()
        settings = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "HTTP_PORT": str(self.http_port),
            "LOG_LEVEL": "warning",
            "RELAY_ENGINE": "openai",
            "OPENAI_API_KEY": "sk-simulated-provider-key",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{openai_port}/v1",
            "RELAY_STORE": "supabase",
            "SUPABASE_URL": project.url,
            "SUPABASE_SERVICE_ROLE_KEY": project.service_key,
            "SUPABASE_JWT_SECRET": project.jwt_secret,
            "RELAY_AGENTS": "agents.toml",
            "RELAY_DATA_DIR": "var",
            # Every caller is on this machine.
            "MAX_SESSIONS_PER_USER": "0",
            "MAX_CONNECTIONS_PER_IP": "0",
            "MAX_CONNECTS_PER_MINUTE": "0",
        }
        super().__init__(["relay", "serve"], settings)
        (self.folder / "agents.toml").write_text(f"[agents.{AGENT}]\n")
        self.lives: list[Counter[str]] = []
        self.killed_at: list[float] = []

    @property
    def voice_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def life(self) -> int:
        """Which process of all this is."""
        return len(self.lives)

    async def start(self) -> None:
        self.run()
        self.lives.append(Counter())
        await until_listening(self, self.port)

    async def kill(self) -> None:
        """As the kernel does it when there is no memory left."""
        await self.scrape()
        self.end(politely=False)
        self.killed_at.append(time.monotonic())

    async def kill_unborn(self, seconds: float) -> None:
        """Start it and kill it so soon that it may not have come to listen."""
        self.run()
        await asyncio.sleep(seconds)
        self.end(politely=False)
        self.killed_at.append(time.monotonic())

    async def scrape(self) -> Counter[str]:
        """Its metrics now; those of before where it does not answer."""
        limit = aiohttp.ClientTimeout(SCRAPE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as http,
                http.get(f"{self.http_url}/metrics") as answer,
            ):
                self.lives[-1] = figures(await answer.text(), self._waited())
        except (aiohttp.ClientError, TimeoutError):
            pass
        return self.lives[-1]

    def _waited(self) -> dict[str, float]:
        """Seconds that its event loop ran, and that it could have run had there been a CPU."""
        if self.process is None:
            return {}
        ran, waited, _ = Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        return {RAN: int(ran) / 1e9, WAITED: int(waited) / 1e9}

    @property
    def all_lives(self) -> Counter[str]:
        """What all processes counted together."""
        return sum(self.lives, Counter[str]())


def figures(page: str, more: Mapping[str, float]) -> Counter[str]:
    """A scrape by name, and for those with labels by `name|label`."""
    found: Counter[str] = Counter()
    found.update(more)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name = "|".join((sample.name, *sample.labels.values()))
            found[name] = sample.value  # type: ignore[assignment]
    return found
