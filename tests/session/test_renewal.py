"""Fresh tokens that a client offers: which is checked, when, and by how many at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from relay.session.renewal import BURST, PER_SECOND, RETRY_SECONDS, RenewalQueue, TokenRenewals
from tests.session.fakes import settle

# ------------------------------------------------------------------------------------ the rules


def queue_after(checks: int) -> RenewalQueue:
    """A queue that has let through so many checks, all at 100.0."""
    queue = RenewalQueue(100.0)
    for number in range(checks):
        queue.offer(f"t{number}", 100.0)
        assert queue.wait(100.0) == 0.0
        assert queue.take() == f"t{number}"
    return queue


def test_the_newest_token_is_checked_and_no_other() -> None:
    queue = RenewalQueue(100.0)
    assert queue.wait(100.0) is None
    for token in ("first", "second", "third"):
        queue.offer(token, 100.0)
    assert queue.wait(100.0) == 0.0
    assert queue.take() == "third"
    assert queue.wait(100.0) is None
    assert queue.take() is None


def test_a_few_may_be_checked_at_once_and_then_one_a_second() -> None:
    queue = queue_after(int(BURST))
    queue.offer("next", 100.0)
    assert queue.wait(100.0) == 1.0 / PER_SECOND
    assert queue.wait(100.5) == 0.5
    assert queue.wait(101.0) == 0.0
    assert queue.take() == "next"
    queue.offer("one more", 101.0)
    assert queue.wait(101.0) == 1.0


def test_a_thousand_a_second_cost_one_a_second() -> None:
    queue, checks = RenewalQueue(100.0), 0
    for millisecond in range(10_000):
        now = 100.0 + millisecond / 1000
        queue.offer("t", now)
        if queue.wait(now) == 0.0:
            checks += queue.take() is not None
    assert checks <= BURST + 10 * PER_SECOND


def test_what_was_not_used_is_not_saved_up() -> None:
    queue = queue_after(int(BURST))
    queue.offer("t", 100.0)
    assert queue.wait(9_999.0) == 0.0
    for _ in range(int(BURST)):
        queue.offer("t", 9_999.0)
        assert queue.wait(9_999.0) == 0.0
        queue.take()
    queue.offer("t", 9_999.0)
    assert queue.wait(9_999.0) == 1.0


def test_one_that_could_not_be_checked_is_tried_again_later() -> None:
    queue = queue_after(1)
    queue.put_back("t0", 103.0)
    assert queue.wait(103.0) == RETRY_SECONDS
    assert queue.wait(103.0 + RETRY_SECONDS) == 0.0
    assert queue.take() == "t0"


def test_a_newer_one_takes_its_place_and_need_not_wait() -> None:
    queue = queue_after(1)
    queue.put_back("t0", 103.0)
    queue.offer("newer", 104.0)
    assert queue.wait(104.0) == 0.0
    assert queue.take() == "newer"
    queue.offer("newest", 105.0)
    queue.put_back("newer", 105.0)
    assert queue.take() == "newest"


# ------------------------------------------------------------------------------------ the checks


class Checks:
    """Notes what is checked; each check lasts until the gate is opened."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.renewals = TokenRenewals(self.check, self.start)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))

    async def check(self, token: str) -> bool:
        self.begun.append(token)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return True


async def test_one_check_at_a_time_and_the_newest_after_it() -> None:
    here = Checks()
    for number in range(1000):
        here.renewals.offer(f"t{number}")
    await settle()
    assert here.begun == ["t999"]
    for number in range(1000, 2000):
        here.renewals.offer(f"t{number}")
        await asyncio.sleep(0)
    assert here.begun == ["t999"]
    here.gate.set()
    await asyncio.gather(*here.tasks)
    assert here.begun == ["t999", "t1999"]
    assert (here.most, len(here.tasks)) == (1, 1)


async def test_after_the_last_check_the_next_token_starts_another() -> None:
    here = Checks()
    here.gate.set()
    for number in range(3):
        here.renewals.offer(f"t{number}")
        await asyncio.gather(*here.tasks)
    assert here.begun == ["t0", "t1", "t2"]
    assert len(here.tasks) == 3
