"""Deadlines of a session; the time is an argument."""

import math

import pytest

from relay.realtime import endings
from relay.realtime.deadlines import PING_SECONDS, SLOW_SECONDS, Deadlines, SessionLimits
from relay.realtime.endings import Ending


def deadlines(**limits: float) -> Deadlines:
    given = {"engine_seconds": 10.0, "session_seconds": 1800.0, "idle_seconds": 300.0} | limits
    return Deadlines(SessionLimits(**given), 0.0)


def test_an_engine_that_never_greets_times_out() -> None:
    clock = deadlines()
    assert clock.ending(9.9) is None
    assert clock.ending(10.0) == endings.ENGINE_TIMED_OUT
    clock.engine_ready()
    assert clock.ending(10.0) is None


@pytest.mark.parametrize(
    ("limits", "at", "ending"),
    [
        ({"session_seconds": 60.0}, 60.0, endings.SESSION_TIME_LIMIT),
        ({"idle_seconds": 20.0}, 20.0, endings.IDLE),
        ({"expires_at": 30.0}, 30.0, endings.TOKEN_EXPIRED),
    ],
)
def test_S3_49_S3_50_a_session_ends_when_its_time_has_come(
    limits: dict[str, float], at: float, ending: Ending
) -> None:
    clock = deadlines(**limits)
    clock.engine_ready()
    assert clock.next() == min(at, PING_SECONDS)
    assert clock.ending(at - 0.001) is None
    assert clock.ending(at) == ending


def test_S3_50_connection_timeout_is_half_an_hour_by_default() -> None:
    clock = deadlines(session_seconds=1_800_000 / 1000, idle_seconds=math.inf)
    clock.engine_ready()
    assert clock.ending(1799.9) is None
    assert clock.ending(1800.0) == endings.SESSION_TIME_LIMIT


def test_speech_puts_off_the_end_of_an_idle_session() -> None:
    clock = deadlines(idle_seconds=20.0)
    clock.engine_ready()
    clock.active(15.0)
    assert clock.ending(34.9) is None
    assert clock.ending(35.0) == endings.IDLE


def test_S3_57_a_queue_may_stay_full_only_so_long() -> None:
    clock = deadlines()
    clock.engine_ready()
    clock.client_writable(False, 5.0)
    assert clock.next() == 5.0 + SLOW_SECONDS
    assert clock.ending(5.0 + SLOW_SECONDS) == endings.CLIENT_TOO_SLOW
    clock.client_writable(True, 6.0)
    assert clock.ending(5.0 + SLOW_SECONDS) is None
    clock.engine_writable(False, 20.0)
    assert clock.ending(20.0 + SLOW_SECONDS) == endings.ENGINE_TIMED_OUT


def test_S3_51_a_ping_is_due_every_thirty_seconds() -> None:
    clock = deadlines()
    clock.engine_ready()
    assert PING_SECONDS == 30.0
    assert not clock.ping_due(29.9)
    assert clock.ping_due(30.0)
    assert not clock.ping_due(59.9)
    assert clock.ping_due(60.5)
    assert clock.next() == 90.5


def test_a_renewed_token_moves_the_end() -> None:
    clock = deadlines(expires_at=30.0)
    clock.engine_ready()
    clock.expires_at = 90.0
    assert clock.ending(30.0) is None
    assert clock.ending(90.0) == endings.TOKEN_EXPIRED
