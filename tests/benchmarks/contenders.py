"""The servers that are measured: how each is started, and that each is gone at the end."""

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from relay.auth.tokens import mint
from relay.realtime.grant import Caller
from tests.benchmarks.plan import NGINX, RELAY, RELAY_OF, SKELETON
from tests.components import COMPONENTS

ROOT: Final = Path(__file__).parents[2]
SECRET: Final = "a secret of the benchmark's own, long enough"
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
_NOBODY: Final = 65534
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Far:
    """The fake engine: its port, and its certificate where it speaks TLS."""

    port: int
    certificate: Path | None

    def url(self, scheme: str) -> str:
        """With `ws` or `http`, and an s where there is TLS."""
        return f"{scheme}{'s' if self.certificate else ''}://127.0.0.1:{self.port}/v1"


@dataclass(frozen=True, slots=True)
class Server:
    """A running contender."""

    name: str
    pid: int
    url: str

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        port = urlsplit(self.url).port
        assert port is not None
        return port


def token(agent: str = "default") -> str:
    """What the callers show; the relay alone looks at it."""
    now = time.time()
    return mint(Caller("benchmark", "learner", now + 3600, agent), SECRET, now)


def missing(name: str) -> str | None:
    """What would bring this contender, None where it is here."""
    nginx = COMPONENTS["nginx"]
    return nginx.source if name == NGINX and nginx.find() is None else None


@asynccontextmanager
async def started(name: str, far: Far, core: int | None, **settings: str) -> AsyncIterator[Server]:
    """Run a contender, on a core of its own where one is named; it is gone at the context's end."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name.split(maxsplit=1)[0]}-"))
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    if far.certificate is not None:
        environment["SSL_CERT_FILE"] = str(far.certificate)
    command, more = _command(name, port, far, folder)
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            command,
            cwd=folder,
            env=environment | more | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=lambda: _in_child(core),  # noqa: PLW1509 - no thread of ours runs yet
        )
    try:
        await _until_listening(process, port, folder)
        yield Server(
            name, process.pid, f"ws://127.0.0.1:{port}/v1/realtime?model=benchmark&relay=1"
        )
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def die_with_parent() -> None:
    """Have the kernel end this process, a child just forked, when its parent ends."""
    _libc.prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _in_child(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    die_with_parent()


def _command(name: str, port: int, far: Far, folder: Path) -> tuple[list[str], dict[str, str]]:
    """What to run, and what it needs in its environment."""
    python = [sys.executable, "-m"]
    if name == RELAY:
        return [*python, "relay", "serve"], relay_environment(port, far, folder)
    if name.startswith(RELAY_OF):
        there = {"PYTHONPATH": name.removeprefix(RELAY_OF)}
        return [*python, "relay", "serve"], relay_environment(port, far, folder) | there
    if name == NGINX:
        return _nginx(port, far, folder), {}
    url = f"{far.url('ws')}/realtime"
    if name == SKELETON:
        return [*python, "tests.benchmarks.servers.skeleton", str(port), url], {}
    way = name.removeprefix("websockets-")
    return [*python, "tests.benchmarks.servers.library", str(port), url, way], {}


def relay_environment(port: int, far: Far, folder: Path) -> dict[str, str]:
    """The product as it is served, with nothing switched off."""
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "HTTP_PORT": str(free_port()),
        "OPENAI_API_KEY": "benchmark",
        "OPENAI_BASE_URL": far.url("http"),
        "SUPABASE_JWT_SECRET": SECRET,
        "RELAY_ENGINE": "openai",
        "RELAY_STORE": "sqlite",
        "RELAY_DATA_DIR": str(folder / "var"),
        # Every caller is one user of this machine.
        "MAX_SESSIONS_PER_USER": "0",
        "MAX_CONNECTIONS_PER_IP": "0",
        "MAX_CONNECTS_PER_MINUTE": "0",
    }


_NGINX_CONF: Final = """\
daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile 8192;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 600s;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
        }}
    }}
}}
"""
"""One worker, and every buffer as nginx has it by default. The version in Debian 12 would not offer
TLS 1.3 by itself, which all other contenders speak."""


def _nginx(port: int, far: Far, folder: Path) -> list[str]:
    program = str(COMPONENTS["nginx"].find())
    upstream = far.url("http").removesuffix("/v1")
    (folder / "nginx.conf").write_text(_NGINX_CONF.format(port=port, upstream=upstream))
    command = [program, "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]
    if os.geteuid() != 0:
        return command
    os.chown(folder, _NOBODY, _NOBODY)
    as_nobody = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return ["setpriv", *as_nobody, "--pdeathsig=TERM", *command]


async def _until_listening(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    """Return when somebody answers at the port; raises RuntimeError with what was said instead."""
    latest = time.monotonic() + START_SECONDS
    while time.monotonic() < latest and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    said = (folder / "output.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{' '.join(map(str, process.args))} does not listen:\n{said}")  # type: ignore[arg-type]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then its whole process group by force."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)
