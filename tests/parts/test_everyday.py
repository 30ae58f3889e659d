"""The local responder on any subject: how many of fifty everyday sentences it has an answer to."""

import re
from collections.abc import Callable
from typing import Final

import pytest

from relay.parts.interfaces import Message, ReplyDelta, ReplyRequest
from relay.parts.llama import LlamaModel, LlamaResponder
from relay.parts.topics import TopicResponder, topic_of, words_of
from tests.components import needs
from tests.parts.everyday import EVERYDAY

LEAST: Final = 0.7
"""Of the sentences whose answers fit."""


def test_no_topic_was_written_for_them() -> None:
    assert len(EVERYDAY) == 50
    assert [said for said in EVERYDAY if topic_of(said)] == []


def fits(said: str, answer: str) -> bool:
    """Tell whether an answer touches what was said, and is not the same again."""
    is_echo = words_of(answer) == words_of(said)
    return not is_echo and re.search(EVERYDAY[said], answer, re.IGNORECASE) is not None


def test_an_echo_does_not_fit() -> None:
    assert fits("What is a rainbow?", "It is light in drops of water.")
    assert not fits("What is a rainbow?", "what is a rainbow")
    assert not fits("What is a rainbow?", "I have no answer to that.")


@pytest.mark.slow
@needs("voice_llm")
async def test_the_stated_share_of_everyday_sentences_has_a_fitting_answer(
    record_property: Callable[[str, str], None],
) -> None:
    """Each is the first sentence of a conversation, as text."""
    model = LlamaModel(device="cpu")
    answers = {}
    try:
        for said in EVERYDAY:
            asked = ReplyRequest(history=(Message("user", said),), max_wait=600)
            pieces = [one async for one in TopicResponder(LlamaResponder(model)).respond(asked)]
            answers[said] = "".join(one.text for one in pieces if isinstance(one, ReplyDelta))
    finally:
        await model.aclose()

    unfit = {said: answer for said, answer in answers.items() if not fits(said, answer)}
    share = 1 - len(unfit) / len(EVERYDAY)
    record_property("share that fits", f"{share:.2f}")
    record_property("answers", str(answers))
    assert share >= LEAST, unfit
