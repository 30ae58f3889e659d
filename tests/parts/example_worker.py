"""A worker for tests of the pool: does what its request says."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from relay.parts.interfaces import PartFailed
from relay.parts.worker_process import Work, run_worker


def count(rest: bytes, _: Callable[[], bool]) -> Iterator[bytes]:
    """Say a number every 10 ms."""
    for number in range(int(rest)):
        yield b"%d" % number
        time.sleep(0.01)


def sleep(rest: bytes, _: Callable[[], bool]) -> Iterator[bytes]:
    """Do what cannot be interrupted."""
    time.sleep(float(rest))
    yield b"slept"


def wait(_: bytes, cancelled: Callable[[], bool]) -> Iterator[bytes]:
    """Wait until cancelled."""
    yield b"waiting"
    while not cancelled():
        time.sleep(0.005)


def refuse(_: bytes, __: Callable[[], bool]) -> Iterator[bytes]:
    raise PartFailed("responder", "rejected", "too long")


WORKS: dict[bytes, Callable[[bytes, Callable[[], bool]], Iterator[bytes]]] = {
    b"echo": lambda rest, _: iter([rest]),
    b"pid": lambda _, __: iter([b"%d" % os.getpid()]),
    b"die": lambda _, __: os._exit(3),
    b"count": count,
    b"sleep": sleep,
    b"wait": wait,
    b"refuse": refuse,
}


def work(request: bytes, cancelled: Callable[[], bool]) -> Generator[bytes, None, None]:
    """Do as the first word of the request says, with the rest of it."""
    what, _, rest = request.partition(b" ")
    if what not in WORKS:
        raise ValueError(request.decode())
    yield from WORKS[what](rest, cancelled)


def load(arguments: Sequence[str]) -> tuple[Work, Mapping[str, str]]:
    """Fail where the argument is `unusable`, else say what the arguments were."""
    print("what a library prints does no harm", flush=True)  # noqa: T201
    if arguments and arguments[0] == "unusable":
        raise FileNotFoundError("there is no model")
    if arguments and arguments[0] == "stillborn":
        os._exit(1)
    return work, {"arguments": " ".join(arguments)}


if __name__ == "__main__":
    run_worker(load)
