"""Accepting: both loops, a few a turn, and a pause when there is no descriptor left."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import structlog
import uvloop

from relay.admission import accepting
from relay.admission.accepting import ACCEPTS_PER_TURN, Acceptor, bind

PATIENCE = 30.0


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


class Taken:
    """What was accepted, greeted and held open."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.peers: list[str] = []
        self.full = False
        self.asked = asyncio.Event()

    def room(self, coming: int) -> float:
        self.asked.set()
        return 0.01 if self.full else 0.0

    async def take(self, accepted: socket.socket, peer: str) -> None:
        self.sockets.append(accepted)
        self.peers.append(peer)
        accepted.send(b"!")


@asynccontextmanager
async def accepted_by(taken: Taken) -> AsyncIterator[Acceptor]:
    acceptor = Acceptor(bind("127.0.0.1", 0), taken.take, taken.room, "voice")
    acceptor.start()
    try:
        yield acceptor
    finally:
        await acceptor.aclose()
        for each in taken.sockets:
            each.close()


async def greeted(port: int) -> asyncio.StreamWriter:
    """Connect and wait until one was accepted."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(1) == b"!"
        return writer


async def test_a_connection_is_handed_over_with_its_peer() -> None:
    taken = Taken()
    async with accepted_by(taken) as acceptor:
        writer = await greeted(acceptor.port)
        writer.close()
        assert taken.peers == ["127.0.0.1"]
        assert not taken.sockets[0].getblocking()


async def test_more_than_a_turns_worth_at_once_are_all_taken() -> None:
    taken = Taken()
    async with accepted_by(taken) as acceptor:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(greeted(acceptor.port)) for _ in range(5 * ACCEPTS_PER_TURN)]
        for task in tasks:
            task.result().close()


async def test_while_there_is_no_room_nobody_is_accepted() -> None:
    taken = Taken()
    taken.full = True
    async with accepted_by(taken) as acceptor, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
        for _ in range(3):
            taken.asked.clear()
            await taken.asked.wait()
        assert taken.peers == []
        taken.full = False
        assert await reader.readexactly(1) == b"!"
        writer.close()


async def test_a_fault_costs_one_connection() -> None:
    taken = Taken()

    async def fail(accepted: socket.socket, peer: str) -> None:
        accepted.close()
        if not taken.sockets:
            taken.sockets.append(accepted)
            raise ValueError("secret")

    acceptor = Acceptor(bind("127.0.0.1", 0), fail, taken.room, "voice")
    acceptor.start()
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
            assert await reader.read() == b""
            writer.close()
    await acceptor.aclose()
    assert [line["event"] for line in lines] == ["accepting failed"]
    assert "secret" not in str(lines)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Use up this process's descriptors, but for one that a client of the test needs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, before[1]))
    try:
        with ExitStack() as held:
            with suppress(OSError):  # EMFILE
                while True:
                    held.callback(os.close, os.dup(0))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_without_a_descriptor_it_pauses_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The listener is not watched meanwhile, and whoever knocked is let in afterwards."""
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.02)
    taken, tries = Taken(), 0
    loop = asyncio.get_running_loop()
    async with accepted_by(taken) as acceptor:
        knocking = [socket.socket() for _ in range(3)]
        for each in knocking:
            each.setblocking(False)
        with structlog.testing.capture_logs() as lines, no_descriptor_left():
            for each in knocking:
                await loop.sock_connect(each, ("127.0.0.1", acceptor.port))
            async with asyncio.timeout(PATIENCE):
                while tries < 3:  # pauses that began
                    tries += acceptor._pause is None
                    while acceptor._pause is None:
                        await asyncio.sleep(0)
                    before = acceptor._pause
                    while acceptor._pause is before:
                        await asyncio.sleep(0)
        for each in knocking:
            async with asyncio.timeout(PATIENCE):
                assert await loop.sock_recv(each, 1) == b"!"
            each.close()
    assert [(line["event"], line["listener"], line["error"]) for line in lines] == [
        ("accepting pauses: too few descriptors", "voice", "EMFILE")
    ]


class Failing:
    """A listening socket whose `accept` fails so many times, and then works."""

    def __init__(self, listening: socket.socket, error: int, times: int) -> None:
        self._listening = listening
        self._error = error
        self.left = times
        self.getsockname, self.fileno = listening.getsockname, listening.fileno
        self.close = listening.close

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.left:
            self.left -= 1
            raise OSError(self._error, os.strerror(self._error))
        return self._listening.accept()


@pytest.mark.parametrize("error", [errno.EPERM, errno.EINVAL, errno.ENETDOWN, errno.ECONNABORTED])
async def test_an_error_that_persists_makes_it_pause_too(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.02)
    taken = Taken()
    listening = Failing(bind("127.0.0.1", 0), error, 3 * ACCEPTS_PER_TURN)
    acceptor = Acceptor(listening, taken.take, taken.room, "voice")  # type: ignore[arg-type]
    pauses: list[float] = []
    rest = acceptor._rest

    def noted(seconds: float) -> None:
        pauses.append(seconds)
        rest(seconds)

    monkeypatch.setattr(acceptor, "_rest", noted)
    acceptor.start()
    with structlog.testing.capture_logs() as lines:
        (await greeted(acceptor.port)).close()
    await acceptor.aclose()
    taken.sockets[0].close()
    assert pauses == [0.02] * 3, "after a turn of failures each"
    assert [(line["event"], line["error"]) for line in lines] == [
        ("accepting pauses: it fails again and again", errno.errorcode[error])
    ]


async def test_one_that_was_lost_before_it_was_accepted_costs_nobody_time() -> None:
    taken = Taken()
    listening = Failing(bind("127.0.0.1", 0), errno.ECONNABORTED, ACCEPTS_PER_TURN - 1)
    acceptor = Acceptor(listening, taken.take, taken.room, "voice")  # type: ignore[arg-type]
    acceptor.start()
    (await greeted(acceptor.port)).close()
    assert acceptor._pause is None
    await acceptor.aclose()
    taken.sockets[0].close()


async def test_it_can_be_closed_while_it_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Taken()
    async with accepted_by(taken) as acceptor:
        knocking = socket.socket()
        knocking.setblocking(False)
        with no_descriptor_left():
            await asyncio.get_running_loop().sock_connect(knocking, ("127.0.0.1", acceptor.port))
            async with asyncio.timeout(PATIENCE):
                while acceptor._pause is None:
                    await asyncio.sleep(0)
            acceptor.close()
            acceptor.close()
        knocking.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", acceptor.port)


async def test_a_port_in_use_raises() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(OSError, match="already in use") as refused:
        bind("127.0.0.1", first.getsockname()[1])
    assert refused.value.errno == errno.EADDRINUSE
