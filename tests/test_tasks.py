"""Tasks have a name and an owner."""

import asyncio

from relay.tasks import Tasks


async def test_a_fault_is_told_and_harms_no_other() -> None:
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


async def test_closing_cancels_and_waits_for_the_last_word() -> None:
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
