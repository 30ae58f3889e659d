"""How an answer is cut and paced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engines.offline.delivery import Delivery, Pace, split


@given(st.text())
def test_words_joined_are_the_text(text: str):
    assert "".join(split(text)) == text


def test_words_carry_the_space_before_them():
    assert split("Hello, my name.\n") == ["Hello,", " my", " name.", "\n"]


def test_sound_leaves_every_quarter_second_divided_by_the_burst():
    delivery = Delivery("", bytes(48 * 1000), Pace(burst=5), start=10.0)

    assert delivery.take(9.99) == []
    for number in range(4):
        assert delivery.due == pytest.approx(10.0 + number * 0.05)
        assert [len(piece) for piece in delivery.take(delivery.due)] == [12_000]
    assert delivery.finished


def test_a_reader_who_fell_behind_is_asked_in_between():
    delivery = Delivery("", bytes(48 * 60_000), Pace(), start=0.0)

    assert len(delivery.take(100.0)) == 8
    assert len(delivery.take(100.0)) == 8


def test_text_leaves_word_by_word():
    delivery = Delivery("One two three.", None, Pace(text_seconds=0.5), start=0.0)

    assert delivery.take(0.0) == ["One"]
    assert delivery.said == "One"
    assert delivery.take(1.0) == [" two", " three."]
    assert delivery.finished


def test_nothing_to_say_is_said_at_once():
    assert Delivery("", None, Pace(), 0.0).finished
    assert Delivery("", b"", Pace(), 0.0).finished


def test_words_without_sound_are_said_all_the_same():
    delivery = Delivery("One two three four five six.", b"", Pace(), 0.0)

    assert "".join(map(str, delivery.take(0.0))) == "One two three four five six."
    assert delivery.finished


@given(st.text(max_size=40), st.integers(0, 100_000), st.floats(0, 3))
def test_what_was_sent_is_always_a_beginning(text: str, size: int, until: float):
    pcm = bytes(size)
    delivery = Delivery(text, pcm, Pace(burst=1), 0.0)

    pieces = delivery.take(until)

    words = "".join(piece for piece in pieces if isinstance(piece, str))
    assert text.startswith(words)
    assert words == delivery.said
    assert delivery.audio_bytes == sum(len(p) for p in pieces if isinstance(p, bytes))
    assert delivery.audio == pcm[: delivery.audio_bytes]
