"""S3-25: sessions and responses translated field by field, and back."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.beta.realtime.session import Session as BetaSession
from openai.types.realtime.realtime_session_create_request import RealtimeSessionCreateRequest

from relay.realtime.dialects.beta import (
    beta_response,
    beta_session,
    ga_response,
    ga_session,
    ga_transcription_session,
    is_transcription,
)

PCM = {"type": "audio/pcm", "rate": 24000}
SERVER_VAD = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300}
TOOL = {"type": "function", "name": "clock", "description": "The time", "parameters": {}}


def heard(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


def spoken(**fields: Any) -> dict[str, Any]:
    return {"audio": {"output": fields}}


FIELDS = [
    ({}, {}),
    ({"modalities": ["text", "audio"]}, {"output_modalities": ["audio"]}),
    ({"modalities": ["audio", "text"]}, {"output_modalities": ["audio"]}),
    ({"modalities": ["audio"]}, {"output_modalities": ["audio"]}),
    ({"modalities": ["text"]}, {"output_modalities": ["text"]}),
    ({"modalities": []}, {"output_modalities": []}),
    ({"modalities": ["audio", "smell"]}, {"output_modalities": ["audio", "smell"]}),
    ({"instructions": "Be kind."}, {"instructions": "Be kind."}),
    ({"instructions": ""}, {"instructions": ""}),
    ({"voice": "coral"}, spoken(voice="coral")),
    ({"voice": None}, spoken(voice=None)),
    ({"voice": {"id": "voice_1"}}, spoken(voice={"id": "voice_1"})),
    ({"speed": 1.25}, spoken(speed=1.25)),
    ({"input_audio_format": "pcm16"}, heard(format=PCM)),
    ({"input_audio_format": "g711_ulaw"}, heard(format={"type": "audio/pcmu"})),
    ({"input_audio_format": "g711_alaw"}, heard(format={"type": "audio/pcma"})),
    ({"input_audio_format": "mp3"}, heard(format="mp3")),
    ({"input_audio_format": None}, heard(format=None)),
    ({"output_audio_format": "pcm16"}, spoken(format=PCM)),
    ({"output_audio_format": "g711_ulaw"}, spoken(format={"type": "audio/pcmu"})),
    ({"output_audio_format": "g711_alaw"}, spoken(format={"type": "audio/pcma"})),
    (
        {"input_audio_transcription": {"model": "whisper-1", "language": "de"}},
        heard(transcription={"model": "whisper-1", "language": "de"}),
    ),
    ({"input_audio_transcription": None}, heard(transcription=None)),
    (
        {"input_audio_noise_reduction": {"type": "near_field"}},
        heard(noise_reduction={"type": "near_field"}),
    ),
    ({"input_audio_noise_reduction": None}, heard(noise_reduction=None)),
    ({"turn_detection": SERVER_VAD}, heard(turn_detection=SERVER_VAD)),
    ({"turn_detection": None}, heard(turn_detection=None)),
    ({"max_response_output_tokens": 4096}, {"max_output_tokens": 4096}),
    ({"max_response_output_tokens": "inf"}, {"max_output_tokens": "inf"}),
    ({"max_response_output_tokens": None}, {"max_output_tokens": None}),
    ({"tools": [TOOL]}, {"tools": [TOOL]}),
    ({"tools": []}, {"tools": []}),
    ({"tool_choice": "required"}, {"tool_choice": "required"}),
    ({"tracing": "auto"}, {"tracing": "auto"}),
    ({"include": ["x"]}, {"include": ["x"]}),
    ({"temperature": 0.6}, {}),
    ({"client_secret": None}, {}),
    ({"tomorrow": {"new": 1}}, {"tomorrow": {"new": 1}}),
    (
        {"voice": "echo", "input_audio_format": "pcm16", "turn_detection": None},
        {"audio": {"output": {"voice": "echo"}, "input": {"format": PCM, "turn_detection": None}}},
    ),
]


@pytest.mark.parametrize(("beta", "ga"), FIELDS, ids=[str(beta) for beta, _ in FIELDS])
def test_S3_25_the_ga_session_has_only_the_fields_that_were_given(beta, ga):
    given_before = copy.deepcopy(beta)
    assert ga_session(beta) == {"type": "realtime", **ga}
    assert beta == given_before


def test_S3_25_the_old_clients_whole_session_is_a_valid_ga_session():
    beta = {
        "modalities": ["text", "audio"],
        "instructions": "",
        "voice": "verse",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "turn_detection": None,
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": 4096,
    }
    ga = ga_session(beta)
    assert ga == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": 4096,
        "audio": {
            "input": {"format": PCM, "transcription": None, "turn_detection": None},
            "output": {"format": PCM, "voice": "verse"},
        },
    }
    assert not RealtimeSessionCreateRequest.model_validate(ga).model_extra


def test_a_returned_format_is_a_copy():
    ga_session({"input_audio_format": "pcm16"})["audio"]["input"]["format"]["rate"] = 8000
    assert ga_session({"input_audio_format": "pcm16"}) == {"type": "realtime", **heard(format=PCM)}


def test_a_ga_session_stays_as_it_is_beside_flat_fields():
    ga = {"type": "realtime", "audio": {"output": {"voice": "cedar"}, "x": 1}}
    assert ga_session({**ga, "speed": 1.5}) == {
        "type": "realtime",
        "audio": {"output": {"voice": "cedar", "speed": 1.5}, "x": 1},
    }
    assert ga["audio"] == {"output": {"voice": "cedar"}, "x": 1}


def test_S3_23_a_ga_session_is_flattened():
    ga = {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "Be kind.",
        "tools": [TOOL],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1785217650,
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"model": "whisper-1"},
                "noise_reduction": None,
                "turn_detection": SERVER_VAD,
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.0},
        },
        "include": None,
    }
    before = copy.deepcopy(ga)
    beta = beta_session(ga)
    assert beta == {
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "modalities": ["audio", "text"],
        "instructions": "Be kind.",
        "tools": [TOOL],
        "tool_choice": "auto",
        "max_response_output_tokens": "inf",
        "temperature": 0.8,
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1785217650,
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": None,
        "turn_detection": SERVER_VAD,
        "output_audio_format": "g711_ulaw",
        "voice": "alloy",
        "speed": 1.0,
        "include": None,
    }
    assert ga == before
    unknown_to_beta = {"object", "expires_at", "truncation", "prompt", "include"}
    assert set(BetaSession.model_validate(beta).model_extra or {}) == unknown_to_beta


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ({"type": "audio/pcm"}, "pcm16"),
        ({"type": "audio/pcma"}, "g711_alaw"),
        ({"type": "audio/opus"}, {"type": "audio/opus"}),
        ({"rate": 8000}, {"rate": 8000}),
        (None, None),
        ("pcm16", "pcm16"),
    ],
)
def test_S3_23_an_audio_format_has_its_beta_name_if_there_is_one(ga, beta):
    assert beta_session(heard(format=ga)) == {"temperature": 0.8, "input_audio_format": beta}


def test_audio_fields_that_beta_never_had_are_kept():
    ga = {"audio": {"input": {"format": PCM, "channels": 2}, "output": {}}, "temperature": 0.7}
    assert beta_session(ga) == {
        "temperature": 0.7,
        "input_audio_format": "pcm16",
        "audio": {"input": {"channels": 2}, "output": {}},
    }


@pytest.mark.parametrize("audio", [None, "loud", {"input": None}, {"input": []}])
def test_a_malformed_session_passes(audio):
    assert beta_session({"audio": audio}) == {"temperature": 0.8, "audio": audio}


@pytest.mark.parametrize(
    ("session", "transcription"),
    [
        ({"type": "transcription"}, True),
        ({"object": "realtime.transcription_session"}, True),
        ({"type": "realtime", "object": "realtime.session"}, False),
        ({}, False),
        (None, False),
        ("transcription", False),
    ],
)
def test_a_transcription_session_is_recognized_in_either_dialect(session, transcription):
    assert is_transcription(session) is transcription


def test_a_transcription_session_has_neither_voice_nor_temperature():
    beta = {
        "id": "sess_1",
        "object": "realtime.transcription_session",
        "input_audio_format": "pcm16",
        "turn_detection": None,
    }
    ga = {
        "type": "transcription",
        "id": "sess_1",
        "object": "realtime.transcription_session",
        **heard(format=PCM, turn_detection=None),
    }
    assert ga_session(beta) == ga
    assert ga_transcription_session({**beta, "modalities": ["text"], "client_secret": {}}) == ga
    assert beta_session(ga) == beta


def test_a_response_is_nested_and_flattened():
    ga = {
        "id": "resp_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": PCM, "voice": "alloy"}},
    }
    beta = {
        "id": "resp_1",
        "modalities": ["audio", "text"],
        "max_output_tokens": "inf",
        "output_audio_format": "pcm16",
        "voice": "alloy",
        "temperature": 0.8,
    }
    assert beta_response(ga) == beta
    assert ga_response(beta) == ga
    assert beta_response({"temperature": 0.6}) == {"temperature": 0.6}


# Letters are named: with all of Unicode, Hypothesis spends a second on a table in a fresh clone.
texts = st.text('aB "é🙂', max_size=8)
nothing = st.none()
extras = st.dictionaries(
    st.sampled_from(["tracing", "include", "prompt", "tomorrow"]), st.integers()
)
vad = st.fixed_dictionaries({"type": st.sampled_from(["server_vad", "semantic_vad"])})
asr = st.fixed_dictionaries({"model": texts}, optional={"language": nothing | texts})
beta_formats = nothing | st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw"])
ga_formats = nothing | st.sampled_from([PCM, {"type": "audio/pcmu"}, {"type": "audio/pcma"}])
tokens = nothing | st.just("inf") | st.integers(1, 4096)
common = {
    "id": texts,
    "model": texts,
    "instructions": nothing | texts,
    "tools": st.lists(st.just(TOOL)),
}


@given(
    st.fixed_dictionaries(
        {"temperature": st.just(0.8)},
        optional={
            **common,
            "modalities": st.sampled_from([["audio", "text"], ["text"], [], None]),
            "voice": nothing | texts,
            "speed": nothing | st.floats(0.25, 1.5),
            "input_audio_format": beta_formats,
            "output_audio_format": beta_formats,
            "input_audio_transcription": nothing | asr,
            "input_audio_noise_reduction": nothing | st.just({"type": "far_field"}),
            "turn_detection": nothing | vad,
            "max_response_output_tokens": tokens,
        },
    ),
    extras,
)
def test_a_beta_session_survives_the_way_to_ga_and_back(session, more):
    beta = {**more, **session}
    before = copy.deepcopy(beta)
    ga = ga_session(beta)
    assert beta_session(ga) == beta == before
    assert ga["type"] == "realtime"
    assert not set(ga) & {"modalities", "voice", "temperature", "input_audio_format", "speed"}


audio_in = st.fixed_dictionaries(
    {},
    optional={
        "format": ga_formats,
        "transcription": nothing | asr,
        "noise_reduction": nothing,
        "turn_detection": nothing | vad,
        "tomorrow": st.integers(),
    },
)
audio_out = st.fixed_dictionaries(
    {}, optional={"format": ga_formats, "voice": texts, "speed": st.floats(0.25, 1.5)}
)


@given(
    st.fixed_dictionaries(
        {"type": st.just("realtime")},
        optional={
            **common,
            "output_modalities": st.sampled_from([["audio"], ["text"], [], None]),
            "max_output_tokens": tokens,
            "audio": nothing
            | st.fixed_dictionaries({}, optional={"input": audio_in, "output": audio_out}),
        },
    ),
    extras,
)
def test_a_ga_session_survives_the_way_to_beta_and_back(session, more):
    ga = {**more, **session}
    before = copy.deepcopy(ga)
    beta = beta_session(ga)
    assert ga_session(beta) == ga == before
    assert "type" not in beta
    assert not set(beta) & {"output_modalities", "max_output_tokens"}
