import pytest

from relay.http.api import auth
from relay.http.api.auth import FEEDS, RateLimiter
from relay.http.api.errors import ApiError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_then_as_many_as_the_bucket_regains() -> None:
    clock = Clock()
    limiter = RateLimiter(clock, burst=3, per_second=2.0)
    for _ in range(3):
        limiter.count_request("kim")
    with pytest.raises(ApiError) as refused:
        limiter.count_request("kim")
    assert refused.value.spec.status == 429
    assert refused.value.spec.retry_after == 1
    limiter.count_request("lee")
    clock.now += 0.5
    limiter.count_request("kim")
    with pytest.raises(ApiError):
        limiter.count_request("kim")


def test_refused_requests_do_not_lengthen_the_wait() -> None:
    clock = Clock()
    limiter = RateLimiter(clock, burst=1, per_second=1.0)
    limiter.count_request("kim")
    for _ in range(10):
        clock.now += 0.1
        with pytest.raises(ApiError):
            limiter.count_request("kim")
    clock.now += 0.1
    limiter.count_request("kim")


def test_the_number_of_buckets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CALLERS", 2)
    limiter = RateLimiter(Clock(), burst=1)
    for caller in ("a", "b", "c"):
        limiter.count_request(caller)
    assert list(limiter._buckets) == ["b", "c"]


def test_open_feeds_of_one_caller_are_counted() -> None:
    limiter = RateLimiter(Clock())
    held = [limiter.open_feed("kim") for _ in range(FEEDS)]
    for one in held:
        one.__enter__()
    with pytest.raises(ApiError) as refused, limiter.open_feed("kim"):
        pass
    assert refused.value.spec.code == "too_many_feeds"
    for one in held:
        one.__exit__(None, None, None)
    with limiter.open_feed("kim"):
        assert limiter._feeds == {"kim": 1}
    assert limiter._feeds == {}
