"""Conditions of faults: numbers, probability, names."""

import pytest

from relay.simulator.faults.tracking import Dice, Numbers, among, mode


@pytest.mark.parametrize(
    ("numbers", "number", "there"),
    [
        (None, 1, True),
        (None, None, True),
        (2, 2, True),
        (2, 3, False),
        (2, None, False),
        ([1, 3], 3, True),
        ([1, 3], 2, False),
    ],
)
def test_numbers_of_a_condition(numbers: Numbers | None, number: int | None, there: bool):
    assert among(numbers, number) is there


def test_a_fault_has_the_name_of_its_class():
    assert mode("TranscriptionOutOfOrder") == "transcription_out_of_order"


def test_the_same_seed_throws_the_same_and_another_does_not():
    throws = [Dice(7, 0, 1).throw(number) for number in range(20)]

    assert [Dice(7, 0, 1).throw(number) for number in range(20)] == throws
    for other in (Dice(8, 0, 1), Dice(7, 1, 1), Dice(7, 0, 2)):
        assert [other.throw(number) for number in range(20)] != throws


def test_throws_are_spread_evenly():
    throws = [Dice(1, 2, 3).throw(number) for number in range(10_000)]

    assert all(0 <= throw < 1 for throw in throws)
    for tenth in range(10):
        assert 800 < sum(tenth / 10 <= throw < (tenth + 1) / 10 for throw in throws) < 1200
