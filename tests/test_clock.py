"""The machine's clock, which people and time servers set, and the clocks that nobody sets."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from relay.clock import STEP_SECONDS, MachineClock, StepDetector, report_steps


class Hands:
    """Two clocks that a test moves: `passes` moves both, `is_set` the machine's alone."""

    def __init__(self) -> None:
        self.unix, self.monotonic = 1_800_000_000.0, 50.0
        self.clock = MachineClock(lambda: self.unix, lambda: self.monotonic)

    def passes(self, seconds: float) -> None:
        self.unix += seconds
        self.monotonic += seconds

    def is_set(self, seconds: float) -> None:
        self.unix += seconds


def test_by_default_it_is_the_machines_own() -> None:
    clock = MachineClock()
    assert abs(clock.unix() - time.time()) < 1
    assert abs(clock.monotonic() - time.monotonic()) < 1
    assert abs(clock.even()() - time.time()) < 1


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_an_even_clock_begins_at_the_date_and_is_not_set(step: float) -> None:
    hands = Hands()
    even = hands.clock.even()
    assert even() == hands.unix
    hands.passes(5.0)
    hands.is_set(step)
    hands.passes(5.0)
    assert even() == 1_800_000_010.0
    assert hands.clock.even()() == hands.unix, "one that begins now has the new date"


def test_an_even_clock_may_begin_later_and_never_earlier() -> None:
    hands = Hands()
    assert hands.clock.even(not_before=hands.unix + 90)() == hands.unix + 90
    assert hands.clock.even(not_before=hands.unix - 90)() == hands.unix


@pytest.mark.parametrize("step", [3600.0, -3600.0, STEP_SECONDS])
def test_a_step_is_told_once(step: float) -> None:
    steps = StepDetector(1000.0, 10.0)
    assert steps.look(1001.0, 11.0) == 0.0
    assert steps.look(1002.0 + step, 12.0) == step
    assert steps.look(1003.0 + step, 13.0) == 0.0
    assert steps.look(1004.0, 14.0) == -step


def test_small_steps_are_not_told_until_they_add_up() -> None:
    steps = StepDetector(1000.0, 10.0)
    assert steps.look(1001.4, 11.0) == 0.0
    assert steps.look(1002.8, 12.0) == 0.0
    assert steps.look(1004.25, 13.0) == 1.25


async def test_each_step_is_one_line_of_the_log() -> None:
    hands, looks = Hands(), iter((0.0, 3600.0, 0.0, 0.0, -7200.0, 0.0))

    async def sleep(seconds: float) -> None:
        hands.passes(seconds)
        hands.is_set(next(looks))

    with capture_logs() as lines, pytest.raises(RuntimeError):  # when there are no more looks
        await report_steps(hands.clock, sleep)
    told = [(line["log_level"], line["event"], line["seconds"]) for line in lines]
    assert told == [
        ("warning", "the machine's clock was set", 3600.0),
        ("warning", "the machine's clock was set", -7200.0),
    ]


async def test_it_looks_until_it_is_cancelled() -> None:
    looking = asyncio.create_task(report_steps(MachineClock()))
    await asyncio.sleep(0)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
