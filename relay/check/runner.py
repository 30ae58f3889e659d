"""Looks at one part after the other, says which of them is slow, and survives each of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

# ---- What one look at one part of the relay found.

State = Literal["ok", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `relay check`: `what` was found, and how to `mend` it where it needs that.

    Neither text holds a token or a key. `part` is filled in by whoever asked for the look.
    """

    state: State
    what: str
    mend: str = ""
    part: str = ""

    def __str__(self) -> str:
        """Read as `ok   journal: in use`, or `FAIL journal: damaged (move it away)`."""
        state = "FAIL" if self.state == "fail" else self.state
        mend = f" ({self.mend})" if self.mend else ""
        return f"{state:4} {self.part}: {self.what}{mend}"


def ok(what: str, mend: str = "") -> CheckResult:
    """The part works; `mend` may say what could be better still."""
    return CheckResult("ok", what, mend)


def fail(what: str, mend: str) -> CheckResult:
    """The part would not work."""
    return CheckResult("fail", what, mend)


def skip(what: str) -> CheckResult:
    """There is nothing to look at, or not yet."""
    return CheckResult("skip", what)


SLOW_SECONDS: Final = 2.0
"""After so long somebody who watches wants to know what is going on, and again after as long."""

LONGEST_SECONDS: Final = 30.0
"""No part of a healthy relay takes longer; the slowest is a voice that opens."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str
    look: Callable[[], Awaitable[CheckResult]]


@dataclass(frozen=True, slots=True)
class CheckTimeouts:
    """Seconds until `slow(part, seconds)` is called, each time, and until a part is given up."""

    slow: Callable[[str, float], None]
    slow_seconds: float = SLOW_SECONDS
    longest_seconds: float = LONGEST_SECONDS


async def examine(parts: Iterable[Check], patience: CheckTimeouts) -> AsyncIterator[CheckResult]:
    """Give each part's finding as soon as it is there; a look that breaks is a finding too."""
    for part in parts:
        with telling(part.name, patience):
            finding = await _look(part, patience.longest_seconds)
        yield replace(finding, part=part.name)


async def _look(part: Check, longest: float) -> CheckResult:
    limit = asyncio.timeout(longest)
    try:
        async with limit:
            return await part.look()
    except Exception as error:  # noqa: BLE001 - one broken look must not hide what the others find
        if limit.expired():
            return fail(f"no answer in {longest:.0f} s", "see what it waits for")
        return fail(f"could not be looked at: {type(error).__name__}", "a fault of `relay check`")


@contextmanager
def telling(name: str, patience: CheckTimeouts) -> Iterator[None]:
    """While this lasts, call `patience.slow` each time when another `slow_seconds` are over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    timers = deque[asyncio.TimerHandle](maxlen=1)

    def set_timer() -> None:
        timers.append(loop.call_later(patience.slow_seconds, tell))

    def tell() -> None:
        patience.slow(name, loop.time() - began)
        set_timer()

    set_timer()
    try:
        yield
    finally:
        timers.pop().cancel()
