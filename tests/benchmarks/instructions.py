"""Counts the instructions that the relay executes for a frame of audio, under callgrind.

`python -m tests.benchmarks.instructions [--python-path DIR] [--keep FOLDER]`
Runs `relay serve` under callgrind with one session, sends one frame at a time and waits until it
has come out. Prints for each direction the instructions a frame; those of another checkout, where
one is given, beside them.
"""

import argparse
import compileall
import os
import queue
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.benchmarks import frames
from tests.benchmarks.contenders import (
    ROOT,
    Far,
    die_with_parent,
    free_port,
    relay_environment,
    token,
)

Direction = Literal["client to engine", "engine to client"]

BOUNDS: Final[Mapping[Direction, int]] = {
    "client to engine": 28_000,
    "engine to client": 58_600,
}
"""The most instructions that a frame may cost: 3 % above the greatest of five counts of one and the
same code under paths of other lengths, 26,404 to 27,173 and 56,816 to 56,904
(docs/benchmarks/2026-11-30-instructions.md). They are of CPython 3.11 on x86-64; lower them when a
change has made a frame cheaper."""

WARM: Final = 300
"""Frames before the first window, until the interpreter has specialized its code."""

FRAMES: Final = 1000
"""Frames of a window: enough that timers, up to 47,000 instructions a second of an idle session,
are 0.1 % of it."""

LOOKED_SECONDS: Final = 4.0
"""Before the windows: three seconds into the engine's silence the relay looks once for a voice,
which is half a million instructions, and then not for six seconds."""

WINDOWS: Final = 3
"""The median counts, so that one window with a full garbage collection in it does not matter."""

PATIENCE: Final = 60.0
"""Seconds for one frame or one command, also on a machine that is busy with something else."""

START_SECONDS: Final = 180.0
"""It takes about seven: Python starts several times as slowly under valgrind."""

HEAP: Final = ("_int_malloc", "_int_free", "_int_realloc", "unlink_chunk", "malloc_consolidate")
"""Functions of glibc's heap that search and merge free blocks. What they cost, 200 to 1,100
instructions a frame, follows from how the start left the heap: it is shown, and not counted."""

