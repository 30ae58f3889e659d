"""Every `Connection` of the relay keeps the same contract, whatever is at its far end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.engines.cascade.engine import CascadeEngine
from relay.interfaces import Connection, ConnectRequest, EngineRequest, Frame
from relay.local_connection import LocalConnection
from relay.parts.simple import scripted_parts
from relay.websocket.client import ConnectOptions, connect
from relay.websocket.closing import ConnectionOptions
from relay.websocket.connection import WebSocketConnection
from relay.websocket.server import ListenOptions, listen
from tests.fake_connection import FakePeer
from tests.websocket import sansio_ends
from tests.websocket.ends import Recorder

QUICK = ConnectionOptions(close_grace=0.1)
LEFT = (1001, "Going away")


@dataclass
class Ends:
    """A peer and its far end.

    `arrive` has the far end send events of these numbers, `leave` has it go; `reached` lists the
    numbers of what it got. `recorder` is the receiver that most tests attach.
    """

    peer: Connection
    arrive: Callable[[Sequence[int]], None]
    leave: Callable[[], Awaitable[None] | None]
    reached: Callable[[], list[int]]
    recorder: Recorder = field(default_factory=Recorder)

    def arrived(self) -> list[int]:
        """The numbers of what the recorder was given."""
        return numbers(self.recorder.frames)

    async def left(self) -> None:
        """The far end goes, and that has come through."""
        gone = self.leave()
        if gone is not None:
            await gone
        await settle()


def event(number: int) -> bytes:
    """A numbered event; real rules answer it with an `error` that names the number."""
    return json.dumps({"type": "test.numbered", "event_id": str(number)}).encode()


def numbers(frames: Sequence[bytes]) -> list[int]:
    """The numbers of numbered events, as they were or in the answer to them."""
    found: list[int] = []
    for frame in frames:
        told: dict[str, Any] = json.loads(frame)
        name = told["error"]["event_id"] if told["type"] == "error" else told.get("event_id", "")
        if told["type"] in ("error", "test.numbered"):
            found.append(int(name))
    return found


async def settle() -> None:
    """Let everything happen that is on its way, through the kernel too."""
    for _ in range(100):
        await asyncio.sleep(0)


@asynccontextmanager
async def wire_pair() -> AsyncIterator[tuple[WebSocketConnection, WebSocketConnection]]:
    """Both sides of one connection: who listened, and who connected."""
    arrivals: asyncio.Queue[WebSocketConnection] = asyncio.Queue()

    def arrived(peer: WebSocketConnection, request: ConnectRequest) -> None:
        request.let_in()
        arrivals.put_nowait(peer)

    listener = await listen(arrived, ListenOptions(connection=QUICK))
    try:
        url = f"ws://127.0.0.1:{listener.port}/"
        near = await connect(url, options=ConnectOptions(connection=QUICK))
        yield await arrivals.get(), near
        near.close(1000)
        await settle()
    finally:
        await listener.aclose()


def wired(peer: WebSocketConnection, far: WebSocketConnection) -> Ends:
    seen = Recorder()
    far.attach(seen)

    def arrive(wanted: Sequence[int]) -> None:
        for number in wanted:
            far.send(event(number))

    return Ends(peer, arrive, lambda: far.close(*LEFT), lambda: numbers(seen.frames))


@asynccontextmanager
async def listening() -> AsyncIterator[Ends]:
    async with wire_pair() as (server, client):
        yield wired(server, client)


@asynccontextmanager
async def connecting() -> AsyncIterator[Ends]:
    async with wire_pair() as (server, client):
        yield wired(client, server)


@asynccontextmanager
async def sansio_pair() -> AsyncIterator[tuple[Any, Any]]:
    """The same over the way out of the wire library."""
    arrivals: asyncio.Queue[Any] = asyncio.Queue()
    listener = await sansio_ends.listen(
        lambda peer, _: arrivals.put_nowait(peer), ListenOptions(connection=QUICK)
    )
    try:
        url = f"ws://127.0.0.1:{listener.port}/"
        near = await sansio_ends.connect(url, options=ConnectOptions(connection=QUICK))
        yield await arrivals.get(), near
        near.close(1000)
        await settle()
    finally:
        await listener.aclose()


@asynccontextmanager
async def sansio_listening() -> AsyncIterator[Ends]:
    async with sansio_pair() as (server, client):
        yield wired(server, client)


@asynccontextmanager
async def sansio_connecting() -> AsyncIterator[Ends]:
    async with sansio_pair() as (server, client):
        yield wired(client, server)


@asynccontextmanager
async def offline() -> AsyncIterator[Ends]:
    """The engine in this process: it answers every numbered event, so `arrive` asks it to."""
    engine = CascadeEngine(scripted_parts())
    peer = await engine.open(EngineRequest("s1", "any", "ada"))

    def arrive(wanted: Sequence[int]) -> None:
        for number in wanted:
            peer.send(event(number))

    recorder = Recorder()
    yield Ends(peer, arrive, engine.aclose, lambda: numbers(recorder.frames), recorder)
    await engine.aclose()


@asynccontextmanager
async def faked() -> AsyncIterator[Ends]:
    peer = FakePeer()

    def arrive(wanted: Sequence[int]) -> None:
        for number in wanted:
            peer.arrive(event(number))

    yield Ends(peer, arrive, lambda: peer.leave(*LEFT), lambda: numbers(peer.sent))


@asynccontextmanager
async def local() -> AsyncIterator[Ends]:
    peer, far = LocalConnection.pair()
    seen = Recorder()
    far.attach(seen)

    def arrive(wanted: Sequence[int]) -> None:
        for number in wanted:
            far.send(event(number))

    yield Ends(peer, arrive, lambda: far.close(*LEFT), lambda: numbers(seen.frames))


PEERS: dict[str, Callable[[], AbstractAsyncContextManager[Ends]]] = {
    "wire, listening": listening,
    "wire, connecting": connecting,
    "sans-I/O, listening": sansio_listening,
    "sans-I/O, connecting": sansio_connecting,
    "offline engine": offline,
    "both ends in this process": local,
    "fake": faked,
}


@pytest.fixture(params=list(PEERS))
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    async with PEERS[request.param]() as made:
        yield made


async def test_what_comes_before_anybody_is_attached_is_held_and_comes_in_order(
    ends: Ends,
) -> None:
    ends.arrive([1, 2, 3])
    await settle()
    ends.peer.attach(ends.recorder)
    ends.arrive([4, 5])
    await settle()

    assert ends.arrived() == [1, 2, 3, 4, 5]


async def test_an_end_that_comes_before_anybody_is_attached_is_told_to_who_attaches(
    ends: Ends,
) -> None:
    await ends.left()
    ends.peer.attach(ends.recorder)

    assert await ends.recorder.ending() == LEFT
    assert ends.peer.fault is None, "nobody here has closed it"


async def test_what_is_sent_reaches_the_far_end_in_order(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    for number in (101, 102, 103):
        ends.peer.send(event(number))
    await settle()

    assert ends.reached() == [101, 102, 103]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_a_buffer_may_be_used_again_once_it_was_sent(
    ends: Ends, kind: Callable[[bytearray], Frame]
) -> None:
    ends.peer.attach(ends.recorder)
    buffer = bytearray(event(101))
    ends.peer.send(kind(buffer))
    buffer[:] = event(102)
    ends.peer.send(kind(buffer))
    await settle()

    assert ends.reached() == [101, 102]


async def test_an_end_from_afar_is_told_once_whatever_is_done_then(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    await ends.left()
    ends.peer.close(4000, "too late")
    ends.peer.send(event(101))
    ends.peer.pause()
    ends.peer.resume()
    await settle()

    assert await ends.recorder.ending() == LEFT


async def test_a_close_of_our_own_is_told_once_with_its_own_words(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    ends.peer.close(4011, "Idle")
    ending = await ends.recorder.ending()
    await ends.left()

    assert ending == (4011, "Idle")
    assert await ends.recorder.ending() == (4011, "Idle")


async def test_the_second_of_two_closes_is_ignored(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    ends.peer.close(4011, "Idle")
    ends.peer.close(1011, "Internal server error")

    assert await ends.recorder.ending() == (4011, "Idle")
    await settle()
    assert await ends.recorder.ending() == (4011, "Idle")


async def test_one_that_was_closed_before_anybody_was_attached_tells_so(ends: Ends) -> None:
    ends.arrive([1, 2])
    await settle()
    ends.peer.close(4011, "Idle")
    ends.peer.attach(ends.recorder)

    assert await ends.recorder.ending() == (4011, "Idle")
    assert ends.arrived() == []


async def test_after_a_close_nothing_is_sent_and_nothing_but_the_end_comes(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    await settle()
    ends.peer.close(1000, "")
    ends.peer.send(event(101))
    ends.arrive([1])
    ending = await ends.recorder.ending()
    ends.peer.send(event(102))
    await settle()

    assert ending == (1000, "")
    assert ends.arrived() == []
    assert ends.reached() == []


async def test_a_pause_holds_what_comes_and_loses_nothing(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    ends.arrive([1])
    await settle()
    ends.peer.pause()
    ends.arrive([2, 3])
    await settle()
    during = ends.arrived()
    ends.peer.resume()
    ends.arrive([4])
    await settle()

    assert during == [1]
    assert ends.arrived() == [1, 2, 3, 4]


async def test_one_resume_ends_any_number_of_pauses_and_needs_none(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    ends.peer.resume()
    ends.peer.pause()
    ends.peer.pause()
    ends.peer.resume()
    ends.arrive([1, 2])
    await settle()

    assert ends.arrived() == [1, 2]


async def test_sending_goes_on_while_it_is_paused(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    ends.peer.pause()
    ends.peer.send(event(101))
    await settle()
    ends.peer.resume()  # the engine in this process shows by its answer that it got there
    await settle()

    assert ends.reached() == [101]


async def test_a_paused_one_can_be_closed(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    ends.peer.pause()
    ends.peer.close(4013, "Client too slow")

    assert await ends.recorder.ending() == (4013, "Client too slow")


async def test_who_attaches_later_gets_what_comes_later(ends: Ends) -> None:
    first = ends.recorder
    ends.peer.attach(first)
    ends.arrive([1])
    await settle()
    second = Recorder()
    ends.peer.attach(second)
    ends.arrive([2])
    await settle()
    await ends.left()

    assert numbers(first.frames) == [1]
    assert numbers(second.frames) == [2]
    assert await second.ending() == LEFT
    assert not [told for told in first.told if told[0] == "closed"]


async def test_a_ping_says_how_many_are_unanswered_and_harms_nobody(ends: Ends) -> None:
    ends.peer.attach(ends.recorder)
    first = ends.peer.ping()
    await settle()
    ends.peer.close(1000, "")
    await ends.recorder.ending()
    after = ends.peer.ping()

    assert first == 0
    assert isinstance(after, int)
    assert after >= 0


class Hasty(Recorder):
    """A receiver that acts from within the calls that it gets."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def frame(self, frame: Frame) -> None:
        super().frame(frame)
        self._act()

    def closed(self, code: int, reason: str) -> None:
        super().closed(code, reason)
        self._act()


async def test_a_receiver_may_close_from_within_a_frame(ends: Ends) -> None:
    """And is given no second one, not even of those that were held."""
    hasty = Hasty(lambda: ends.peer.close(4003, "Forbidden"))
    ends.arrive([1, 2, 3])
    await settle()
    ends.peer.attach(hasty)

    assert await hasty.ending() == (4003, "Forbidden")
    await settle()
    assert len(hasty.frames) == 1
    assert await hasty.ending() == (4003, "Forbidden")


async def test_a_receiver_may_send_from_within_a_frame_and_from_within_the_end(ends: Ends) -> None:
    left = [101]  # no more: an engine that answers each of them would never have enough

    def send() -> None:
        if left:
            ends.peer.send(event(left.pop()))

    hasty = Hasty(send)
    ends.peer.attach(hasty)
    ends.arrive([1])
    await settle()
    assert left == []

    left.append(102)
    await ends.left()
    assert left == []
    assert await hasty.ending() == LEFT
