"""What a model writes to itself is not said, in whatever pieces it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.parts.thinking import MAX_CALL_CHARACTERS, MAX_CALLS, SpokenText

ANSWERS = [
    ("Hello there.", "Hello there.", []),
    ("<think>They greet me.</think>\n\nHello there.", "Hello there.", []),
    ("<thinking>So.</thinking>Well, <think>hm</think>yes.", "Well, yes.", []),
    ("hm, they ask</think>Yes.", "hm, they askYes.", []),
    ("<think>and never stops", "", []),
    ("Two < three and <thin> paper, a<b", "Two < three and <thin> paper, a<b", []),
    ("  \n Yes.", "Yes.", []),
    ("", "", []),
    ('One moment.<tool_call>{"name": "a"}</tool_call>', "One moment.", ['{"name": "a"}']),
    ("<tool_call>1</tool_call>\n<tool_call>2</tool_call>", "", ["1", "2"]),
    ("<think><tool_call>no</tool_call></think>Yes.", "Yes.", []),
    ("<tool_call>cut", "", []),
]


def said(text: str, cuts: list[int]) -> tuple[str, list[str]]:
    """Feed a text in pieces; return what is said of it and the calls in it."""
    filtered, heard, start = SpokenText(), "", 0
    for end in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        heard += filtered.feed(text[start:end])
        start = end
    return heard + filtered.end(), filtered.calls


@pytest.mark.parametrize(("written", "heard", "calls"), ANSWERS)
@given(cuts=st.lists(st.integers(0, 80), max_size=12))
def test_thoughts_and_calls_are_kept_from_the_voice(
    written: str, heard: str, calls: list[str], cuts: list[int]
) -> None:
    assert said(written, cuts) == (heard, calls)


def test_words_are_not_kept_back_without_a_reason() -> None:
    filtered = SpokenText()

    assert filtered.feed("Hello") == "Hello"
    assert filtered.feed(" there <") == " there "
    assert filtered.feed("3") == "<3"


def test_calls_are_bounded_in_number_and_length() -> None:
    many = "<tool_call>1</tool_call>" * (MAX_CALLS + 1)
    assert len(said(many, [])[1]) == MAX_CALLS

    long = f"<tool_call>{'x' * (MAX_CALL_CHARACTERS + 1)}</tool_call>Yes."
    assert said(long, []) == ("Yes.", [])
