"""Look-ups at a server that may be down: what the breaker lets through, and who shares a call."""

import asyncio

import pytest

from relay.auth import lookups
from relay.auth.lookups import (
    FAILURES,
    PAUSE_SECONDS,
    USER_BURST,
    USER_PER_SECOND,
    CircuitBreaker,
    SingleFlight,
    TooManyCalls,
    UserRates,
)

# ----------------------------------------------------------------------------------- the breaker


def opened(now: float = 100.0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(FAILURES):
        assert breaker.admits(now)
        breaker.failed(now)
    return breaker


def test_a_few_failures_do_not_open_it() -> None:
    breaker = CircuitBreaker()
    for _ in range(5):
        for _ in range(FAILURES - 1):
            breaker.failed(100.0)
        breaker.answered()
    assert not breaker.is_open
    assert breaker.admits(100.0)


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()
    assert breaker.is_open
    assert not breaker.admits(100.0)
    assert not breaker.admits(100.0 + PAUSE_SECONDS - 0.001)


def test_once_in_a_pause_one_may_ask() -> None:
    breaker = opened()
    for pause in (1, 2, 3):
        now = 100.0 + pause * PAUSE_SECONDS
        assert [breaker.admits(now) for _ in range(4)] == [True, False, False, False]
        breaker.failed(now + 3.0)
        assert not breaker.admits(now + 3.0)


def test_those_who_asked_before_it_opened_do_not_extend_the_pause() -> None:
    breaker = opened(100.0)
    for _ in range(30):
        breaker.failed(103.0)
    assert breaker.admits(100.0 + PAUSE_SECONDS)


def test_an_answer_closes_it() -> None:
    breaker = opened()
    assert breaker.admits(100.0 + PAUSE_SECONDS)
    breaker.answered()
    assert not breaker.is_open
    assert all(breaker.admits(100.0 + PAUSE_SECONDS) for _ in range(9))


# ---------------------------------------------------------------------------------- one user's rate


def test_a_user_may_be_looked_up_often_but_not_without_end() -> None:
    rates = UserRates()
    assert sum(rates.admits("ada", 100.0) for _ in range(1000)) == USER_BURST
    assert rates.admits("eve", 100.0), "that is no other user's business"
    seconds = 10
    later = [100.0 + n / 100 for n in range(100 * seconds)]
    assert sum(rates.admits("ada", now) for now in later) <= seconds * USER_PER_SECOND
    assert rates.admits("ada", 9_999.0)


def test_the_users_that_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "USERS", 3)
    rates = UserRates()
    for number in range(10):
        rates.admits(f"user {number}", 100.0)
    assert len(rates._buckets) == 3


# ------------------------------------------------------------------------------------ the flights


class Server:
    """Answers when it is told to; counts who asks."""

    def __init__(self) -> None:
        self.asked = self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.fails: Exception | None = None

    async def answer(self) -> str:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.fails is not None:
            raise self.fails
        return f"answer {self.asked}"


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_ask_for_one_key_share_one_call() -> None:
    flights, server = SingleFlight[str](), Server()
    asking = [asyncio.create_task(flights.run("key", server.answer)) for _ in range(100)]
    await turns()
    server.gate.set()
    assert await asyncio.gather(*asking) == ["answer 1"] * 100
    assert await flights.run("key", server.answer) == "answer 2", "nothing is kept"
    assert len(flights) == 0


async def test_all_who_share_a_call_share_its_failure() -> None:
    flights, server = SingleFlight[str](), Server()
    server.fails = ValueError("no")
    asking = [asyncio.create_task(flights.run("key", server.answer)) for _ in range(3)]
    await turns()
    server.gate.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in told] == [ValueError] * 3
    assert server.asked == 1


async def test_one_who_leaves_costs_the_others_nothing() -> None:
    flights, server = SingleFlight[str](), Server()
    first, second = (asyncio.create_task(flights.run("key", server.answer)) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    server.gate.set()
    assert await second == "answer 1"
    assert server.asked == 1


async def test_the_calls_at_once_are_bounded_and_all_are_made() -> None:
    flights, server = SingleFlight[str](max_calls=4), Server()
    asking = [asyncio.create_task(flights.run(str(key), server.answer)) for key in range(20)]
    await turns()
    assert (server.asked, len(flights)) == (4, 20)
    server.gate.set()
    await asyncio.gather(*asking)
    assert (server.asked, server.most, len(flights)) == (20, 4, 0)


async def test_beyond_the_bound_nobody_waits() -> None:
    flights, server = SingleFlight[str](max_calls=1, max_keys=2), Server()
    asking = [asyncio.create_task(flights.run(str(key), server.answer)) for key in range(2)]
    await turns()
    with pytest.raises(TooManyCalls):
        await flights.run("third", server.answer)
    server.gate.set()
    await asyncio.gather(*asking)


async def test_the_wait_for_a_place_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "WAIT_SECONDS", 0.01)
    flights, server = SingleFlight[str](max_calls=1), Server()
    first = asyncio.create_task(flights.run("first", server.answer))
    await turns()
    with pytest.raises(TooManyCalls):
        await flights.run("second", server.answer)
    server.gate.set()
    assert await first == "answer 1"


async def test_closing_cancels_what_is_under_way() -> None:
    flights, server = SingleFlight[str](), Server()
    asking = asyncio.create_task(flights.run("key", server.answer))
    await turns()
    await flights.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (server.at_once, len(flights)) == (0, 0)
