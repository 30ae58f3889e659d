"""The provider refuses everybody only when a probe says so, after failures in a row."""

import asyncio

import pytest
from structlog.testing import capture_logs

from relay.session.provider_health import (
    FAILURES,
    PROBE_SECONDS,
    ProviderHealth,
    watch_provider,
)


def failing(times: int = FAILURES, now: float = 100.0) -> ProviderHealth:
    health = ProviderHealth()
    for _ in range(times):
        health.failed(now)
    return health


def test_failures_in_a_row_ask_for_a_probe_and_fewer_do_not() -> None:
    assert not failing(FAILURES - 1).probe_due(1e9)
    assert failing().probe_due(100.0)
    assert failing().reason is None, "three unlucky callers are not everybody"


def test_a_session_that_opens_between_them_starts_the_count_anew() -> None:
    health = failing(FAILURES - 1)
    health.opened()
    health.failed(1.0)
    assert not health.probe_due(1e9)


def test_a_probe_that_fails_is_repeated_until_one_is_answered() -> None:
    health = failing()
    health.probed("HTTP 503", 100.0)
    assert health.reason == "the provider refuses everybody: HTTP 503"
    health.failed(110.0)
    assert not health.probe_due(100.0 + PROBE_SECONDS - 0.1)
    assert health.probe_due(100.0 + PROBE_SECONDS)
    health.probed(None, 130.0)
    assert health.reason is None
    assert not health.probe_due(1e9)


def test_a_session_that_gets_its_voice_ends_the_doubt() -> None:
    health = failing()
    health.probed("HTTP 401", 100.0)
    health.opened()
    assert health.reason is None
    assert not health.probe_due(1e9)


def test_a_session_that_gets_its_voice_during_a_probe_knows_better() -> None:
    health = failing()
    assert health.probe_due(100.0)
    health.opened()  # while the provider is asked
    health.probed("HTTP 503", 101.0)
    assert health.reason is None
    assert not health.probe_due(1e9)


async def test_the_log_tells_of_a_session_that_found_the_provider_again() -> None:
    health, looks = failing(), 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            health.opened()
        if looks == 4:
            raise asyncio.CancelledError

    async def probe() -> str | None:
        return "HTTP 503"

    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await watch_provider(health, probe, lambda: 100.0, sleep)
    assert [line["event"] for line in logs] == [
        "provider refuses everybody",
        "provider answers again",
    ]


async def test_the_watch_probes_when_it_is_due_and_logs_each_change_once() -> None:
    health, now, asked = failing(), 100.0, 0
    faults = ["HTTP 503", "HTTP 503", "HTTP 401", None]

    async def probe() -> str | None:
        nonlocal asked
        asked += 1
        return faults[asked - 1]

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if asked == len(faults):
            raise asyncio.CancelledError

    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await watch_provider(health, probe, lambda: now, sleep)
    assert now >= 100.0 + 3 * PROBE_SECONDS
    assert [(line["event"], line.get("cause")) for line in logs] == [
        ("provider refuses everybody", "HTTP 503"),
        ("provider refuses everybody", "HTTP 401"),
        ("provider answers again", None),
    ]
