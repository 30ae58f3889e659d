"""The rules for how fast a client may send; the time is an argument."""

import pytest

from relay.websocket.rates import (
    AUDIO_BYTES,
    BYTES_PER_SECOND,
    FLOOD_SECONDS,
    FRAMES_PER_SECOND,
    FrameRate,
    RateLimits,
    TokenBucket,
)

MIB = 1024 * 1024
LIMITS = RateLimits(burst=10 * MIB)


def test_a_minute_of_recorded_sound_may_come_at_once() -> None:
    bucket = TokenBucket(LIMITS, 100.0)

    assert bucket.take(60 * AUDIO_BYTES, 100.0) == 0.0


def test_beyond_the_burst_four_times_real_time_is_read() -> None:
    bucket = TokenBucket(LIMITS, 100.0)
    bucket.take(10 * MIB, 100.0)

    assert bucket.take(4 * AUDIO_BYTES, 100.0) == pytest.approx(1.0)
    assert bucket.take(4 * AUDIO_BYTES, 101.0) == pytest.approx(1.0)
    assert bucket.take(4 * AUDIO_BYTES, 103.0) == 0.0


def test_a_microphone_never_waits() -> None:
    bucket = TokenBucket(LIMITS, 0.0)

    assert {bucket.take(AUDIO_BYTES, second) for second in range(3600)} == {0.0}


def test_silence_earns_no_more_than_one_burst() -> None:
    bucket = TokenBucket(LIMITS, 0.0)
    bucket.take(10 * MIB, 0.0)

    assert bucket.take(10 * MIB, 3600.0) == 0.0
    assert bucket.take(BYTES_PER_SECOND, 3600.0) == pytest.approx(1.0)


def test_what_a_fast_network_brings_before_it_is_looked_at_is_not_paid_for_by_minutes() -> None:
    bucket = TokenBucket(LIMITS, 0.0)

    assert bucket.take(1000 * MIB, 0.0) == pytest.approx(10 * MIB / BYTES_PER_SECOND)


def asked(rate: FrameRate, per_second: int, seconds: int, since: tuple[int, float]) -> list[bool]:
    """What it says when it is asked each second."""
    frames, now = since
    return [rate.is_flood(frames + n * per_second, now + n) for n in range(1, seconds + 1)]


def test_more_than_a_thousand_frames_a_second_for_ten_seconds_are_a_flood() -> None:
    answers = asked(FrameRate(50.0), FRAMES_PER_SECOND + 1, 10, (0, 50.0))

    assert answers == [False] * 9 + [True]


def test_a_thousand_frames_a_second_are_none() -> None:
    assert not any(asked(FrameRate(50.0), FRAMES_PER_SECOND, 600, (0, 50.0)))


def test_a_burst_is_none_however_many_frames_it_has() -> None:
    rate = FrameRate(0.0)

    assert not any(asked(rate, 50_000, int(FLOOD_SECONDS) - 1, (0, 0.0)))
    assert not rate.is_flood(450_000, 10.0)
    assert not any(asked(rate, 50_000, int(FLOOD_SECONDS) - 1, (450_000, 10.0)))


def test_it_need_not_be_asked_each_second_exactly() -> None:
    rate = FrameRate(0.0)

    assert not rate.is_flood(1500, 1.4)
    assert not rate.is_flood(1600, 1.45)
    assert not rate.is_flood(9600, 8.9)
    assert rate.is_flood(12_500, 11.45)
