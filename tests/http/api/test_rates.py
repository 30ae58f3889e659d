import pytest

from relay.http.api import auth as rates_module
from relay.http.api.auth import FEEDS, RateLimiter
from relay.http.api.errors import ApiError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_in_and_then_as_many_as_are_given_back() -> None:
    clock = Clock()
    rates = RateLimiter(clock, burst=3, per_second=2.0)
    for _ in range(3):
        rates.ask("kim")
    with pytest.raises(ApiError) as refused:
        rates.ask("kim")
    assert refused.value.refusal.status == 429
    assert refused.value.refusal.retry_after == 1
    rates.ask("lee")
    clock.now += 0.5
    rates.ask("kim")
    with pytest.raises(ApiError):
        rates.ask("kim")


def test_who_is_refused_again_and_again_does_not_wait_longer_for_it() -> None:
    clock = Clock()
    rates = RateLimiter(clock, burst=1, per_second=1.0)
    rates.ask("kim")
    for _ in range(10):
        clock.now += 0.1
        with pytest.raises(ApiError):
            rates.ask("kim")
    clock.now += 0.1
    rates.ask("kim")


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "CALLERS", 2)
    rates = RateLimiter(Clock(), burst=1)
    for caller in ("a", "b", "c"):
        rates.ask(caller)
    assert list(rates._buckets) == ["b", "c"]


def test_feeds_of_one_caller_are_counted_and_given_back() -> None:
    rates = RateLimiter(Clock())
    held = [rates.feed("kim") for _ in range(FEEDS)]
    for one in held:
        one.__enter__()
    with pytest.raises(ApiError) as refused, rates.feed("kim"):
        pass
    assert refused.value.refusal.code == "too_many_feeds"
    for one in held:
        one.__exit__(None, None, None)
    with rates.feed("kim"):
        assert rates._feeds == {"kim": 1}
    assert rates._feeds == {}
