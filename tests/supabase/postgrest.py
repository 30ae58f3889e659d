"""The real PostgREST on one database, on a Unix socket."""

import json
import subprocess
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

from tests.components import require

READY_S = 60.0  # it takes a fifth of a second; a busy machine takes several
_LOOK_EVERY_S = 0.01


class PostgREST:
    """One server; `socket` is where it listens once it was started."""

    def __init__(self, folder: Path, database: str, keys: Mapping[str, Any]) -> None:
        self.socket = folder / "postgrest.sock"
        self._log = folder / "postgrest.log"
        self._config = folder / "postgrest.conf"
        self._process: subprocess.Popen[bytes] | None = None
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps(keys))
        settings = {
            "db-uri": database,
            "db-schemas": "public",
            "db-anon-role": "anon",
            "db-pool": 10,
            "server-unix-socket": str(self.socket),
            "jwt-secret": f"@{jwks}",
            "jwt-aud": "authenticated",
        }
        lines = (f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        self._config.write_text("".join(lines))

    def start(self) -> None:
        """Start it and wait until it knows the schema; without a database it would not, ever."""
        self.socket.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [require("postgrest"), self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_S
        while not self._is_ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"PostgREST is not ready: {self._log.read_text()}")
            time.sleep(_LOOK_EVERY_S)

    def stop(self) -> None:
        """Kill it; whoever waits for an answer is cut off."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_ready(self) -> bool:
        try:
            return _status(self.socket, "/") == 200
        except (OSError, EOFError):
            return False


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=READY_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX)
        self.sock.settimeout(READY_S)
        self.sock.connect(str(self._path))


def _status(path: Path, target: str) -> int:
    connection = _UnixConnection(path)
    try:
        connection.request("GET", target)
        return connection.getresponse().status
    finally:
        connection.close()
