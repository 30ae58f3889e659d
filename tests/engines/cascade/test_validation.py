"""Client events of the wrong shape are refused in OpenAI's words."""

from typing import Any

import pytest

from relay.engines.cascade import validation
from relay.engines.cascade.effects import RequestRefused, error
from relay.engines.cascade.validation import (
    MAX_AUDIO,
    MAX_LIST,
    Shape,
    anything,
    array,
    boolean,
    either,
    integer,
    json_object,
    nullable,
    number,
    one_of,
    record,
    tagged,
    text,
)
from relay.parts.simple import tone
from tests.engines.cascade.driving import Talk, types

TYPED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}


@pytest.mark.parametrize(
    "frame",
    [b"", b"not json", b"{", b'{"type":', b"\xff\xfe", b'{"type":"\xff"}', b"[" * 100_000, b"NaN"],
)
def test_what_is_not_json(frame: bytes):
    (error,) = Talk().frame(frame)

    assert error["error"]["code"] == "invalid_json"
    assert error["error"]["event_id"] is None


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ([], "invalid_event", None),
        ("session.update", "invalid_event", None),
        (None, "invalid_event", None),
        ({}, "missing_required_parameter", "type"),
        ({"type": None}, "invalid_value", "type"),
        ({"type": {"a": 1}}, "invalid_value", "type"),
        ({"type": "nope"}, "invalid_value", "type"),
        ({"type": "transcription_session.update"}, "invalid_value", "type"),
        ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
        ({"type": "session.close"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": []}, "invalid_type", "session"),
        ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 1}, "invalid_type", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "é"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.commit", "more": 1}, "unknown_parameter", "more"),
        ({"type": "input_audio_buffer.commit", "event_id": 1}, "invalid_type", "event_id"),
        ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
        ({"type": "conversation.item.delete"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.retrieve", "item_id": 1}, "invalid_type", "item_id"),
        ({"type": "conversation.item.truncate"}, "missing_required_parameter", "item_id"),
        ({"type": "response.create", "response": 1}, "invalid_type", "response"),
        ({"type": "response.cancel", "response_id": 1}, "invalid_type", "response_id"),
    ],
)
def test_what_is_not_an_event(event: object, code: str, param: str | None):
    talk = Talk()

    (error,) = talk.send(event)

    assert (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert talk.type("still here")[0]["type"] == "conversation.item.added"


def test_an_error_names_the_clients_event():
    (error,) = Talk().send({"type": "nope", "event_id": "mine"})

    assert error["error"]["event_id"] == "mine"
    assert error["event_id"] != "mine"


def test_a_wrong_value_is_not_repeated_at_length():
    (error,) = Talk().send({"type": "n" * 10_000})

    assert len(error["error"]["message"]) < 1000


def test_an_append_larger_than_allowed_is_refused():
    (error,) = Talk().say("input_audio_buffer.append", audio="A" * (MAX_AUDIO * 4 // 3 + 8))

    assert error["error"]["code"] == "string_above_max_length"


def test_an_append_is_not_acknowledged():
    assert Talk().append(bytes(960)) == []


def test_clear_forgets_the_buffer():
    talk = Talk()
    talk.append(tone(200))

    assert types(talk.say("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]

    (error,) = talk.say("input_audio_buffer.commit")
    assert error["error"]["code"] == "input_audio_buffer_commit_empty"


def test_a_commit_needs_a_tenth_of_a_second():
    talk = Talk()
    talk.append(bytes(99 * 48))

    (error,) = talk.say("input_audio_buffer.commit")

    assert error["error"]["code"] == "input_audio_buffer_commit_empty"
    assert "99.00ms" in error["error"]["message"]
    talk.append(bytes(48))
    assert types(talk.say("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (anything, object),
        (nullable(boolean), None),
        (nullable(boolean), False),
        (text(3), "abc"),
        (boolean, True),
        (integer(1, 3), 3),
        (number(0, 1), 0.5),
        (number(0, 1), 1),
        (one_of("a", "b"), "b"),
        (either(boolean, text()), "x"),
        (array(boolean), [True, False]),
        (json_object, {"a": 1}),
        (record({"a": boolean}), {}),
        (record({"a": boolean}, required=("a",)), {"a": True}),
        (tagged({"t": record({"type": anything})}), {"type": "t"}),
    ],
)
def test_what_passes(shape: Shape, value: Any):
    assert shape(value, "path") == value


@pytest.mark.parametrize(
    ("shape", "value", "code", "param"),
    [
        (text(3), "abcd", "string_above_max_length", "p"),
        (text(), None, "invalid_type", "p"),
        (boolean, 1, "invalid_type", "p"),
        (integer(1, 3), 4, "integer_above_max_value", "p"),
        (integer(1, 3), 0, "integer_below_min_value", "p"),
        (integer(0, 1), True, "invalid_type", "p"),
        (integer(0, 1), 1.0, "invalid_type", "p"),
        (number(0, 1), "1", "invalid_type", "p"),
        (one_of("a"), ["a"], "invalid_value", "p"),
        (array(boolean), {}, "invalid_type", "p"),
        (array(boolean), [True, 1], "invalid_type", "p[1]"),
        (array(boolean), [True] * (MAX_LIST + 1), "integer_above_max_value", "p.length"),
        (json_object, [], "invalid_type", "p"),
        (record({"a": boolean}), {"b": True}, "unknown_parameter", "p.b"),
        (record({"a": boolean}, required=("a",)), {}, "missing_required_parameter", "p.a"),
        (record({"a": record({"b": boolean})}), {"a": {"b": 1}}, "invalid_type", "p.a.b"),
        (tagged({"t": anything}), {}, "missing_required_parameter", "p.type"),
        (tagged({"t": anything}), {"type": "u"}, "invalid_value", "p.type"),
    ],
)
def test_what_does_not(shape: Shape, value: Any, code: str, param: str):
    with pytest.raises(RequestRefused) as refused:
        shape(value, "p")

    assert (refused.value.code, refused.value.param) == (code, param)


def test_the_outermost_record_has_no_name():
    with pytest.raises(RequestRefused) as refused:
        record({})({"surprise": 1}, "")

    assert refused.value.param == "surprise"


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
        (validation.unknown_parameter("a.b"), "unknown_parameter", "Unknown parameter: 'a.b'."),
        (
            validation.missing_parameter("a"),
            "missing_required_parameter",
            "Missing required parameter: 'a'.",
        ),
        (
            validation.wrong_value("a", "x", ["one"]),
            "invalid_value",
            "Invalid value: 'x'. Supported values are: 'one'.",
        ),
        (
            validation.wrong_value("a", "x", ["one", "two", "three"]),
            "invalid_value",
            "Invalid value: 'x'. Supported values are: 'one', 'two', and 'three'.",
        ),
        (
            validation.too_long("a", 1, 2),
            "string_above_max_length",
            "Invalid 'a': string too long. Expected a string with maximum length 1, "
            "but got a string with length 2 instead.",
        ),
        (
            validation.too_small("a", 0, -1),
            "integer_below_min_value",
            "Invalid 'a': integer below minimum value. Expected a value >= 0, but got -1 instead.",
        ),
    ],
)
def test_refusals_are_worded_as_by_openai(refusal: RequestRefused, code: str, message: str):
    assert (refusal.code, refusal.message) == (code, message)


def test_the_exceptions_text_has_no_value_of_the_clients():
    assert str(validation.wrong_value("a", "a secret", ["one"])) == "invalid_value"
