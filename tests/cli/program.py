"""`relay` as people start it: a process of its own, in a folder and an environment of its own."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from relay.config import Settings

START_SECONDS = 30.0
"""A start takes two or three; a machine that also does other things gets more."""

END_SECONDS = 30.0
"""An end takes one or less."""


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without any settings of a relay, and these added."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in Settings.model_fields and not name.startswith(("RELAY_", "AZURE_"))
    }
    return kept | settings


def relay(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "relay", *arguments],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def one_line(text: str) -> str:
    """The error in `text`, which must be one line, without the program's name before it."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("relay: ")
    return lines[0].removeprefix("relay: ")


@contextmanager
def ctrl_c_as_at_a_terminal() -> Iterator[None]:
    """Start programs that SIGINT ends, even where these tests themselves ignore it.

    A shell without job control (a script's `make test &`) starts its background commands with
    SIGINT ignored, and everything they start inherits that.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Program:
    """A command that runs until it is stopped, in a process session of its own."""

    def __init__(
        self, *arguments: str, cwd: Path, python: str = sys.executable, **settings: str
    ) -> None:
        self._log = cwd / f"stderr-{arguments[0]}"
        with self._log.open("w") as log, ctrl_c_as_at_a_terminal():
            self._process = subprocess.Popen(
                [python, "-m", "relay", *arguments],
                cwd=cwd,
                env=environment(**settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            for line in out:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, beginning: str) -> str:
        """The rest of the next line that begins like this."""
        while True:
            try:
                line = self._lines.get(timeout=START_SECONDS)
            except queue.Empty:
                line = None
            assert line is not None, f"no line {beginning!r}; it said: {self.stderr}"
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()

    def logged(self, message: str) -> dict[str, object]:
        """The first line of the log with this message."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            for line in self.stderr.splitlines():
                event: dict[str, object] = json.loads(line)
                if event["message"] == message:
                    return event
            time.sleep(0.02)  # a file tells nobody that it grew
        raise AssertionError(f"no {message!r} in {self.stderr}")

    @property
    def stderr(self) -> str:
        return self._log.read_text()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, Ctrl-C unless another is named; returns the exit code."""
        self._process.send_signal(number)
        return self._process.wait(END_SECONDS)

    def left(self) -> list[int]:
        """The processes of its session that are still there."""
        return [process for process in _processes() if _session(process) == self._process.pid]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.left():
            os.kill(process, signal.SIGKILL)
        self._process.wait(END_SECONDS)
        self._reader.join(END_SECONDS)


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _session(process: int) -> int | None:
    """The session of a process that lives."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    state, _, _, session = stat.rpartition(")")[2].split()[:4]
    return None if state == "Z" else int(session)


def port_of(address: str) -> int:
    """The port of `scheme://host:port/path`."""
    return int(address.split("/")[2].rpartition(":")[2])


def taken_port() -> socket.socket:
    """A listener that is no relay, on a port of its own."""
    return socket.create_server(("127.0.0.1", 0))
