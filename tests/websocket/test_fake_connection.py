"""One suite over the fake connection and over both sides of a real one."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from relay.interfaces import Connection
from relay.websocket.client import ConnectOptions, connect
from relay.websocket.connection import WebSocketConnection
from tests.fake_connection import FakePeer
from tests.websocket.ends import QUICK, Recorder, Stage


class FarEnd(Protocol):
    """The other end of the connection under test; each call returns once it was noticed."""

    connection: Connection

    async def say(self, text: bytes) -> None: ...

    async def leave(self, code: int, reason: str) -> None: ...

    async def settle(self) -> None: ...

    def heard(self) -> list[bytes]: ...


class FakeEnd:
    def __init__(self) -> None:
        self.connection: Connection
        self.connection = self._fake = FakePeer()

    async def say(self, text: bytes) -> None:
        self._fake.arrive(text)

    async def leave(self, code: int, reason: str) -> None:
        self._fake.leave(code, reason)

    async def settle(self) -> None:
        """It all happens at once."""

    def heard(self) -> list[bytes]:
        return self._fake.sent


class WireEnd:
    def __init__(
        self,
        connection: WebSocketConnection,
        far: WebSocketConnection,
        others: tuple[WebSocketConnection, WebSocketConnection],
    ) -> None:
        self.connection: Connection = connection
        self._far = far
        self._others = others
        self._recorder = Recorder()
        far.attach(self._recorder)

    async def say(self, text: bytes) -> None:
        self._far.send(text)
        await self.settle()

    async def leave(self, code: int, reason: str) -> None:
        self._far.close(code, reason)
        await self._recorder.ending()
        await self.settle()

    async def settle(self) -> None:
        """Something else has gone there and back on the same loop, three times."""
        one, other = self._others
        for _ in range(3):
            one.attach(recorder := Recorder())
            other.send(b"tick")
            await recorder.until(lambda me: me.frames)
            other.attach(recorder := Recorder())
            one.send(b"tock")
            await recorder.until(lambda me: me.frames)

    def heard(self) -> list[bytes]:
        return self._recorder.frames


@pytest.fixture(params=["fake", "server", "client"])
async def far(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[FarEnd]:
    if request.param == "fake":
        yield FakeEnd()
        return
    listener = await stage.listen()
    url, options = f"ws://127.0.0.1:{listener.port}", ConnectOptions(connection=QUICK)
    client, server = await connect(url, (), options), await stage.arrival()
    others = await connect(url, (), options), await stage.arrival()
    connection, other = (server, client) if request.param == "server" else (client, server)
    yield WireEnd(connection, other, others)
    for each in (client, *others):
        each.attach(recorder := Recorder())
        each.close(1000)
        await recorder.ending()


async def test_frames_before_the_first_receiver_are_kept_in_order(far: FarEnd) -> None:
    await far.say(b"1")
    await far.say(b"2")
    await far.leave(4000, "bye")
    far.connection.attach(recorder := Recorder())
    assert recorder.told == [("frame", b"1"), ("frame", b"2"), ("closed", 4000, "bye")]


async def test_events_go_both_ways(far: FarEnd) -> None:
    far.connection.attach(recorder := Recorder())
    far.connection.send(b"a")
    far.connection.send(bytearray(b"b"))
    await far.say(b"1")
    await far.settle()
    assert recorder.told == [("frame", b"1")]
    assert far.heard() == [b"a", b"b"]


async def test_our_own_close_is_reported_once_with_its_code_and_reason(far: FarEnd) -> None:
    far.connection.attach(recorder := Recorder())
    far.connection.close(4010, "Session time limit")
    far.connection.close(1000, "ignored")
    far.connection.send(b"ignored")
    await far.say(b"ignored")
    assert await recorder.ending() == (4010, "Session time limit")
    assert recorder.frames == []
    assert far.heard() == []


async def test_the_other_ends_close_is_reported_once(far: FarEnd) -> None:
    far.connection.attach(recorder := Recorder())
    await far.leave(1001, "gone")
    far.connection.close(1000, "ignored")
    far.connection.send(b"ignored")
    far.connection.pause()
    far.connection.resume()
    await far.settle()
    assert await recorder.ending() == (1001, "gone")


async def test_a_paused_connection_pushes_nothing_and_loses_nothing(far: FarEnd) -> None:
    far.connection.attach(recorder := Recorder())
    far.connection.pause()
    await far.say(b"1")
    await far.say(b"2")
    assert recorder.told == []
    far.connection.resume()
    await recorder.until(lambda me: len(me.frames) == 2)
    assert recorder.frames == [b"1", b"2"]


async def test_pings_are_counted(far: FarEnd) -> None:
    far.connection.attach(Recorder())
    assert far.connection.ping() == 0
    assert far.connection.ping() <= 1
