"""Replies, endings and arguments."""

import pytest

from relay.parts.interfaces import (
    COMPLETED,
    CallOutput,
    MadeCall,
    Message,
    PartFailed,
    Reply,
    ReplyRequest,
    SpokenMessage,
    as_json,
    as_reply,
    cancelled,
    failed,
    incomplete,
)


def test_a_text_is_one_message():
    assert as_reply("Hello.") == Reply((SpokenMessage("Hello."),), ending=COMPLETED)


def test_a_reply_is_a_reply():
    reply = Reply((), ending=incomplete("content_filter"))

    assert as_reply(reply) is reply


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


@pytest.mark.parametrize(
    ("history", "prompt"),
    [
        ((), ""),
        ((Message("user", "Hello."),), "Hello."),
        ((Message("user", "Hello."), Message("assistant", "Hi.")), "Hello."),
        ((Message("user", "Weather?"), MadeCall("c", "f", "{}"), CallOutput("c", "rain")), "rain"),
        ((Message("user", "Hello."), Message("user", "")), ""),
        ((Message("system", "Be brief."),), ""),
    ],
)
def test_the_last_word_of_the_user_or_of_a_function_is_answered(
    history: tuple[Message | MadeCall | CallOutput, ...], prompt: str
):
    assert ReplyRequest(history).prompt == prompt


def test_a_failure_says_which_part_and_why():
    failure = PartFailed("transcriber", "rate_limited", "status 429")

    assert str(failure) == "transcriber rate_limited: status 429"
    assert str(PartFailed("responder", "busy")) == "responder busy"
