"""How a process's descriptors are divided, and what it says when they are too few."""

import resource
from collections.abc import Callable
from typing import Any

import pytest

from relay.admission.descriptors import (
    MAX_HTTP,
    MAX_NEWCOMERS,
    SOCKETS_PER_SESSION,
    DescriptorShares,
    descriptors_for,
    raise_limit,
    share_descriptors,
    too_few,
)

INFINITE = resource.RLIM_INFINITY
Limited = Callable[[int, int], dict[str, Any]]


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Limited:
    """A process with these limits, which it may change."""

    def given(soft: int, hard: int) -> dict[str, Any]:
        now = {"limits": (soft, hard)}
        monkeypatch.setattr(resource, "getrlimit", lambda _: now["limits"])
        monkeypatch.setattr(resource, "setrlimit", lambda _, both: now.update(limits=both))
        return now

    return given


@pytest.mark.parametrize(
    ("soft", "hard", "limit"),
    [
        (1024, 524_288, 524_288),
        (65_536, 65_536, 65_536),
        (64, 64, 64),
        (1024, INFINITE, None),
        (INFINITE, INFINITE, None),
    ],
)
def test_the_limit_is_raised_to_the_hard_one(
    limited: Limited, soft: int, hard: int, limit: int | None
) -> None:
    now = limited(soft, hard)
    assert raise_limit() == limit
    assert now["limits"] == (hard, hard)


@pytest.mark.parametrize("error", [PermissionError, ValueError])
def test_where_it_may_not_be_raised_the_limit_is_what_it_was(
    limited: Limited, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise error

    limited(1024, 524_288)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 1024


@pytest.mark.parametrize("limit", [None, 1_048_576, 16_384, descriptors_for(1000)])
def test_enough_descriptors_are_no_matter(limit: int | None) -> None:
    assert share_descriptors(limit, 1000) == DescriptorShares(1000, MAX_NEWCOMERS, MAX_HTTP)
    assert too_few(limit, 1000) is None


def test_the_listeners_shares_shrink_before_there_are_fewer_sessions() -> None:
    shares = share_descriptors(1024, 200)
    assert shares.sessions == 200
    assert shares.http < MAX_HTTP
    assert too_few(1024, 200) is None


def test_fewer_sessions_are_a_warning_that_says_what_to_do() -> None:
    assert too_few(2000, 1000) == (
        "MAX_CONNECTIONS=1000 needs 3656 open files and this process may have 2000:"
        " it takes 663 sessions at most. Raise LimitNOFILE (ulimit -n), or lower MAX_CONNECTIONS"
    )
    assert share_descriptors(2000, 1000) == DescriptorShares(663, 200, 218)


@pytest.mark.parametrize("limit", [64, 100, 128, 256, 500, 1024, 2000, 4096])
@pytest.mark.parametrize("sessions", [1, 50, 1000, 100_000])
def test_the_shares_together_leave_some_for_everything_else(limit: int, sessions: int) -> None:
    shares = share_descriptors(limit, sessions)
    taken = SOCKETS_PER_SESSION * shares.sessions + shares.newcomers + shares.http
    assert limit - taken >= 32
    assert 1 <= shares.sessions <= sessions
    assert shares.newcomers >= 8
    assert shares.http >= 8


def test_even_next_to_nothing_leaves_a_session() -> None:
    assert share_descriptors(40, 1000).sessions == 1