_NAME: Final = re.compile(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?$")

_STEADY: Final = {
    "PYTHONHASHSEED": "0",
    "GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1073741824",
}
"""The same order of sets in every run, and memory copied with vector instructions: callgrind counts
each byte of a `rep movsb` as an instruction, which no processor does."""


Costs = Counter[tuple[str, str]]
"""Instructions by library (the name of its file) and function, without those of its callees."""


def costs(lines: Iterable[str]) -> Costs:
    """Read a dump, in the format of callgrind's manual."""
    found: Costs = Counter()
    names: dict[tuple[str, str], str] = {}
    here = {"ob": "", "fn": ""}
    callees = False
    for line in lines:
        if named := _NAME.match(line):
            of_callee, kind, number, name = named.groups()
            if name is not None:  # with its first use; later the number stands for it
                names[kind, number] = name
            if not of_callee:
                here[kind] = names[kind, number]
        elif line[0].isdigit() or line[0] in "+-*":
            if not callees:
                found[Path(here["ob"]).name, here["fn"]] += int(line.split()[1])
            callees = False
        else:
            callees = line.startswith("calls=")
    return found


@dataclass(frozen=True, slots=True)
class Count:
    """What callgrind counted in the windows of one direction."""

    direction: Direction
    dumps: tuple[Costs, ...]

    @property
    def windows(self) -> list[int]:
        """Instructions of each window, without the heap's own."""
        return [sum(dump.values()) - _heap(dump) for dump in self.dumps]

    @property
    def heap(self) -> float:
        """The heap's own instructions a frame."""
        return statistics.median(map(_heap, self.dumps)) / FRAMES

    @property
    def per_frame(self) -> float:
        """The median window's."""
        return statistics.median(self.windows) / FRAMES

    @property
    def spread(self) -> float:
        """From the least to the greatest window, as a part of the median."""
        return (max(self.windows) - min(self.windows)) / statistics.median(self.windows)


class Program:
    """A relay under callgrind."""

    def __init__(self, folder: Path, environment: Mapping[str, str], port: int) -> None:
        self._folder = folder
        self._environment = environment
        self._port = port
        self._dumps = 0
        self._vgdb = f"--vgdb-prefix={folder / 'vgdb'}"
        callgrind = ["--tool=callgrind", "--instr-atstart=no", self._vgdb]
        with (folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    "valgrind",
                    *callgrind,
                    f"--callgrind-out-file={folder / 'dump'}",
                    *(sys.executable, "-m", "relay", "serve"),
                ],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours runs yet
            )

    def until_listening(self) -> None:
        """Return when it accepts connections; raises RuntimeError with its output instead."""
        latest = time.monotonic() + START_SECONDS
        while time.monotonic() < latest and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the relay does not listen:\n{self.output()}")

    def output(self) -> str:
        """The last lines that it wrote."""
        return (self._folder / "output.log").read_text(errors="replace")[-2000:]

    def start_counting(self) -> None:
        """Count from now on."""
        self._command("instrumentation", "on")

    def since_last(self) -> "Costs":
        """What was executed since the last call or, the first time, since counting began."""
        self._dumps += 1
        self._command("dump")
        with self.dump().open(errors="replace") as lines:
            return costs(lines)

    def dump(self) -> Path:
        """The file of the last call of `since_last`, for `callgrind_annotate`."""
        return self._folder / f"dump.{self._dumps}"

    def kill(self) -> None:
        """End it at once: nobody needs what it would still write."""
        self._process.kill()
        self._process.wait()

    def _command(self, *words: str) -> None:
        """Give callgrind a command and wait until it is carried out."""
        subprocess.run(
            ["vgdb", f"--pid={self._process.pid}", self._vgdb, *words],
            env=self._environment,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )


class Session:
    """Both far ends of one session, in lock-step: a frame goes in when the last one has come out.

    So that every frame is a turn of the relay's event loop of its own, no matter how fast the
    relay is, how slow the machine or what else runs on it.
    """

    def __init__(self, client: ClientConnection, engine: ServerConnection) -> None:
        self._client = client
        self._engine = engine
        self._append = frames.append()
        turn = frames.turns()
        self._delta = next(one for one in turn if b'"response.output_audio.delta"' in one.head)
        self._question = turn[: turn.index(self._delta)]

    def open(self) -> Self:
        """Greet, as the engine, and take the first update."""
        self._engine.send(frames.session_created(), text=True)
        _expect(self._engine, b'"session.update"')
        self._engine.send(frames.session_updated(), text=True)
        _expect(self._client, b'"session.created"')
        return self

    def begin_answer(self) -> None:
        """Send, as the engine, the events of a turn that come before its first audio."""
        for event in self._question:
            self._engine.send(event.at(0), text=True)
            if b'"conversation.item.input_audio_transcription.' not in event.head:  # not asked for
                _expect(self._client, event.head[:20])

    def up(self, count: int) -> None:
        """Send so many frames of 20 ms of the client's audio."""
        for number in range(count):
            self._client.send(self._append.at(number), text=True)
            _expect(self._engine, b'"input_audio_buffer.append"')

    def down(self, count: int) -> None:
        """Send so many frames of 250 ms of the engine's audio."""
        for number in range(count):
            self._engine.send(self._delta.at(number), text=True)
            _expect(self._client, b'"response.output_audio.delta"')


def _heap(dump: Costs) -> int:
    return sum(cost for (_, function), cost in dump.items() if function.startswith(HEAP))


