"""Settings of a session and of one response: defaults, updates, refusals and accessors."""

import copy
from typing import Any

import pytest

from relay.engines.cascade.effects import RequestRefused
from relay.engines.cascade.items import ItemList
from relay.engines.cascade.settings import (
    SEMANTIC_SILENCE_MS,
    ResponseRequest,
    Settings,
    TurnDetection,
    creates_response,
    idle_timeout_ms,
    initial_settings,
    interrupts_response,
    response_request,
    transcription,
    turn_detection,
    update_settings,
)
from tests.engines.cascade.driving import Talk


def settings(model: str = "gpt-realtime") -> Settings:
    return initial_settings("sess_1", model, 0)


def changed(**change: Any) -> Settings:
    return update_settings(settings(), {"type": "realtime", **change}, spoke=False)


@pytest.mark.parametrize(
    ("model", "voice", "silence"),
    [("gpt-realtime", "alloy", 200), ("gpt-realtime-2.1", "marin", 500)],
)
def test_the_defaults_are_the_models(model: str, voice: str, silence: int):
    audio = settings(model)["audio"]

    assert audio["output"]["voice"] == voice
    assert audio["input"]["turn_detection"]["silence_duration_ms"] == silence


def test_an_update_keeps_what_it_does_not_name():
    after = changed(instructions="Be brief.")

    before = settings()
    assert after == {**before, "instructions": "Be brief."}


def test_an_update_changes_nothing_in_place():
    before = settings()
    kept = copy.deepcopy(before)

    update_settings(
        before, {"type": "realtime", "audio": {"output": {"voice": "ash"}}}, spoke=False
    )

    assert before == kept


def test_turn_detection_is_merged_by_kind():
    kept = changed(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.9}}})
    assert kept["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200

    other = changed(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert other["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_null_clears():
    after = changed(audio={"input": {"turn_detection": None}}, tools=None, instructions="")

    assert after["audio"]["input"]["turn_detection"] is None
    assert after["tools"] == []
    assert after["instructions"] == settings()["instructions"]


def test_transcription_is_filled_up():
    after = changed(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})

    assert after["audio"]["input"]["transcription"] == {
        "model": "gpt-4o-transcribe",
        "language": None,
        "prompt": None,
    }


def test_function_tools_are_kept_as_they_are():
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}

    assert changed(tools=[tool], tool_choice="required")["tools"] == [tool]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"bogus": 1}, "unknown_parameter", "session.bogus"),
        ({"voice": "ash"}, "unknown_parameter", "session.voice"),
        ({"id": "sess_2"}, "unknown_parameter", "session.id"),
        ({"model": "gpt-realtime-2.1"}, "invalid_value", "session.model"),
        ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        ({"instructions": 5}, "invalid_type", "session.instructions"),
        ({"tools": "f"}, "invalid_type", "session.tools"),
        ({"tools": ["f"]}, "invalid_type", "session.tools[0]"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens"),
        ({"max_output_tokens": 4097}, "integer_above_max_value", "session.max_output_tokens"),
        ({"audio": {"input": {"gain": 1}}}, "unknown_parameter", "session.audio.input.gain"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            "invalid_value",
            "session.audio.input.format.type",
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcma"}}}},
            "invalid_value",
            "session.audio.output.format.type",
        ),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            {"audio": {"input": {"turn_detection": {"threshold": 0.5}}}},
            "missing_required_parameter",
            "session.audio.input.turn_detection.type",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "psychic"}}}},
            "invalid_value",
            "session.audio.input.turn_detection.type",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 1}}}},
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"output": {"voice": "nobody"}}},
            "invalid_value",
            "session.audio.output.voice",
        ),
    ],
)
def test_updates_that_are_refused(change: dict[str, Any], code: str, param: str):
    with pytest.raises(RequestRefused) as refused:
        changed(**change)

    assert (refused.value.code, refused.value.param) == (code, param)


