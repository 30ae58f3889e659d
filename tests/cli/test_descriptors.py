"""Room for as many sockets as sessions are allowed."""

import resource

import pytest

from relay.cli.server import make_room


@pytest.fixture
def limits(monkeypatch):
    """A process with these limits, which it may change."""

    def given(soft, hard):
        now = {"limits": (soft, hard)}
        monkeypatch.setattr(resource, "getrlimit", lambda _: now["limits"])
        monkeypatch.setattr(resource, "setrlimit", lambda _, both: now.update(limits=both))
        return now

    return given


def test_a_low_limit_of_ones_own_is_raised(limits):
    now = limits(1024, 524_288)
    assert make_room(1000) is None
    assert now["limits"] == (2256, 524_288)


def test_a_high_one_stays(limits):
    now = limits(65_536, 524_288)
    assert make_room(1000) is None
    assert now["limits"] == (65_536, 524_288)


def test_where_there_is_no_limit_there_is_room(limits):
    infinite = resource.RLIM_INFINITY
    now = limits(infinite, infinite)
    assert make_room(100_000) is None
    assert now["limits"] == (infinite, infinite)


def test_what_is_not_ours_to_raise_is_told(limits):
    now = limits(1024, 2000)
    assert make_room(1000) == (
        "MAX_CONNECTIONS=1000 needs 2256 open files and this process may have 2000:"
        " raise LimitNOFILE (ulimit -n), or lower MAX_CONNECTIONS"
    )
    assert now["limits"] == (2000, 2000), "as many as there are"
