"""What a client may send, and what it is told when it sends something else."""

import pytest

from relay.engines.cascade.validation import MAX_AUDIO
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
