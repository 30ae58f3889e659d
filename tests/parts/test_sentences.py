"""Where a text can be spoken, and whether somebody is likely to be done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.parts.sentences import LONGEST_PIECE, SentenceSplitter, looks_finished


def pieces(*fed: str) -> list[str]:
    splitter = SentenceSplitter()
    found = [piece for text in fed for piece in splitter.feed(text)]
    rest = splitter.flush()
    return [*found, rest] if rest else found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good morning. How are you?", ["Good morning.", " How are you?"]),
        ("Wait... what? Yes!", ["Wait...", " what?", " Yes!"]),
        ("Dr. Smith is here. He said hi.", ["Dr. Smith is here.", " He said hi."]),
        ("It costs 3.5 dollars. Good.", ["It costs 3.5 dollars.", " Good."]),
        ('She said "Stop." Then left.', ['She said "Stop."', " Then left."]),
        ("First line\nsecond line", ["First line", "\nsecond line"]),
        ("No end at all", ["No end at all"]),
        ("", []),
    ],
)
def test_a_text_is_spoken_sentence_by_sentence(text: str, expected: list[str]):
    assert pieces(text) == expected


def test_a_long_first_sentence_begins_with_its_first_clause():
    text = "That is a good place to start, and I would like to hear more about it. Go on, please."

    assert pieces(text) == [
        "That is a good place to start,",
        " and I would like to hear more about it.",
        " Go on, please.",
    ]


def test_a_short_sentence_is_not_cut_at_its_comma():
    assert pieces("Well, good morning.") == ["Well, good morning."]


@given(st.lists(st.text(max_size=30), max_size=20))
def test_the_pieces_joined_are_the_text(fed: list[str]):
    assert "".join(pieces(*fed)) == "".join(fed)


@given(st.text(alphabet="ab ", min_size=1, max_size=3 * LONGEST_PIECE))
def test_no_piece_is_longer_than_can_be_spoken(text: str):
    assert all(len(piece) <= LONGEST_PIECE for piece in pieces(text))


@pytest.mark.parametrize(
    "said",
    [
        "Stop.",
        "What is the capital of France?",
        "Thank you",
        "That's it!",
        "I am fine.",
        "",
        "Okay",
    ],
)
def test_sentences_that_look_finished(said: str):
    assert looks_finished(said)


@pytest.mark.parametrize(
    "said",
    [
        "I want to",
        "Well,",
        "So...",
        "It is because",
        "Can you tell me the",
        "One, two,",
        "My dog and",
    ],
)
def test_sentences_that_do_not(said: str):
    assert not looks_finished(said)