def count(checkout: Path = ROOT, keep: Path | None = None) -> tuple[Count, ...]:
    """Count for the relay of a checkout; each direction's last dump goes into the folder `keep`."""
    with _session(checkout) as (program, session):
        program.start_counting()
        until = time.monotonic() + LOOKED_SECONDS
        while time.monotonic() < until:
            session.up(WARM)
        up = _direction(program, "client to engine", session.up, keep)
        session.begin_answer()
        down = _direction(program, "engine to client", session.down, keep)
    return up, down


def _direction(
    program: Program, direction: Direction, send: Callable[[int], None], keep: Path | None
) -> Count:
    send(WARM)
    program.since_last()
    dumps = []
    for _ in range(WINDOWS):
        send(FRAMES)
        dumps.append(program.since_last())
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(program.dump(), keep / f"{direction.replace(' ', '-')}.callgrind")
    return Count(direction, tuple(dumps))


@contextmanager
def _session(checkout: Path) -> Iterator[tuple[Program, Session]]:
    """A relay under callgrind with a session; both are gone when the context ends."""
    arrived: queue.SimpleQueue[ServerConnection] = queue.SimpleQueue()
    over = threading.Event()

    def answer(connection: ServerConnection) -> None:
        arrived.put(connection)
        over.wait()

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instructions-")))
        server = serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None)
        stack.callback(server.shutdown)
        port = free_port()
        _copy(checkout, folder)
        environment = _environment(folder, port, server.socket.getsockname()[1])
        program = Program(folder, environment, port)
        stack.callback(program.kill)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stack.callback(over.set)
        program.until_listening()
        client = connect(
            f"ws://127.0.0.1:{port}/v1/realtime?model=benchmark",
            additional_headers={"Authorization": f"Bearer {token()}"},
            compression=None,
            ping_interval=None,
            open_timeout=PATIENCE,
        )
        stack.callback(client.close)
        yield program, Session(client, arrived.get(timeout=PATIENCE)).open()


def _environment(folder: Path, port: int, engine_port: int) -> dict[str, str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "HOME": str(folder)}
    return environment | relay_environment(port, Far(engine_port, None), folder) | _STEADY


def _copy(checkout: Path, folder: Path) -> None:
    """Bring a checkout's relay into the folder, compiled.

    Paths of one length and code compiled before: else one and the same code, started from two
    checkouts, has other addresses and by them other costs.
    """
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(checkout / "relay", folder / "relay", ignore=ignore)
    (folder / "web").symlink_to(checkout / "web")
    if not compileall.compile_dir(folder / "relay", quiet=1):
        raise RuntimeError(f"{checkout} has code that is not Python")


def _expect(connection: ClientConnection | ServerConnection, kind: bytes) -> None:
    """Take the next frame, which is to have this in its beginning."""
    head = bytes(connection.recv(PATIENCE, decode=False)[: frames.HEAD_BYTES])
    if kind not in head:
        raise RuntimeError(f"{kind.decode()} was due and this came: {head.decode()}")


def main() -> int:
    """Count and print; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.instructions",
        description="Instructions that the relay executes for a frame of audio.",
    )
    parser.add_argument("--python-path", type=Path, metavar="DIR", help="count this checkout too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep callgrind's last dumps")
    given = parser.parse_args()
    here = count(keep=given.keep)
    _print("here", here)
    if given.python_path is not None:
        there = count(given.python_path.resolve())
        _print(str(given.python_path), there)
        for one, other in zip(here, there, strict=True):
            print(f"{one.direction}: {one.per_frame / other.per_frame - 1:+.2%} here")
    return int(any(one.per_frame > BOUNDS[one.direction] for one in here))


def _print(name: str, counts: tuple[Count, ...]) -> None:
    for one in counts:
        print(
            f"{one.direction}: {one.per_frame:,.0f} instructions a frame, {name}"
            f" (windows within {one.spread:.2%}; {one.heap:,.0f} more in the heap;"
            f" bound {BOUNDS[one.direction]:,})",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