def test_a_refused_update_changes_nothing():
    talk = Talk()

    (error,) = talk.say(
        "session.update",
        session={"type": "realtime", "instructions": "New.", "bogus": 1},
        event_id="u1",
    )
    (updated,) = talk.say("session.update", session={"type": "realtime"})

    assert error["error"]["event_id"] == "u1"
    assert updated["session"] == talk.events[0]["session"]


def test_the_voice_cannot_change_after_audio():
    talk = Talk()
    voice = {"type": "realtime", "audio": {"output": {"voice": "ash"}}}
    (updated,) = talk.say("session.update", session=voice)
    assert updated["session"]["audio"]["output"]["voice"] == "ash"
    talk.speak()
    talk.finish()

    (same,) = talk.say("session.update", session=voice)
    (error,) = talk.say(
        "session.update", session={"type": "realtime", "audio": {"output": {"voice": "sage"}}}
    )

    assert same["type"] == "session.updated"
    assert error["error"]["code"] == "cannot_update_voice"


@pytest.mark.parametrize(("eagerness", "silence"), SEMANTIC_SILENCE_MS.items())
def test_eagerness_is_a_silence(eagerness: str, silence: int):
    turns = {"type": "semantic_vad", "eagerness": eagerness}

    assert turn_detection(changed(audio={"input": {"turn_detection": turns}})).silence_ms == silence


def test_the_answer_to_an_update_is_not_changed_by_the_next():
    talk = Talk()
    (first,) = talk.say("session.update", session={"type": "realtime", "instructions": "One."})
    talk.say("session.update", session={"type": "realtime", "instructions": "Two."})

    assert first["session"]["instructions"] == "One."


def with_input(turns: Any, transcription: Any = None) -> dict[str, Any]:
    audio = {"input": {"turn_detection": turns, "transcription": transcription}}
    opened = initial_settings("sess_1", "gpt-realtime-2.1", 0)
    return update_settings(opened, {"type": "realtime", "audio": audio}, spoke=False)


def test_accessors_of_a_new_session():
    opened = initial_settings("sess_1", "gpt-realtime-2.1", 0)

    assert turn_detection(opened) == TurnDetection(500, 300)
    assert interrupts_response(opened)
    assert creates_response(opened)
    assert idle_timeout_ms(opened) is None
    assert transcription(opened).model is None


def test_accessors_without_turn_detection():
    manual = with_input(None)

    assert turn_detection(manual) == TurnDetection(None, 300)
    assert not interrupts_response(manual)
    assert not creates_response(manual)
    assert idle_timeout_ms(manual) is None


def test_accessors_of_a_clients_settings():
    vad = {
        "type": "server_vad",
        "prefix_padding_ms": 100,
        "silence_duration_ms": 700,
        "idle_timeout_ms": 6000,
        "create_response": False,
        "interrupt_response": False,
    }
    wanted = with_input(vad, {"model": "whisper-1"})

    assert turn_detection(wanted) == TurnDetection(700, 100)
    assert not interrupts_response(wanted)
    assert not creates_response(wanted)
    assert idle_timeout_ms(wanted) == 6000
    assert transcription(wanted).model == "whisper-1"


SETTINGS = initial_settings("sess_1", "gpt-realtime", 0)


def requested(**overrides: object) -> ResponseRequest:
    return response_request(SETTINGS, overrides, ItemList("conv_1"), lambda prefix: f"{prefix}_1")


def test_a_response_has_the_sessions_settings():
    assert requested() == ResponseRequest(
        spoken=True,
        voice="alloy",
        instructions=SETTINGS["instructions"],
        max_output_tokens="inf",
    )


def test_a_response_overrides_the_sessions_settings():
    tool = {"type": "function", "name": "f"}
    content = [{"type": "input_text", "text": "Hi"}]
    message = {"type": "message", "role": "user", "content": content}

    wanted = requested(
        conversation="none",
        output_modalities=["text"],
        tools=[tool],
        input=[message],
        audio={"output": {"voice": {"id": "voice_1"}}},
    )

    assert (wanted.spoken, wanted.in_conversation, wanted.tools) == (False, False, (tool,))
    assert wanted.voice == "voice_1"
    assert [item.words for item in wanted.input or ()] == ["Hi"]
