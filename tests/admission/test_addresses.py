"""What one address may do: sessions at once, connects in a minute, attempts without a token."""

from contextlib import ExitStack

import pytest

from relay.admission import addresses
from relay.admission.addresses import AddressLimits, ConnectRates, network_of
from relay.realtime.endings import TOO_MANY_FROM_ADDRESS, TOO_MANY_REQUESTS, Ending, SessionRefused

ADA, BOB = "203.0.113.1", "198.51.100.7"


def refusal(limits: AddressLimits, address: str, now: float) -> Ending | None:
    """Why this address gets no place now; None where it gets one, which it gives back."""
    try:
        limits.connected(address, now)
        with limits.place(address):
            return None
    except SessionRefused as refused:
        return refused.ending


def test_an_address_has_so_many_sessions_and_others_have_theirs() -> None:
    limits = AddressLimits(live=2)
    with ExitStack() as held:
        held.enter_context(limits.place(ADA))
        held.enter_context(limits.place(ADA))
        assert refusal(limits, ADA, 0.0) == TOO_MANY_FROM_ADDRESS
        assert refusal(limits, BOB, 0.0) is None
    assert refusal(limits, ADA, 0.0) is None
    assert len(limits._live) == 0


def test_a_place_is_given_back_whatever_happens() -> None:
    limits = AddressLimits(live=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), limits.place(ADA):
            raise RuntimeError
    assert refusal(limits, ADA, 0.0) is None


def test_an_address_begins_so_many_in_a_minute() -> None:
    limits = AddressLimits(per_minute=3)
    assert [refusal(limits, ADA, 0.0) for _ in range(3)] == [None] * 3
    assert refusal(limits, ADA, 1.0) == TOO_MANY_REQUESTS
    assert refusal(limits, BOB, 1.0) is None
    assert refusal(limits, ADA, 19.9) == TOO_MANY_REQUESTS, "refusals do not count"
    assert refusal(limits, ADA, 20.0) is None, "one of three is back after a third of a minute"
    assert refusal(limits, ADA, 20.0) == TOO_MANY_REQUESTS
    assert [refusal(limits, ADA, 500.0) for _ in range(4)] == [*[None] * 3, TOO_MANY_REQUESTS]


def test_strangers_use_up_nothing_of_callers_behind_the_same_address() -> None:
    limits = AddressLimits(live=2, per_minute=2)
    limits.failed(ADA, 0.0)
    limits.failed(ADA, 0.0)
    for _ in range(100):
        with pytest.raises(SessionRefused) as refused:
            limits.failed(ADA, 0.0)
        assert refused.value.ending == TOO_MANY_REQUESTS
    assert refusal(limits, ADA, 0.0) is None
    limits.failed(ADA, 30.0)


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    rates = ConnectRates(60)
    for _ in range(60):
        assert rates.take(ADA, 10_000.0)
    assert not rates.take(ADA, 6400.0)
    assert rates.take(ADA, 6401.0)


@pytest.mark.parametrize("address", [ADA, ""])
def test_zero_is_no_limit(address: str) -> None:
    limits = AddressLimits()
    with ExitStack() as held:
        for _ in range(500):
            limits.connected(address, 0.0)
            held.enter_context(limits.place(address))
            limits.failed(address, 0.0)


def test_without_an_address_there_is_no_limit() -> None:
    limits = AddressLimits(live=1, per_minute=1)
    with ExitStack() as held:
        for _ in range(3):
            limits.connected("", 0.0)
            held.enter_context(limits.place(""))
            limits.failed("", 0.0)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_of_ipv6_the_network_counts(address: str, counted: str) -> None:
    assert network_of(address) == counted


def test_only_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "MAX_ADDRESSES", 100)
    rates = ConnectRates(1)
    assert rates.take(ADA, 0.0)
    for number in range(99):
        rates.take(f"198.51.100.{number}", 0.0)
    assert not rates.take(ADA, 0.0), "it is remembered, and the latest now"
    for number in range(1000):
        rates.take(f"192.0.2.{number}", 0.0)
    assert len(rates) == 100
    assert rates.take(ADA, 0.0), "it was silent for longest"
