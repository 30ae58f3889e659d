"""Database lookups: shared, cached, and served stale while the database is unavailable."""

import asyncio

import pytest

from relay.stores.supabase.cache import RETRY_SECONDS, CachePolicy, StaleCache

POLICY = CachePolicy(fresh=30.0, stale=600.0, max_entries=2)


class Source:
    """A database: what it says of each name, how often it was asked, and whether it is away."""

    def __init__(self) -> None:
        self.values = {"a": 1, "b": 2, "c": 3}
        self.asked: list[str] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 0.0
        self.cache = StaleCache(self.read, POLICY, lambda: self.now)

    async def read(self, name: str) -> int:
        self.asked.append(name)
        await self.gate.wait()
        if self.away:
            raise ConnectionError
        return self.values[name]


async def test_a_value_is_looked_up_once_and_again_when_it_is_no_longer_fresh() -> None:
    source = Source()
    assert await source.cache.get("a") == 1
    source.values["a"] = 10
    source.now = 29.9
    assert await source.cache.get("a") == 1
    source.now = 30.0
    assert await source.cache.get("a") == 10
    assert source.asked == ["a", "a"]


async def test_concurrent_callers_share_one_lookup() -> None:
    source = Source()
    source.gate.clear()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(source.cache.get("a")) for _ in range(20)]
        await asyncio.sleep(0)
        source.gate.set()
    assert [task.result() for task in waiting] == [1] * 20
    assert source.asked == ["a"]


async def test_a_caller_who_hangs_up_does_not_end_the_lookup_for_others() -> None:
    source = Source()
    source.gate.clear()
    first = asyncio.create_task(source.cache.get("a"))
    second = asyncio.create_task(source.cache.get("a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    source.gate.set()
    assert await second == 1
    assert source.asked == ["a"]


async def test_a_stale_value_serves_while_the_database_is_unavailable_but_not_for_ever() -> None:
    source = Source()
    await source.cache.get("a")
    source.away, source.now = True, 599.9
    assert await source.cache.get("a") == 1
    source.now = 599.9 + RETRY_SECONDS
    with pytest.raises(ConnectionError):
        await source.cache.get("a")


async def test_a_hanging_database_does_not_delay_a_caller_with_a_stale_value() -> None:
    source = Source()
    source.cache = StaleCache(
        source.read, CachePolicy(30.0, 600.0, 2, patience=0.0), lambda: source.now
    )
    await source.cache.get("a")
    source.values["a"], source.now = 10, 100.0
    source.gate.clear()
    assert [await source.cache.get("a") for _ in range(3)] == [1, 1, 1]
    assert len(source.asked) == 2
    source.gate.set()
    await asyncio.sleep(0.01)
    assert await source.cache.get("a") == 10


async def test_no_caller_waits_for_a_database_that_has_just_failed() -> None:
    source = Source()
    await source.cache.get("a")
    source.away, source.now = True, 100.0
    for _ in range(3):
        assert await source.cache.get("a") == 1
    assert len(source.asked) == 2
    source.away, source.values["a"] = False, 10
    source.now += RETRY_SECONDS
    assert await source.cache.get("a") == 10


async def test_a_value_never_read_is_looked_up_each_time() -> None:
    source = Source()
    source.away = True
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await source.cache.get("a")
    source.away = False
    assert await source.cache.get("a") == 1


async def test_an_expired_value_is_looked_up_again_but_not_twice_in_a_moment() -> None:
    source = Source()
    await source.cache.get("a")
    source.values["a"] = 10
    source.cache.expire("a", min_age=1.0)
    source.now = 0.9
    assert await source.cache.get("a") == 1
    source.now = 1.0
    assert await source.cache.get("a") == 10
    source.cache.expire("never heard of", min_age=1.0)


async def test_the_cache_is_bounded_and_keeps_the_most_recently_used() -> None:
    source = Source()
    for name in ("a", "b", "a", "c", "a", "b"):
        await source.cache.get(name)
    assert source.asked == ["a", "b", "c", "b"]


async def test_closing_cancels_lookups_in_progress() -> None:
    source = Source()
    source.gate.clear()
    asking = asyncio.create_task(source.cache.get("a"))
    await asyncio.sleep(0)
    await source.cache.aclose()
    await asyncio.wait({asking})
    assert asking.cancelled()
