"""When the event loop rests for a thread, and when it stops to."""

import asyncio

import pytest

from relay.stores.worker import REST, RESTS, GilYielder


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the loop rested each time; nobody rests or waits for real."""
    rests: list[float] = []
    monkeypatch.setattr("relay.stores.worker.PATIENCE", 0)
    monkeypatch.setattr("relay.stores.worker.time.sleep", rests.append)
    return rests


async def _many_turns_of_the_loop() -> None:
    for _ in range(10 * RESTS):
        await asyncio.sleep(0)


async def test_a_job_that_is_done_in_time_costs_no_rest(rests: list[float]) -> None:
    GilYielder(lambda: 0).begin()
    await _many_turns_of_the_loop()
    assert rests == []


async def test_the_loop_rests_until_the_job_is_done(rests: list[float]) -> None:
    unfinished = [1, 1, 1, 0]
    GilYielder(lambda: unfinished.pop(0)).begin()
    await _many_turns_of_the_loop()
    assert rests == [REST] * 3
    assert unfinished == []


async def test_a_disk_that_hangs_is_not_rested_for_for_ever(rests: list[float]) -> None:
    hanging = GilYielder(lambda: 1)
    hanging.begin()
    await _many_turns_of_the_loop()
    assert len(rests) == RESTS
    hanging.begin()
    await _many_turns_of_the_loop()
    assert len(rests) == 2 * RESTS, "a new job is a new chance"


async def test_progress_is_worth_more_rests(rests: list[float]) -> None:
    counts = iter([3] * RESTS + [2] * RESTS + [1] * RESTS + [0])
    GilYielder(lambda: next(counts)).begin()
    await _many_turns_of_the_loop()
    assert len(rests) > 2 * RESTS


async def test_after_the_end_there_is_no_rest(rests: list[float]) -> None:
    sharing = GilYielder(lambda: 1)
    sharing.begin()
    sharing.end()
    await _many_turns_of_the_loop()
    assert rests == []
