"""How long an event loop is held up, in CPU time: what other programs took does not count."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any


async def longest_gap(work: Coroutine[Any, Any, Any]) -> float:
    """CPU seconds that this process spends between two turns of the event loop, at the most."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.process_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.process_time() - before)

    ticking = asyncio.create_task(tick())
    await work
    ticking.cancel()
    return longest
