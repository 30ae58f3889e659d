"""Tells when the provider refuses everybody: failures in a row, and then a probe, decide."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, NoReturn

import structlog

FAILURES: Final = 3
"""Sessions in a row that got no voice, after which the provider itself is asked."""
PROBE_SECONDS: Final = 30.0
"""Between two probes, until one is answered or a session gets its voice."""
LOOK_SECONDS: Final = 1.0
"""Between two looks whether a probe is due."""

log = structlog.get_logger(__name__)


class ProviderHealth:
    """Follows how sessions open. Times are seconds of one clock.

    A probe is due after `FAILURES` in a row, and then every `PROBE_SECONDS`. Only one that fails as
    well makes the provider unready, so that three unlucky callers do not.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        """How the provider refuses everybody, None while it may not."""
        self._failures = 0
        self._probe_at = inf

    @property
    def reason(self) -> str | None:
        """Why no session can be had, None while one may be."""
        return None if self.fault is None else f"the provider refuses everybody: {self.fault}"

    def opened(self) -> None:
        """A session got its voice."""
        self.fault = None
        self._failures = 0
        self._probe_at = inf

    def failed(self, now: float) -> None:
        """A session got no voice."""
        self._failures += 1
        if self._failures >= FAILURES and self._probe_at == inf:
            self._probe_at = now

    def probe_due(self, now: float) -> bool:
        """Whether to ask the provider now; `probed` takes the outcome."""
        return now >= self._probe_at

    def probed(self, fault: str | None, now: float) -> None:
        """The provider was asked: `fault` says how it refuses, None that it answers.

        A session that got its voice while it was asked knows better.
        """
        if fault is None:
            self.opened()
        elif self.probe_due(now):
            self.fault = fault
            self._probe_at = now + PROBE_SECONDS


async def watch_provider(
    health: ProviderHealth,
    probe: Callable[[], Awaitable[str | None]],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> NoReturn:
    """Probe whenever it is due, until cancelled; says in the log when the provider is lost."""
    told: str | None = None
    while True:
        await sleep(LOOK_SECONDS)
        if health.probe_due(clock()):
            health.probed(await probe(), clock())
        if health.fault == told:
            continue
        told = health.fault
        if told is not None:
            log.error("provider refuses everybody", cause=told)
        else:
            log.info("provider answers again")
