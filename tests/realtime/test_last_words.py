"""Which of the learner's turns have no words yet."""

import pytest

from relay.realtime.last_words import GIVEN_UP_SECONDS, AwaitedWords
from tests.realtime import wire_events as wire


def following(*events: wire.Event) -> AwaitedWords:
    words = AwaitedWords()
    for event in events:
        words.observe(event, 10.0)
    return words


def test_a_turn_awaits_its_words_from_its_commit_on() -> None:
    started, stopped, committed, *_ = wire.spoken_turn("U1", None)
    assert not following(started, stopped).any(10.0)
    words = following(started, stopped, committed)
    assert words.any(10.0)
    assert "U1" in words
    assert "U2" not in words


@pytest.mark.parametrize(
    "settles",
    [
        wire.heard("U1", "Hello."),
        wire.heard("U1", ""),
        wire.not_heard("U1"),
        {"type": "conversation.item.deleted", "item_id": "U1"},
    ],
    ids=["words", "no words", "failed", "deleted"],
)
def test_until_they_come_fail_or_the_turn_is_gone(settles: wire.Event) -> None:
    assert not following(*wire.spoken_turn("U1", None), settles).any(10.0)


@pytest.mark.parametrize(
    "other",
    [
        wire.heard_delta("U1", "Hel"),
        wire.heard("U1", "Hel", status="in_progress"),
        wire.heard("U0", "Another turn."),
    ],
    ids=["a piece", "words so far", "another turn's"],
)
def test_nothing_else_settles_them(other: wire.Event) -> None:
    assert following(*wire.spoken_turn("U1", None), other).any(10.0)


def test_the_words_of_two_turns_may_come_in_any_order() -> None:
    turns = [*wire.spoken_turn("U1", None), *wire.spoken_turn("U2", "U1")]
    assert following(*turns, wire.heard("U2", "Second.")).any(10.0)
    assert not following(*turns, wire.heard("U2", "Second."), wire.heard("U1", "First.")).any(10.0)


def test_a_turn_that_an_engine_left_out_is_given_up() -> None:
    words = following(*wire.spoken_turn("U1", None))
    assert words.any(9.9 + GIVEN_UP_SECONDS)
    assert not words.any(10.0 + GIVEN_UP_SECONDS)


def test_of_an_engine_that_told_no_words_in_time_none_are_expected() -> None:
    words = following(*wire.spoken_turn("U1", None))
    words.observe(wire.committed("U2", "U1"), 50.0)
    assert not words.any(50.0)
    words.observe(wire.heard("U1", "Better late."), 51.0)
    assert words.any(51.0), "it does tell them"


def test_an_engine_that_never_transcribes_is_remembered_in_part() -> None:
    words = following(*[wire.committed(f"U{number}", None) for number in range(1000)])
    assert sum(f"U{number}" in words for number in range(1000)) == 32
    assert "U999" in words
