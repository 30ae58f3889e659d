"""How an answer is cut and paced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engines.cascade.outputs import OutputDelivery, Pace, split, split_json


@given(st.text())
def test_words_joined_are_the_text(text: str):
    assert "".join(split(text)) == text
    assert "".join(split_json(text)) == text


def test_arguments_leave_in_pieces_like_a_models_tokens():
    assert split_json('{"city":"London"}') == ['{"', "city", '":"', "London", '"}']


def test_words_carry_the_space_before_them():
    assert split("Hello, my name.\n") == ["Hello,", " my", " name.", "\n"]


def test_sound_leaves_every_quarter_second_divided_by_the_burst():
    delivery = OutputDelivery([], bytes(48 * 1000), Pace(burst=5))

    assert delivery.step == pytest.approx(0.05)
    for _ in range(4):
        assert not delivery.finished
        assert [len(piece) for piece in delivery.take()] == [12_000]
    assert delivery.finished


def test_text_leaves_word_by_word():
    delivery = OutputDelivery(split("One two three."), None, Pace(text_seconds=0.5))

    assert delivery.step == 0.5
    assert delivery.take() == ["One"]
    assert delivery.text == "One"
    assert delivery.take() + delivery.take() == [" two", " three."]
    assert delivery.finished


def test_nothing_to_say_is_said_at_once():
    assert OutputDelivery([], None, Pace()).finished
    assert OutputDelivery([], b"", Pace()).finished


def test_words_without_sound_are_said_all_the_same():
    delivery = OutputDelivery(split("One two three four five six."), b"", Pace())

    assert "".join(map(str, delivery.take())) == "One two three four five six."
    assert delivery.finished


@given(st.text(max_size=40), st.integers(0, 100_000), st.integers(0, 12))
def test_what_was_sent_is_always_a_beginning(text: str, size: int, takes: int):
    pcm = bytes(size)
    delivery = OutputDelivery(split(text), pcm, Pace(burst=1))

    pieces = [piece for _ in range(takes) for piece in delivery.take()]

    words = "".join(piece for piece in pieces if isinstance(piece, str))
    assert text.startswith(words)
    assert words == delivery.text
    assert delivery.audio_bytes == sum(len(p) for p in pieces if isinstance(p, bytes))
    assert delivery.audio == pcm[: delivery.audio_bytes]
