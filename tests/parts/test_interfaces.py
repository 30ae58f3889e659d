"""Replies, endings and arguments."""

import pytest

from relay.parts.interfaces import (
    COMPLETED,
    Reply,
    ReplyOccasion,
    SpokenMessage,
    as_json,
    as_reply,
    cancelled,
    failed,
    incomplete,
    unchanged,
)


def test_a_text_is_one_message():
    assert as_reply("Hello.") == Reply((SpokenMessage("Hello."),), ending=COMPLETED)


def test_a_reply_is_a_reply():
    reply = Reply((), ending=incomplete("content_filter"))

    assert as_reply(reply) is reply
    assert unchanged(ReplyOccasion(1, 1), reply) is reply


@pytest.mark.parametrize(
    ("arguments", "text"),
    [("{ }", "{ }"), ({"city": "Zürich", "n": [1]}, '{"city":"Zürich","n":[1]}')],
)
def test_arguments_travel_as_json(arguments: str | dict[str, object], text: str):
    assert as_json(arguments) == text


def test_endings_are_worded_as_in_the_api():
    assert failed("c", "m", "t").details == {
        "type": "failed",
        "error": {"type": "t", "code": "c", "message": "m"},
    }
    assert incomplete("max_output_tokens").details == {
        "type": "incomplete",
        "reason": "max_output_tokens",
    }
    assert cancelled("turn_detected").status == "cancelled"
