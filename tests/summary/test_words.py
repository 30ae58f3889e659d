import pytest

from relay.summary.extract import content_words, is_promise, is_wish, sentences


def test_sentences_and_words() -> None:
    text = "I run.  It hurts!\nWhy?  …  Because my knee\u2019s old"
    assert sentences(text) == ["I run.", "It hurts!", "Why?", "Because my knee\u2019s old"]
    assert content_words("My knee\u2019s the problem, and I don't stretch it.") == [
        "knee",
        "problem",
        "stretch",
    ]


@pytest.mark.parametrize(
    ("sentence", "promise"),
    [
        ("I will call her.", True),
        ("I\u2019ll stretch.", True),
        ("Let's plan a rest day.", True),
        ("We are going to practise.", True),
        ("You will practise twice.", True),
        ("Will I call her?", False),
        ("I will call her?", False),
        ("I'll see.", False),
        ("I called her.", False),
    ],
)
def test_who_says_that_something_will_be_done_promises(sentence: str, promise: bool) -> None:
    assert is_promise(sentence) is promise


@pytest.mark.parametrize(
    ("sentence", "wish"),
    [
        ("My goal is a marathon.", True),
        ("I want to run.", True),
        ("I\u2019d like to sleep more.", True),
        ("By next Friday it is done.", True),
        ("Do you want to run next week?", False),
        ("I ran.", False),
    ],
)
def test_who_says_what_they_are_after_wishes(sentence: str, wish: bool) -> None:
    assert is_wish(sentence) is wish
