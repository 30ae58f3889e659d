"""Who has to go when too many connections wait, or when their time is up."""

import pytest

from relay.admission.waiting_list import WaitingList

LIMIT = 3


class Waiting:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def abort(self) -> None:
        raise AssertionError("the list closes nothing itself")


A, B, C, D, E = (Waiting(name) for name in "ABCDE")


def test_beyond_the_limit_the_oldest_goes() -> None:
    waiting = WaitingList()
    for one in (A, B, C):
        assert waiting.enter(one, "203.0.113.1", (0.0, 5.0), LIMIT) == []
    assert waiting.enter(D, "203.0.113.1", (0.0, 6.0), LIMIT) == [A]
    assert len(waiting) == LIMIT


def test_a_flood_of_one_peer_pushes_out_its_own() -> None:
    waiting = WaitingList()
    waiting.enter(A, "198.51.100.7", (0.0, 5.0), LIMIT)
    waiting.enter(B, "203.0.113.1", (0.0, 5.0), LIMIT)
    waiting.enter(C, "203.0.113.1", (0.0, 5.0), LIMIT)
    assert waiting.enter(D, "203.0.113.1", (0.0, 5.0), LIMIT) == [B], (
        "A is older, and of another peer"
    )
    assert waiting.enter(E, "192.0.2.9", (0.0, 5.0), LIMIT) == [C]


def test_who_is_behind_a_proxy_counts_by_themselves_once_they_are_known() -> None:
    waiting = WaitingList()
    for one in (A, B, C):
        waiting.enter(one, "127.0.0.1", (0.0, 5.0), LIMIT)
    waiting.rename(A, "198.51.100.7")
    waiting.rename(B, "203.0.113.1")
    waiting.rename(C, "203.0.113.1")
    assert waiting.enter(D, "127.0.0.1", (1.0, 6.0), LIMIT) == [B], "A is older, and of another"
    waiting.rename(D, "203.0.113.1")
    waiting.rename(B, "198.51.100.7")  # it waits no longer
    assert waiting.enter(E, "127.0.0.1", (1.0, 6.0), LIMIT) == [C]
    assert waiting.due(5.0) == [A], "its deadline is what it was"
    assert len(waiting) == 2


def test_nobody_is_dropped_for_another_at_once() -> None:
    """A thousand callers who come back together are no flood: they wait to be accepted."""
    waiting = WaitingList()
    assert waiting.room_in(LIMIT, 0.0) == 0.0
    waiting.enter(A, "203.0.113.1", (0.0, 5.0), LIMIT)
    waiting.enter(B, "203.0.113.1", (0.1, 5.1), LIMIT)
    assert waiting.room_in(LIMIT, 0.1) == 0.0
    waiting.enter(C, "198.51.100.7", (0.1, 5.1), LIMIT)
    assert waiting.room_in(LIMIT, 0.125) == 0.125, "until A has waited for a quarter of a second"
    assert waiting.room_in(LIMIT, 0.25) == 0.0
    waiting.leave(A)
    assert waiting.room_in(LIMIT, 0.125) == 0.0
    assert waiting.room_in(0, 0.125) == 0.0, "it is accepted to be closed"


def test_who_left_makes_room() -> None:
    waiting = WaitingList()
    for one in (A, B, C):
        waiting.enter(one, "203.0.113.1", (0.0, 5.0), LIMIT)
    waiting.leave(A)
    waiting.leave(A)
    assert waiting.enter(D, "203.0.113.1", (0.0, 5.0), LIMIT) == []


def test_a_limit_that_sank_is_reached_at_once() -> None:
    waiting = WaitingList()
    for one in (A, B, C):
        waiting.enter(one, "203.0.113.1", (0.0, 5.0), LIMIT)
    assert waiting.enter(D, "203.0.113.1", (0.0, 5.0), 1) == [A, B, C]


@pytest.mark.parametrize("limit", [0, -1])
def test_without_any_room_the_new_one_goes(limit: int) -> None:
    waiting = WaitingList()
    waiting.enter(A, "203.0.113.1", (0.0, 5.0), LIMIT)
    assert waiting.enter(B, "203.0.113.1", (0.0, 5.0), limit) == [B]
    assert len(waiting) == 1


def test_who_waits_too_long_goes() -> None:
    waiting = WaitingList()
    waiting.enter(A, "203.0.113.1", (0.0, 5.0), LIMIT)
    waiting.enter(B, "198.51.100.7", (0.0, 9.0), LIMIT)
    assert waiting.due(4.9) == []
    assert waiting.due(5.0) == [A]
    assert waiting.due(5.0) == []
    assert len(waiting) == 1


def test_who_waits_anew_has_a_new_deadline() -> None:
    waiting = WaitingList()
    waiting.enter(A, "203.0.113.1", (0.0, 5.0), LIMIT)
    waiting.enter(A, "203.0.113.1", (0.0, 30.0), LIMIT)
    assert waiting.due(29.0) == []
    assert waiting.due(30.0) == [A]
