"""Callers who dial again and again: a client without patience, and the time it has to wait."""

import pytest

from relay.admission import reconnects
from relay.admission.buckets import TokenBuckets
from relay.admission.reconnects import FAILURES, ReconnectLimits, caller_name
from relay.realtime import endings
from relay.realtime.endings import Ending, SessionRefused

KIM = caller_name("kim", "openai", "tutor", None)


def waits(limits: ReconnectLimits, caller: str, now: float) -> int:
    """The milliseconds that this caller is told to wait, 0 where it is let through."""
    try:
        limits.check(caller, now)
    except SessionRefused as refused:
        return refused.ending.retry_after_ms
    return 0


def test_of_ninety_dials_in_ten_seconds_a_dozen_come_through() -> None:
    limits, through = ReconnectLimits(), 0
    for dial in range(90):
        now = dial / 9
        if not waits(limits, KIM, now):
            through += 1
            limits.ended(KIM, endings.ENGINE_CLOSED, 0.01, now)
    assert FAILURES <= through <= 12


def test_who_waits_as_long_as_told_is_let_through_and_a_moment_earlier_is_not() -> None:
    limits = ReconnectLimits()
    for _ in range(FAILURES):
        assert waits(limits, KIM, 5.0) == 0
        limits.ended(KIM, endings.FORBIDDEN, 0.0, 5.0)
    assert waits(limits, KIM, 5.0) == 4000
    assert waits(limits, KIM, 8.5) == 500
    assert waits(limits, KIM, 9.0) == 0


def test_to_be_braked_takes_no_more_time_however_often_it_is_tried() -> None:
    limits = ReconnectLimits()
    for _ in range(FAILURES):
        limits.ended(KIM, endings.FORBIDDEN, 0.0, 0.0)
    assert [waits(limits, KIM, at / 100) for at in range(100)][-1] == 3010


@pytest.mark.parametrize(
    ("ending", "seconds"),
    [
        (endings.CLIENT_LEFT, 1.0),
        (endings.CLIENT_LOST, 1.0),
        (endings.REPLACED, 1.0),
        (endings.SERVICE_RESTART, 1.0),
        (endings.TOO_MANY_SESSIONS, 0.0),
        (endings.AT_CAPACITY, 0.0),
        (endings.ENGINE_CLOSED, reconnects.SHORT_SECONDS),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_calls_that_were_had_and_places_that_are_taken_brake_nobody(
    ending: Ending, seconds: float
) -> None:
    limits = ReconnectLimits()
    for _ in range(10 * FAILURES):
        limits.ended(KIM, ending, seconds, 0.0)
    assert waits(limits, KIM, 0.0) == 0
    assert len(limits) == 0


def failed(limits: ReconnectLimits, times: int, now: float) -> None:
    for _ in range(times):
        limits.ended(KIM, endings.ENGINE_CLOSED, 0.1, now)


def test_a_call_that_was_had_wipes_out_what_failed_before() -> None:
    limits = ReconnectLimits()
    failed(limits, FAILURES - 1, 0.0)
    limits.ended(KIM, endings.CLIENT_LEFT, 60.0, 0.0, was_used=True)
    assert len(limits) == 0
    failed(limits, FAILURES - 1, 0.0)
    assert waits(limits, KIM, 0.0) == 0
    failed(limits, 1, 0.0)
    assert waits(limits, KIM, 0.0) == 4000


@pytest.mark.parametrize(
    ("ending", "seconds", "was_used"),
    [
        (endings.CLIENT_LEFT, 60.0, False),
        (endings.ENGINE_CLOSED, 1.0, True),
        (endings.TOO_MANY_SESSIONS, 0.0, False),
    ],
    ids=["nobody answered", "answered and failed at once", "no place"],
)
def test_nothing_less_does(ending: Ending, seconds: float, was_used: bool) -> None:
    limits = ReconnectLimits()
    failed(limits, FAILURES, 0.0)
    limits.ended(KIM, ending, seconds, 0.0, was_used=was_used)
    assert waits(limits, KIM, 0.0) == 4000


def test_a_long_call_that_failed_in_the_end_was_had_all_the_same() -> None:
    limits = ReconnectLimits()
    failed(limits, FAILURES, 0.0)
    limits.ended(KIM, endings.ENGINE_CLOSED, reconnects.SHORT_SECONDS, 0.0, was_used=True)
    assert waits(limits, KIM, 0.0) == 0


@pytest.mark.parametrize(
    ("now", "text"), [(0.0, "Wait 4 seconds."), (1.9, "Wait 3 seconds."), (3.2, "Wait a second.")]
)
def test_the_time_to_wait_is_in_the_text_as_well(now: float, text: str) -> None:
    limits = ReconnectLimits()
    failed(limits, FAILURES, 0.0)
    with pytest.raises(SessionRefused) as refused:
        limits.check(KIM, now)
    assert refused.value.ending.advice == f"Too many attempts in a row came to nothing. {text}"


@pytest.mark.parametrize(
    "other",
    [
        caller_name("lee", "openai", "tutor", None),
        caller_name("kim", "browser", "tutor", None),
        caller_name("kim", "openai", "examiner", None),
        caller_name("kim", "openai", "tutor", "6f9f0c3e-0000-4000-8000-000000000001"),
        caller_name("kimo", "penai", "tutor", None),
    ],
)
def test_only_who_asks_for_the_same_is_braked(other: str) -> None:
    limits = ReconnectLimits()
    for _ in range(FAILURES):
        limits.ended(KIM, endings.FORBIDDEN, 0.0, 0.0)
    assert waits(limits, other, 0.0) == 0
    assert waits(limits, KIM, 0.0) > 0


def test_so_many_callers_are_remembered_and_asking_for_one_adds_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconnects, "CALLERS", 3)
    limits = ReconnectLimits()
    for number in range(10):
        waits(limits, f"stranger-{number}", 0.0)
        limits.ended(f"caller-{number}", endings.FORBIDDEN, 0.0, 0.0)
    assert len(limits) == 3


def test_to_ask_for_the_wait_takes_nothing() -> None:
    buckets = TokenBuckets(1, 0.5, 10)
    assert [buckets.wait("kim", 0.0), buckets.wait("kim", 0.0)] == [0.0, 0.0]
    assert buckets.take("kim", 0.0) == 0.0
    assert buckets.wait("kim", 0.0) == buckets.take("kim", 0.0) == 2.0
