"""Errors are told in OpenAI's shape and words."""

import pytest

from relay.engines.cascade import validation as refusals
from relay.engines.cascade.effects import RequestRefused, error


def test_the_error_event():
    refusal = RequestRefused("some_code", "What is wrong.", "field")

    assert error(refusal, "mine", "event_1") == {
        "type": "error",
        "event_id": "event_1",
        "error": {
            "type": "invalid_request_error",
            "code": "some_code",
            "message": "What is wrong.",
            "param": "field",
            "event_id": "mine",
        },
    }


@pytest.mark.parametrize(
    ("refusal", "code", "message"),
    [
        (refusals.unknown_parameter("a.b"), "unknown_parameter", "Unknown parameter: 'a.b'."),
        (
            refusals.missing_parameter("a"),
            "missing_required_parameter",
            "Missing required parameter: 'a'.",
        ),
        (
            refusals.wrong_value("a", "x", ["one"]),
            "invalid_value",
            "Invalid value: 'x'. Supported values are: 'one'.",
        ),
        (
            refusals.wrong_value("a", "x", ["one", "two", "three"]),
            "invalid_value",
            "Invalid value: 'x'. Supported values are: 'one', 'two', and 'three'.",
        ),
        (
            refusals.too_long("a", 1, 2),
            "string_above_max_length",
            "Invalid 'a': string too long. Expected a string with maximum length 1, "
            "but got a string with length 2 instead.",
        ),
        (
            refusals.too_small("a", 0, -1),
            "integer_below_min_value",
            "Invalid 'a': integer below minimum value. Expected a value >= 0, but got -1 instead.",
        ),
    ],
)
def test_the_words(refusal: RequestRefused, code: str, message: str):
    assert (refusal.code, refusal.message) == (code, message)


def test_a_text_of_the_clients_is_not_in_the_exception():
    assert str(refusals.wrong_value("a", "a secret", ["one"])) == "invalid_value"
