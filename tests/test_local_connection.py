"""Both ends in one process; tests/contracts/test_connection.py has what every connection does."""

import asyncio

import pytest

from relay.local_connection import HIGH_BYTES, HIGH_FRAMES, MAX_BYTES, LocalConnection
from tests.websocket.ends import Recorder


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def attached(connection: LocalConnection) -> Recorder:
    recorder = Recorder()
    connection.attach(recorder)
    return recorder


async def test_nothing_is_pushed_from_within_a_send() -> None:
    near, far = LocalConnection.pair()
    here, there = attached(near), attached(far)
    near.send(b"a")
    far.send(b"b")
    assert (here.frames, there.frames) == ([], [])
    await turns()
    assert (here.frames, there.frames) == ([b"b"], [b"a"])


@pytest.mark.parametrize(("size", "count"), [(HIGH_BYTES // 8, 9), (1, HIGH_FRAMES + 1)])
async def test_a_sender_waits_for_a_reader_that_is_slow(size: int, count: int) -> None:
    near, far = LocalConnection.pair()
    here, there = attached(near), attached(far)
    far.pause()
    for _ in range(count - 1):
        near.send(bytes(size))
    assert here.told == []
    near.send(bytes(size))
    assert here.told == [("writable", False)]
    far.resume()
    await turns()
    assert here.told == [("writable", False), ("writable", True)]
    assert len(there.frames) == count


async def test_one_that_attaches_to_a_full_end_is_told_so() -> None:
    near, _far = LocalConnection.pair()
    near.send(bytes(HIGH_BYTES + 1))
    assert attached(near).told == [("writable", False)]


async def test_a_sender_that_does_not_wait_ends_the_connection() -> None:
    near, far = LocalConnection.pair()
    here, there = attached(near), attached(far)
    far.pause()
    for _ in range(MAX_BYTES // HIGH_BYTES + 1):
        near.send(bytes(HIGH_BYTES))
    assert await there.ending() == (1011, "Internal server error")
    assert await here.ending() == (1011, "Internal server error")
    assert there.frames == []


async def test_what_was_sent_before_a_close_arrives_before_it() -> None:
    near, far = LocalConnection.pair()
    there = attached(far)
    far.pause()
    near.send(b"last words")
    near.close(1000, "bye")
    await turns()
    assert there.frames == []
    far.resume()
    assert await there.ending() == (1000, "bye")
    assert there.frames == [b"last words"]


async def test_a_fault_of_a_receiver_ends_its_connection_alone() -> None:
    class Broken(Recorder):
        def frame(self, frame: object) -> None:
            raise RuntimeError("what the frame said")

    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    near, far = LocalConnection.pair()
    here, broken = attached(near), Broken()
    far.attach(broken)
    near.send(b"a")
    assert await here.ending() == (1011, "Internal server error")
    assert await broken.ending() == (1011, "Internal server error")
    loop.set_exception_handler(None)
    (complaint,) = complaints
    assert "what the frame said" not in complaint
