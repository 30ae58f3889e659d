"""Tests of owned tasks, and of how a fault is located."""

import asyncio

import pytest

from relay.tasks import Tasks, where


async def test_a_fault_is_reported_and_harms_no_other_task() -> None:
    told: list[tuple[str, str]] = []
    tasks = Tasks(lambda name, fault: told.append((name, str(fault))))
    go = asyncio.Event()

    async def fails() -> None:
        raise ValueError("no")

    async def lives() -> str:
        await go.wait()
        return "alive"

    living = tasks.start(lives(), "lives")
    tasks.run(fails(), "fails")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == [("fails", "no")]
    assert len(tasks) == 1
    go.set()
    assert await living == "alive"
    await tasks.done()
    assert len(tasks) == 0


async def test_closing_cancels_tasks_and_waits_for_their_cleanup() -> None:
    words: list[str] = []
    tasks = Tasks(lambda *_: None)

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            words.append("cleaned up")

    tasks.run(careful(), "careful")
    await asyncio.sleep(0)
    await tasks.aclose()
    assert words == ["cleaned up"]
    await tasks.aclose()


def fail(text: str) -> None:
    raise ValueError(text)


def test_a_fault_is_located_by_type_and_line_without_its_text() -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        fail("secret")
    told = where(caught.value)
    assert told.startswith("ValueError in fail (")
    assert "secret" not in told
    assert where(KeyError("secret")) == "KeyError"
