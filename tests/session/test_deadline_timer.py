"""One timer, moved rather than made anew."""

import asyncio

from relay.session.session import DeadlineTimer
from tests.session.fakes import FakeClock


class Deadline:
    def __init__(self, at: float) -> None:
        self.at = at
        self.due = 0

    def next(self) -> float:
        return self.at

    def reached(self) -> None:
        self.due += 1


async def test_it_calls_when_the_time_has_come_and_not_before() -> None:
    clock, deadline = FakeClock(), Deadline(1000.0)
    timer = DeadlineTimer(clock, deadline.next, deadline.reached)
    timer.arm()
    await asyncio.sleep(0.001)
    assert deadline.due == 1

    deadline.at = 1010.0
    timer.arm()
    timer._wake()
    assert deadline.due == 1, "woken early, it looks and goes back to sleep"
    clock.now = 1010.0
    timer._wake()
    assert deadline.due == 2
    timer.stop()


async def test_a_nearer_deadline_moves_it_and_a_farther_one_does_not() -> None:
    clock, deadline = FakeClock(), Deadline(1100.0)
    timer = DeadlineTimer(clock, deadline.next, deadline.reached)
    timer.arm()
    first = timer._handle
    deadline.at = 1200.0
    timer.arm()
    assert timer._handle is first
    deadline.at = 1000.0
    timer.arm()
    assert timer._handle is not first
    await asyncio.sleep(0.001)
    assert deadline.due == 1
    timer.stop()


async def test_a_stopped_timer_stays_stopped() -> None:
    deadline = Deadline(0.0)
    timer = DeadlineTimer(FakeClock(), deadline.next, deadline.reached)
    timer.arm()
    timer.stop()
    timer.arm()
    await asyncio.sleep(0.001)
    assert deadline.due == 0
    timer.stop()


async def test_once_stopped_it_wakes_up_no_more_whoever_arms_it() -> None:
    clock, deadline = FakeClock(), Deadline(1000.0)
    timer = DeadlineTimer(clock, deadline.next, deadline.reached)
    timer.stop()
    timer.arm()
    await asyncio.sleep(0.001)
    assert deadline.due == 0
    assert timer._handle is None, "nothing keeps its session alive"
