"""The rules for what may wait in connections."""

import pytest

from relay.websocket.memory import (
    WAITING_SHARE,
    largest_holders,
    memory_bound,
    most_unfinished,
    waiting_bound,
)

MIB = 1024 * 1024
FIRST = 8 * 1024 - 256
LARGEST = 10 * MIB + 32 * 1024


def test_nobody_ends_within_the_bound() -> None:
    assert largest_holders([], 10) == []
    assert largest_holders([4, 6], 10) == []


def test_the_fewest_end_and_the_largest_first() -> None:
    assert largest_holders([1, 60, 5, 40, 2], 10) == [1, 3]
    assert largest_holders([5, 6], 10) == [1]
    assert largest_holders([5], 0) == [0]


def buffer_after(unfinished: int) -> int:
    """The size of picows' buffer once so much of a frame came, in small reads."""
    size = FIRST
    for pos in range(0, unfinished + 1, 64):
        if 100 * pos // size > 90:
            size *= 2
    return size


@pytest.mark.parametrize("unfinished", [0, 100, 7000, 60_000, MIB, 5 * MIB, 10 * MIB])
def test_what_is_unfinished_in_a_read_buffer_is_never_more_than_is_said(unfinished: int) -> None:
    size = buffer_after(unfinished)

    assert unfinished <= most_unfinished(size - unfinished, LARGEST) <= LARGEST


@pytest.mark.parametrize("doublings", range(12))
def test_an_empty_read_buffer_is_known_to_be_empty(doublings: int) -> None:
    assert most_unfinished(FIRST << doublings, LARGEST) == 0


def test_the_tightest_limit_counts() -> None:
    assert memory_bound(8 << 30, []) == 8 << 30
    assert memory_bound(8 << 30, ["max\n", "4294967296\n", "9223372036854771712\n"]) == 4 << 30
    assert memory_bound(1 << 30, ["4294967296\n"]) == 1 << 30


def test_this_machine_has_a_bound() -> None:
    assert 16 * MIB < waiting_bound() < WAITING_SHARE * (1 << 50)
