"""What every peer does: one suite, run over the fake and over both sides of a real connection."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from relay.interfaces import Connection
from relay.websocket.client import ConnectOptions, connect
from relay.websocket.connection import WebSocketConnection
from tests.fake_connection import FakePeer
from tests.websocket.ends import QUICK, Recorder, Stage


class FarEnd(Protocol):
    """The other end of the peer under test. Each call returns when the peer has noticed."""

    peer: Connection

    async def say(self, text: bytes) -> None: ...

    async def leave(self, code: int, reason: str) -> None: ...

    async def settle(self) -> None: ...

    def heard(self) -> list[bytes]: ...


class FakeEnd:
    def __init__(self) -> None:
        self.peer: Connection
        self.peer = self._fake = FakePeer()

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
        peer: WebSocketConnection,
        far: WebSocketConnection,
        others: tuple[WebSocketConnection, WebSocketConnection],
    ) -> None:
        self.peer: Connection = peer
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
    url, options = f"ws://127.0.0.1:{listener.port}", ConnectOptions(peer=QUICK)
    client, server = await connect(url, (), options), await stage.arrival()
    others = await connect(url, (), options), await stage.arrival()
    peer, other = (server, client) if request.param == "server" else (client, server)
    yield WireEnd(peer, other, others)
    for each in (client, *others):
        each.attach(recorder := Recorder())
        each.close(1000)
        await recorder.ending()


async def test_what_comes_before_somebody_attaches_is_kept_in_order(far: FarEnd) -> None:
    await far.say(b"1")
    await far.say(b"2")
    await far.leave(4000, "bye")
    far.peer.attach(recorder := Recorder())
    assert recorder.told == [("frame", b"1"), ("frame", b"2"), ("closed", 4000, "bye")]


async def test_events_go_both_ways(far: FarEnd) -> None:
    far.peer.attach(recorder := Recorder())
    far.peer.send(b"a")
    far.peer.send(bytearray(b"b"))
    await far.say(b"1")
    await far.settle()
    assert recorder.told == [("frame", b"1")]
    assert far.heard() == [b"a", b"b"]


async def test_we_close_once_and_are_told_what_we_said(far: FarEnd) -> None:
    far.peer.attach(recorder := Recorder())
    far.peer.close(4010, "Session time limit")
    far.peer.close(1000, "ignored")
    far.peer.send(b"ignored")
    await far.say(b"ignored")
    assert await recorder.ending() == (4010, "Session time limit")
    assert recorder.frames == []
    assert far.heard() == []


async def test_the_other_end_leaves_once(far: FarEnd) -> None:
    far.peer.attach(recorder := Recorder())
    await far.leave(1001, "gone")
    far.peer.close(1000, "ignored")
    far.peer.send(b"ignored")
    far.peer.pause()
    far.peer.resume()
    await far.settle()
    assert await recorder.ending() == (1001, "gone")


async def test_a_paused_peer_keeps_silent_and_loses_nothing(far: FarEnd) -> None:
    far.peer.attach(recorder := Recorder())
    far.peer.pause()
    await far.say(b"1")
    await far.say(b"2")
    assert recorder.told == []
    far.peer.resume()
    await recorder.until(lambda me: len(me.frames) == 2)
    assert recorder.frames == [b"1", b"2"]


async def test_pings_are_counted(far: FarEnd) -> None:
    far.peer.attach(Recorder())
    assert far.peer.ping() == 0
    assert far.peer.ping() <= 1
