"""The clock of a running relay."""

import time

from relay.tasks import unix_clock


def test_it_tells_unix_seconds() -> None:
    assert abs(unix_clock()() - time.time()) < 1


def test_it_never_goes_back_whatever_the_machines_own_clock_does(monkeypatch) -> None:
    clock = unix_clock()
    before = clock()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock() >= before
