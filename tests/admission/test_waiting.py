"""Waiting connections are really closed, by one timer that runs only while somebody waits."""

import asyncio

from relay.admission.waiting import WaitingConnections


class Waiting:
    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def abort(self) -> None:
        self.gone.set()


async def test_one_of_too_many_is_closed_at_once() -> None:
    waiting = WaitingConnections()
    first, second = Waiting(), Waiting()
    waiting.enter(first, "203.0.113.1", 60.0, 1)
    waiting.enter(second, "203.0.113.1", 60.0, 1)
    assert first.gone.is_set()
    assert not second.gone.is_set()
    waiting.close()


async def test_who_waits_too_long_is_closed_and_who_left_is_not() -> None:
    waiting = WaitingConnections()
    late, left = Waiting(), Waiting()
    waiting.enter(late, "203.0.113.1", 0.0, 9)
    waiting.enter(left, "203.0.113.1", 0.0, 9)
    waiting.leave(left)
    async with asyncio.timeout(30):
        await late.gone.wait()
    assert not left.gone.is_set()
    assert len(waiting) == 0
    assert waiting._timer is None, "nobody waits"
    again = Waiting()
    waiting.enter(again, "203.0.113.1", 0.0, 9)
    async with asyncio.timeout(30):
        await again.gone.wait()
    waiting.close()
