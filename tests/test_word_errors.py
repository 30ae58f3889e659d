"""Word errors: what counts as the same word, and how differences are counted."""

import pytest

from tests.word_errors import level_words, plain_words, word_errors

SAME = [
    ("I'm sorry, that's not valid.", "I am sorry. That is not valid"),
    ("Press # or *", "press pound or star"),
    ("You can't, won't and didn't.", "you cannot will not and did not"),
    ("They're sure we've heard; you'll see.", "they are sure we have heard you will see"),
    ("twenty-one", "21"),
    ("Press 1, then 20", "press one then twenty"),
    ("fifteen", "15"),
    ("the 2nd time", "the second time"),
    ("1,200", "1200"),
    ("voice mail", "Voicemail"),
    ("e-mail", "email"),
    ("OK, the call was cancelled", "okay the call was canceled"),
    ("fifty % & more", "fifty percent and more"),
]
DIFFERENT = [
    ("two", "too"),
    ("pound", "round"),
    ("call", "called"),
    ("I am", "I was"),
    ("20", "30"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_word_written_in_two_ways_is_no_error(one, other):
    assert level_words(one) == level_words(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_words_are_errors(one, other):
    assert word_errors(level_words(one), level_words(other)) > 0


@pytest.mark.parametrize(("one", "other"), [*SAME[:3], SAME[4]])
def test_the_plain_words_differ_where_the_spelling_does(one, other):
    assert (plain_words(one) == plain_words(other)) == (one == "Press # or *")


def test_plain_words_fold_case_punctuation_and_single_figures():
    assert plain_words("Don't press 3, PLEASE!") == ["don't", "press", "three", "please"]


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a b c", "a x c", 1),
        ("a b c", "a b b c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d e", 2),
    ],
)
def test_errors_are_words_put_in_left_out_or_exchanged(said, heard, errors):
    assert word_errors(said.split(), heard.split()) == errors
