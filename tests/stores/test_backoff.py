from hypothesis import given
from hypothesis import strategies as st

from relay.stores.delivery import LONGEST_WAIT, SHORTEST_WAIT, backoff


def test_waits_double_until_they_are_capped() -> None:
    waits = [backoff(attempt, jitter=1.0) for attempt in range(1, 11)]
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_half_of_a_wait_is_chance() -> None:
    assert backoff(3, jitter=0.0) == 0.5
    assert backoff(3, jitter=0.5) == 0.75


@given(st.integers(min_value=1, max_value=10**9), st.floats(min_value=0, max_value=1))
def test_every_wait_has_a_floor_and_a_ceiling(attempt: int, jitter: float) -> None:
    assert SHORTEST_WAIT / 2 <= backoff(attempt, jitter) <= LONGEST_WAIT
