"""One connection of the simulator: slow clients, busy voices, and a close from either side."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from relay.interfaces import Frame, Receiver
from relay.simulator.server import HIGH_BYTES, ConnectionPump
from tests.engines.cascade.listening import turns


class FakeVoice:
    """Records the calls that it gets."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent: list[bytes] = []
        self.closed: list[tuple[int, str]] = []

    fault = None

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


def pump_between(socket: FakeSocket, voice: FakeVoice) -> ConnectionPump:
    return ConnectionPump(socket, voice, None)  # type: ignore[arg-type]


async def test_a_slow_client_pauses_its_voice_and_an_empty_queue_lets_it_go_on():
    socket, voice = FakeSocket(), FakeVoice()
    pump = pump_between(socket, voice)
    async with asyncio.TaskGroup() as group:
        group.create_task(pump.write())
        for _ in range(3):
            pump.frame(bytes(HIGH_BYTES))
        await turns()
        assert voice.asked == ["pause"]

        socket.reads.set()
        await turns(10)
        assert voice.asked == ["pause", "resume"]
        pump.closed(1000, "")

    assert len(socket.sent) == 3


async def test_queued_frames_are_sent_before_the_close():
    socket, voice = FakeSocket(), FakeVoice()
    pump = pump_between(socket, voice)
    pump.frame(b"last words")
    pump.closed(1001, "Over")
    socket.reads.set()

    await pump.write()

    assert socket.sent == [b"last words"]
    assert socket.closed == [(1001, "Over")]


async def test_a_busy_voice_makes_reading_wait():
    socket, voice = FakeSocket("one", "two"), FakeVoice()
    pump = pump_between(socket, voice)
    pump.writable(False)
    async with asyncio.TaskGroup() as group:
        group.create_task(pump.read())
        await turns()
        assert voice.sent == [b"one"]

        pump.writable(True)

    assert voice.sent == [b"one", b"two"]
    assert voice.closed == [(1000, "")]


@pytest.mark.parametrize("fault", [ConnectionClosedError(None, None)])
async def test_a_lost_client_closes_its_voice(fault: Exception):
    socket, voice = FakeSocket("one", fault), FakeVoice()

    await pump_between(socket, voice).read()

    assert voice.sent == [b"one"]
    assert voice.closed == [(1000, "")]
