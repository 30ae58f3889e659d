"""Waits for an engine as long as its session lasts, and no longer."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from relay.interfaces import Peer
from relay.tasks import Tasks


async def reached(
    opening: Coroutine[Any, Any, Peer], ended: asyncio.Future[Any], tasks: Tasks
) -> Peer | None:
    """The engine that was opened, None where the session ended first; raises what `open` does."""
    reaching = tasks.start(opening, "engine.open")
    both: set[asyncio.Future[Any]] = {reaching, ended}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not reaching.done():
        reaching.cancel()
        await asyncio.wait({reaching})
    return None if reaching.cancelled() else reaching.result()
