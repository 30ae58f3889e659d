"""The client events that are allowed, and the fields taken out of them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.client_policy import REQUIRED, ClientPolicy, check_shape, remove_locked
from relay.realtime.dialects.client import GaDialect
from relay.realtime.effects import ToClient
from relay.realtime.events import BadEvent
from relay.realtime.grant import Caller, Grant
from relay.realtime.transcription_view import TranscriptionView

SHOWN = TranscriptionView(always=True)
CALLER = Caller(sub="u1", role="learner", expires_at=2e9)
OPEN = Grant(caller=CALLER, agent_id="a1")
LOCKED = Grant(caller=CALLER, agent_id="a1", voice="sage", instructions="Be kind.", tools=())
WHISPER = {"model": "gpt-realtime-whisper"}

GOOD: list[dict[str, Any]] = [
    {"type": "session.update", "session": {"type": "realtime"}},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear", "event_id": "e1"},
    {"type": "conversation.item.create", "item": {"type": "message"}, "previous_item_id": None},
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 5},
    {"type": "conversation.item.delete", "item_id": "i"},
    {"type": "response.create"},
    {"type": "response.create", "response": {"instructions": "Sing."}},
    {"type": "response.cancel", "response_id": "r"},
    {"type": "output_audio_buffer.clear"},
]

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "session.start"}, "invalid_value", "type"),
    ({"type": "relay.playback"}, "invalid_value", "type"),
    ({"type": "transcription_session.update"}, "invalid_value", "type"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": []}, "invalid_type", "session"),
    ({"type": "session.update", "session": None}, "invalid_type", "session"),
    ({"type": "input_audio_buffer.append", "audio": 1}, "invalid_type", "audio"),
    ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
    ({"type": "conversation.item.create", "item": "x"}, "invalid_type", "item"),
    ({"type": "conversation.item.create", "item": {}}, "missing_required_parameter", "item.type"),
    (
        {"type": "conversation.item.create", "item": {"type": "message"}, "previous_item_id": 5},
        "invalid_type",
        "previous_item_id",
    ),
    ({"type": "conversation.item.delete", "item_id": None}, "invalid_type", "item_id"),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 0,
            "audio_end_ms": True,
        },
        "invalid_type",
        "audio_end_ms",
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 0,
            "audio_end_ms": 1.5,
        },
        "invalid_type",
        "audio_end_ms",
    ),
    ({"type": "response.create", "response": "now"}, "invalid_type", "response"),
    ({"type": "response.cancel", "response_id": 7}, "invalid_type", "response_id"),
    ({"type": "response.create", "event_id": "e" * 513}, "string_above_max_length", "event_id"),
]


@pytest.mark.parametrize("event", GOOD, ids=lambda event: event["type"])
def test_every_client_event_passes(event: dict[str, Any]) -> None:
    check_shape(event)
    assert remove_locked(event, OPEN, WHISPER) == (event, [])


def test_the_eleven_client_events_of_the_protocol_are_known() -> None:
    assert {event["type"] for event in GOOD} == set(REQUIRED)
    assert len(REQUIRED) == 11


@pytest.mark.parametrize(("event", "code", "param"), BAD)
def test_S3_44_a_wrong_shape_is_refused_by_name(
    event: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(BadEvent) as refused:
        check_shape(event)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_locked_fields_are_taken_out_of_an_update() -> None:
    session = {
        "type": "realtime",
        "model": "gpt-other",
        "instructions": "Be rude.",
        "tools": [{"type": "function"}],
        "voice": "ash",
        "audio": {"output": {"voice": "ash", "speed": 1.2}},
        "max_output_tokens": 100,
    }
    event, removed = remove_locked({"type": "session.update", "session": session}, LOCKED, WHISPER)
    assert event["session"] == {
        "type": "realtime",
        "audio": {"output": {"speed": 1.2}},
        "max_output_tokens": 100,
    }
    assert removed == ["model", "instructions", "tools", "voice", "audio.output.voice"]


def test_locked_fields_are_taken_out_of_a_response() -> None:
    response = {"instructions": "Be rude.", "metadata": {"a": "b"}}
    event, removed = remove_locked(
        {"type": "response.create", "response": response}, LOCKED, WHISPER
    )
    assert event["response"] == {"metadata": {"a": "b"}}
    assert removed == ["instructions"]


def test_an_aware_client_is_told_what_was_taken_out_and_only_then() -> None:
    aware = replace(LOCKED, relay_events=True)
    policy = ClientPolicy(aware, WHISPER, ClientEncoder(GaDialect(), aware, SHOWN))
    update = {"type": "session.update", "session": {"type": "realtime", "voice": "ash"}}
    outcome = policy.from_client(update, 1.0)
    assert outcome.events == [{"type": "session.update", "session": {"type": "realtime"}}]
    (warning,) = outcome.after
    assert isinstance(warning, ToClient)
    assert json.loads(bytes(warning.frame))["code"] == "locked_fields"
    harmless = policy.from_client({"type": "session.update", "session": {}}, 1.0)
    assert harmless.after == []


def test_the_model_is_the_servers_even_where_nothing_else_is_locked() -> None:
    event, removed = remove_locked(
        {"type": "session.update", "session": {"model": "m", "instructions": "Hi."}}, OPEN, WHISPER
    )
    assert (event["session"], removed) == ({"instructions": "Hi."}, ["model"])


@pytest.mark.parametrize(
    ("given", "goes_up"),
    [(None, WHISPER), ({}, WHISPER), ({"model": "whisper-1"}, {"model": "whisper-1"})],
)
def test_5_10_input_transcription_cannot_be_switched_off(given: Any, goes_up: Any) -> None:
    audio: dict[str, Any] = {"input": {"transcription": given, "noise_reduction": None}}
    session = {"type": "realtime", "audio": audio}
    event, removed = remove_locked({"type": "session.update", "session": session}, OPEN, WHISPER)
    assert event["session"]["audio"]["input"] == {"transcription": goes_up, "noise_reduction": None}
    assert removed == []
    assert audio["input"]["transcription"] is given, "the client's event is untouched"
