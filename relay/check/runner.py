"""Runs checks one after the other, reports slow ones and survives broken ones."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Literal

SLOW_SECONDS: Final = 2.0
"""A check that runs this long is reported as slow, and again after each such interval."""
MAX_SECONDS: Final = 30.0
"""No check of a healthy relay takes longer; the slowest opens an engine session."""

State = Literal["ok", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `relay check`: `what` was found, and a `hint` at the remedy or improvement.

    Neither text holds a token or a key. The runner fills in `part`, the name of the check.
    `seconds` are what was measured, by name.
    """

    state: State
    what: str
    hint: str = ""
    part: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Read as `ok   journal: in use`, or `FAIL journal: damaged (move it away)`."""
        state = "FAIL" if self.state == "fail" else self.state
        hint = f" ({self.hint})" if self.hint else ""
        return f"{state:4} {self.part}: {self.what}{hint}"


def ok(what: str, hint: str = "") -> CheckResult:
    """The part works; `hint` may suggest an improvement."""
    return CheckResult("ok", what, hint)


def fail(what: str, hint: str) -> CheckResult:
    """The part would not work; `hint` says how to fix it."""
    return CheckResult("fail", what, hint)


def skip(what: str) -> CheckResult:
    """The check does not apply, or not yet."""
    return CheckResult("skip", what)


@dataclass(frozen=True, slots=True)
class Check:
    """A named check."""

    name: str
    run: Callable[[], Awaitable[CheckResult]]


@dataclass(frozen=True, slots=True)
class CheckTimeouts:
    """`on_slow(name, seconds)` is called every `slow_seconds`; `max_seconds` ends a check."""

    on_slow: Callable[[str, float], None]
    slow_seconds: float = SLOW_SECONDS
    max_seconds: float = MAX_SECONDS


async def run_checks(
    checks: Iterable[Check], timeouts: CheckTimeouts
) -> AsyncIterator[CheckResult]:
    """Yield each result as soon as it is there; a check that raises yields a failure."""
    for check in checks:
        with report_slow(check.name, timeouts):
            result = await _run(check, timeouts.max_seconds)
        yield replace(result, part=check.name)


async def _run(check: Check, max_seconds: float) -> CheckResult:
    limit = asyncio.timeout(max_seconds)
    try:
        async with limit:
            return await check.run()
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others' results
        if limit.expired():
            return fail(f"no answer in {max_seconds:.0f} s", "find out what it is waiting for")
        return fail(f"the check failed: {type(error).__name__}", "a bug in `relay check`")


@contextmanager
def report_slow(name: str, timeouts: CheckTimeouts) -> Iterator[None]:
    """Call `timeouts.on_slow` after every `slow_seconds` that the block takes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    timers = deque[asyncio.TimerHandle](maxlen=1)

    def set_timer() -> None:
        timers.append(loop.call_later(timeouts.slow_seconds, report))

    def report() -> None:
        timeouts.on_slow(name, loop.time() - began)
        set_timer()

    set_timer()
    try:
        yield
    finally:
        timers.pop().cancel()
