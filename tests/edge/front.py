"""A real nginx with the relay.conf that is shipped, in front of whatever listens on two ports."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from websockets.asyncio.client import connect
from yarl import URL

from tests.components import require
from tests.scenarios.stage import Line, token
from tests.websocket.certificate import make_certificate

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "nginx" / "relay.conf"
MARK = "# here"
NOBODY = 65534
PATIENCE = 30.0  # seconds for what takes milliseconds

# Everything that is not the relay's: an operator's own nginx.conf, with an error log as wordy as it
# gets short of debug, so that a line which lands there by mistake is found.
AROUND = """
daemon off;
pid nginx.pid;
worker_processes 1;
error_log main.log info;
events {{ worker_connections {connections}; }}
http {{
    client_body_temp_path temp-1;
    proxy_temp_path temp-2;
    fastcgi_temp_path temp-3;
    uwsgi_temp_path temp-4;
    scgi_temp_path temp-5;
    access_log main-access.log;
    include relay.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where nginx listens (`tls`, `plain`) and what it stands before (`voice`, `http`)."""

    tls: int
    plain: int
    voice: int
    http: int


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now: these programs take no socket from outside."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def installed(folder: Path, ports: Ports) -> str:
    """The shipped file on this machine: only marked lines change, each of them, all in one way."""
    mine = {
        "127.0.0.1:8080": f"127.0.0.1:{ports.voice}",
        "127.0.0.1:8081": f"127.0.0.1:{ports.http}",
        "listen 80;": f"listen 127.0.0.1:{ports.plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{ports.tls} ssl;",
        # The same once more instead of IPv6, which not every machine has.
        "listen [::]:80;": f"listen 127.0.0.2:{ports.plain};",
        "listen [::]:443 ssl;": f"listen 127.0.0.2:{ports.tls} ssl;",
        "server_name voice.example.org;": "server_name 127.0.0.1;",
        "/etc/letsencrypt/live/voice.example.org/fullchain.pem": f"{folder}/certificate.pem",
        "/etc/letsencrypt/live/voice.example.org/privkey.pem": f"{folder}/certificate.pem",
        "/var/log/nginx/": f"{folder}/",
        "/var/www/html": f"{folder}/html",
        "/opt/relay/web": f"{folder}/web",
    }
    lines = []
    for line in SHIPPED.read_text().splitlines():
        if line.endswith(MARK):
            found = [shipped for shipped in mine if shipped in line]
            assert len(found) == 1, line
            lines.append(line.replace(found[0], mine[found[0]]))
        else:
            said = line.partition("#")[0]
            assert not [shipped for shipped in mine if shipped in said], f"mark it: {line}"
            lines.append(line)
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a GET brought."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Front:
    """A running nginx and how to come through it."""

    folder: Path
    ports: Ports

    @property
    def url(self) -> str:
        """`https://host:port` as callers see it."""
        return f"https://127.0.0.1:{self.ports.tls}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Believes this nginx's certificate and no other."""
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    @asynccontextmanager
    async def call(self, path: str, **options: Any) -> AsyncIterator[Line]:
        """A WebSocket through nginx."""
        url = f"wss://127.0.0.1:{self.ports.tls}{path}"
        options = {"compression": None, "max_size": None, "close_timeout": 1, **options}
        async with connect(url, ssl=self.trust, **options) as socket:
            yield Line(socket)

    @asynccontextmanager
    async def browser(self, bearer: str | None = None) -> AsyncIterator[Line]:
        """The page: OpenAI's door, with the token in a subprotocol."""
        offered = ["realtime", f"openai-insecure-api-key.{bearer or token()}"]
        async with self.call("/v1/realtime", subprotocols=offered) as line:
            yield line

    async def get(self, path: str, plain: bool = False, **options: Any) -> Answer:
        """The answer to a GET, redirects not followed; `plain` asks port 80's server."""
        base = f"http://127.0.0.1:{self.ports.plain}" if plain else self.url
        url = URL(base + path, encoded=True)
        options = {"ssl": self.trust, "allow_redirects": False, **options}
        async with aiohttp.ClientSession() as http, http.get(url, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def post(self, path: str, **options: Any) -> Answer:
        """The answer to a POST with the caller's token."""
        options = {"ssl": self.trust, "headers": {"Authorization": f"Bearer {token()}"}, **options}
        async with aiohttp.ClientSession() as http, http.post(self.url + path, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def raw(self, *sent: bytes) -> bytes:
        """What comes back for these bytes, up to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.tls, ssl=self.trust)
        async with asyncio.timeout(PATIENCE):
            writer.write(b"".join(sent))
            answer = await reader.read()
            writer.close()
        return answer

    async def entries(self, count: int) -> list[dict[str, Any]]:
        """The access log once it has `count` lines, each read as JSON."""
        path = self.folder / "relay.access.log"
        async with asyncio.timeout(PATIENCE):
            while len(lines := path.read_bytes().splitlines()) < count:
                await asyncio.sleep(0.005)
        return [json.loads(line.decode("ascii")) for line in lines]

    def reload(self) -> None:
        """As `systemctl reload nginx`."""
        os.kill(int((self.folder / "nginx.pid").read_text()), signal.SIGHUP)

    def workers(self) -> int:
        """How many workers were started so far."""
        return (self.folder / "main.log").read_text().count("start worker process ")

    def retiring(self) -> bool:
        """Whether a worker only waits for its calls to end."""
        return "gracefully shutting down" in (self.folder / "main.log").read_text()

    def logged(self) -> str:
        """Everything in every log of this nginx."""
        logs = sorted(self.folder.glob("*.log"))
        assert len(logs) == 4, logs
        return "".join(path.read_text(errors="backslashreplace") for path in logs)


@contextmanager
def prepared(voice: int, http: int, connections: int = 512) -> Iterator[Front]:
    """A folder with all that nginx needs, and no nginx yet; `nobody`'s own where we are root."""
    # Not pytest's folder: that is below one of mode 0700, where nobody else may look.
    folder = Path(tempfile.mkdtemp(prefix="relay-front-"))
    try:
        tls, plain = free_ports(2)
        front = Front(folder, Ports(tls, plain, voice, http))
        (folder / "certificate.pem").write_bytes(make_certificate())
        (folder / "nginx.conf").write_text(AROUND.format(connections=connections))
        (folder / "relay.conf").write_text(installed(folder, front.ports))
        shutil.copytree(ROOT / "web", folder / "web")
        (folder / "html" / ".well-known" / "acme-challenge").mkdir(parents=True)
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield front
    finally:
        shutil.rmtree(folder)


def command(front: Front, *more: str) -> dict[str, Any]:
    """How this nginx is started, as arguments of `subprocess`: never as root."""
    program = [str(require("nginx")), "-p", str(front.folder), "-e", "main.log", "-c", "nginx.conf"]
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return {"args": [*program, *more], "cwd": front.folder, **nobody}


@asynccontextmanager
async def in_front(voice: int, http: int, connections: int = 512) -> AsyncIterator[Front]:
    """nginx before the relay whose listeners have these ports; stopped at the end."""
    with prepared(voice, http, connections) as front:
        program = command(front)
        nginx = await asyncio.create_subprocess_exec(
            *program.pop("args"), **program, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _listening(front, nginx)
            yield front
        finally:
            nginx.terminate()
            async with asyncio.timeout(PATIENCE):
                await nginx.wait()


async def _listening(front: Front, nginx: asyncio.subprocess.Process) -> None:
    for port in (front.ports.plain, front.ports.tls):
        await _listening_on(port, front, nginx)


async def _listening_on(port: int, front: Front, nginx: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert nginx.returncode is None, (front.folder / "main.log").read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.005)
            else:
                writer.close()
                await writer.wait_closed()
                return
