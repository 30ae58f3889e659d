"""One connection of the twin: slow readers, busy voices, and either side hanging up."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from relay.interfaces import Frame, Receiver
from relay.simulator.server import HIGH_BYTES, ConnectionPump
from tests.engines.cascade.listening import turns


class FakePeer:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent: list[bytes] = []
        self.closed: list[tuple[int, str]] = []

    def attach(self, receiver: Receiver) -> None:
        pass

    def send(self, frame: Frame) -> None:
        self.sent.append(bytes(frame))

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def ping(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


class FakeSocket:
    """A client that sends `incoming` and takes what it is sent when `reads` is set."""

    def __init__(self, *incoming: str | bytes | Exception) -> None:
        self.incoming = incoming
        self.reads = asyncio.Event()
        self.sent: list[bytes] = []
        self.closed: list[tuple[int, str]] = []

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self._messages(iter(self.incoming))

    async def _messages(self, incoming: Iterator[Any]) -> AsyncIterator[str | bytes]:
        for message in incoming:
            if isinstance(message, Exception):
                raise message
            yield message

    async def send(self, frame: bytes, text: bool) -> None:
        await self.reads.wait()
        assert text
        self.sent.append(frame)

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def line(socket: FakeSocket, peer: FakePeer) -> ConnectionPump:
    return ConnectionPump(socket, peer, None)  # type: ignore[arg-type]


async def test_a_slow_client_pauses_its_voice_and_an_empty_queue_lets_it_go_on():
    socket, peer = FakeSocket(), FakePeer()
    held = line(socket, peer)
    async with asyncio.TaskGroup() as group:
        group.create_task(held.write())
        for _ in range(3):
            held.frame(bytes(HIGH_BYTES))
        await turns()
        assert peer.asked == ["pause"]

        socket.reads.set()
        await turns(10)
        assert peer.asked == ["pause", "resume"]
        held.closed(1000, "")

    assert len(socket.sent) == 3


async def test_what_was_said_before_the_end_is_still_sent():
    socket, peer = FakeSocket(), FakePeer()
    held = line(socket, peer)
    held.frame(b"last words")
    held.closed(1001, "Over")
    socket.reads.set()

    await held.write()

    assert socket.sent == [b"last words"]
    assert socket.closed == [(1001, "Over")]


async def test_a_busy_voice_makes_reading_wait():
    socket, peer = FakeSocket("one", "two"), FakePeer()
    held = line(socket, peer)
    held.writable(False)
    async with asyncio.TaskGroup() as group:
        group.create_task(held.read())
        await turns()
        assert peer.sent == [b"one"]

        held.writable(True)

    assert peer.sent == [b"one", b"two"]
    assert peer.closed == [(1000, "")]


@pytest.mark.parametrize("fault", [ConnectionClosedError(None, None)])
async def test_a_client_that_is_lost_has_left(fault: Exception):
    socket, peer = FakeSocket("one", fault), FakePeer()

    await line(socket, peer).read()

    assert peer.sent == [b"one"]
    assert peer.closed == [(1000, "")]
