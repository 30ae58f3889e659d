"""Translation of client events and of unusual server events, and renaming within frames."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.dialects.beta import (
    BETA_NAMES,
    RENAMED,
    REWRITTEN,
    beta_to_ga,
    rename,
    to_beta,
    to_ga,
)
from tests.realtime.old_client import OldClient

PCM = {"type": "audio/pcm", "rate": 24000}


def update(name: str = "session.update", **session: Any) -> dict[str, Any]:
    return {"type": name, "event_id": "mine_1", "session": session}


def create(**response: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": response}


def seed(role: str, kind: str) -> dict[str, Any]:
    content = [{"type": kind, "text": "Hi"}]
    item = {"type": "message", "role": role, "content": content}
    return {"type": "conversation.item.create", "previous_item_id": "root", "item": item}


CLIENT_ROWS = [
    (update(), update(type="realtime")),
    (
        update(modalities=["text", "audio"], voice="coral", temperature=0.8, turn_detection=None),
        update(
            type="realtime",
            output_modalities=["audio"],
            audio={"output": {"voice": "coral"}, "input": {"turn_detection": None}},
        ),
    ),
    (
        update(
            "transcription_session.update",
            input_audio_format="pcm16",
            input_audio_transcription={"model": "gpt-4o-transcribe", "language": "es"},
            input_audio_noise_reduction={"type": "near_field"},
            modalities=["text"],
        ),
        update(
            type="transcription",
            audio={
                "input": {
                    "format": PCM,
                    "transcription": {"model": "gpt-4o-transcribe", "language": "es"},
                    "noise_reduction": {"type": "near_field"},
                }
            },
        ),
    ),
    (
        update("transcription_session.update", type="transcription", audio={"input": {}}),
        update(type="transcription", audio={"input": {}}),
    ),
    ({"type": "transcription_session.update"}, {"type": "session.update"}),
    ({"type": "response.create"}, {"type": "response.create"}),
    (create(), create()),
    (
        create(
            conversation="none",
            modalities=["text", "audio"],
            voice="ash",
            output_audio_format="g711_ulaw",
            max_response_output_tokens=200,
            temperature=0.6,
            instructions="",
            metadata={"of": "client"},
            tools=[],
            tool_choice="none",
        ),
        create(
            conversation="none",
            output_modalities=["audio"],
            audio={"output": {"voice": "ash", "format": {"type": "audio/pcmu"}}},
            max_output_tokens=200,
            instructions="",
            metadata={"of": "client"},
            tools=[],
            tool_choice="none",
        ),
    ),
    (create(max_output_tokens="inf"), create(max_output_tokens="inf")),
    (
        create(input=[seed("assistant", "text")["item"], {"type": "item_reference", "id": "i"}]),
        create(
            input=[seed("assistant", "output_text")["item"], {"type": "item_reference", "id": "i"}]
        ),
    ),
    (seed("assistant", "text"), seed("assistant", "output_text")),
    (seed("assistant", "audio"), seed("assistant", "output_audio")),
    (seed("user", "text"), seed("user", "input_text")),
    (seed("user", "input_text"), seed("user", "input_text")),
]


@pytest.mark.parametrize(("beta", "ga"), CLIENT_ROWS)
def test_S3_25_a_beta_clients_event_is_translated_to_ga(beta, ga):
    before = copy.deepcopy(beta)
    assert to_ga(beta) == ga
    assert beta == before


@pytest.mark.parametrize("ga", [ga for _, ga in CLIENT_ROWS])
def test_S3_25_an_event_that_is_ga_already_is_not_changed(ga):
    assert to_ga(ga) == ga


@pytest.mark.parametrize(
    "event",
    [
        update(type="realtime", voice="coral"),
        update(audio={"output": {"voice": "coral"}}, modalities=["text"]),
        create(audio={"output": {"voice": "coral"}}, modalities=["text"]),
    ],
)
def test_a_ga_shape_with_beta_fields_is_left_for_the_engine_to_refuse(event):
    assert to_ga(event) is event


@pytest.mark.parametrize(
    "event",
    [
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "conversation.item.retrieve", "item_id": "item_1"},
        {"type": "conversation.item.truncate", "item_id": "item_1", "audio_end_ms": 20},
        {"type": "conversation.item.delete", "item_id": "item_1"},
        {"type": "response.cancel"},
        {"type": "output_audio_buffer.clear"},
        {"type": "of.tomorrow", "session": {"voice": "coral"}},
        {"type": ["session.update"]},
        {"session": {"voice": "coral"}},
    ],
)
def test_S3_21_every_other_client_event_passes_unchanged(event):
    assert to_ga(event) is event


@pytest.mark.parametrize("session", [None, "loud", 3, []])
@pytest.mark.parametrize("name", ["session.update", "transcription_session.update"])
def test_a_session_that_is_not_an_object_is_left_for_the_engine_to_refuse(name, session):
    assert to_ga({"type": name, "session": session}) == {
        "type": "session.update",
        "session": session,
    }


KEYS = [
    *("type", "object", "audio", "input", "output", "format", "voice", "modalities"),
    *("output_modalities", "content", "role", "input_audio_format", "transcript"),
]
CLIENT_NAMES = [
    *("session.update", "transcription_session.update"),
    *("response.create", "conversation.item.create"),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a "é🙂', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("session", "response", "item", "part"), anything)
)


@given(st.sampled_from(CLIENT_NAMES), bodies)
def test_no_malformed_client_event_raises_or_is_changed_in_place(name, body):
    event = {"type": name, **body}
    before = copy.deepcopy(event)
    assert to_ga(event)["type"] == name.replace("transcription_session", "session")
    assert event == before


@given(st.sampled_from(sorted(REWRITTEN)), bodies)
def test_no_malformed_server_event_raises_or_is_changed_in_place(name, body):
    event = {"type": name, **body}
    before = copy.deepcopy(event)
    beta = to_beta(event)
    assert beta
    assert beta["type"].removeprefix("transcription_") == BETA_NAMES[name]
    assert beta_to_ga(beta) is not None
    assert event == before


@pytest.mark.parametrize(
    "event",
    [
        {"type": "of.tomorrow", "session": {"output_modalities": ["audio"]}},
        {"type": None},
        {"type": {}},
        {"event_id": "event_1"},
    ],
)
def test_an_unknown_server_event_passes_unchanged(event):
    assert beta_to_ga(event) is event
    assert to_beta(event) is event


def test_the_type_stays_first_on_the_wire():
    event = {"type": "conversation.item.added", "event_id": "event_1", "item": {"id": "item_1"}}
    assert msgspec.json.encode(to_beta(event)).startswith(b'{"type":"conversation.item.created"')


@pytest.mark.parametrize("output", [None, {}, "junk"])
def test_a_response_is_always_shown_with_a_list_of_outputs(output):
    shown = to_beta({"type": "response.created", "response": {"id": "r", "output": output}})
    assert shown is not None
    assert shown["response"]["output"] == []


PLACE = {"response_id": "resp_1", "item_id": "item_A1", "output_index": 0, "content_index": 0}
BEGUN = {"id": "item_A1", "type": "message", "role": "assistant", "status": "in_progress"}
TURN: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1", "output": []}},
    {"type": "response.output_item.added", "response_id": "resp_1", "item": BEGUN},
    {"type": "conversation.item.added", "previous_item_id": None, "item": BEGUN},
    {"type": "response.content_part.added", **PLACE, "part": {"type": "audio"}},
    {"type": "response.output_audio_transcript.delta", **PLACE, "delta": "Hi"},
    {"type": "response.output_audio.delta", **PLACE, "delta": "AAAA"},
    {"type": "response.output_audio_transcript.delta", **PLACE, "delta": " there!"},
    {"type": "conversation.item.done", "item": {**BEGUN, "status": "completed"}},
    {
        "type": "response.output_item.done",
        "response_id": "resp_1",
        "item": {**BEGUN, "status": "completed"},
    },
]


def test_S3_23_the_old_realtime_client_follows_a_turn_of_minimal_events():
    client = OldClient()
    for number, event in enumerate(TURN):
        if shown := to_beta({**event, "event_id": f"event_{number}"}):
            client.hear(shown)
    assert client.said() == ["Hi there!"]
    assert client.outputs == {"resp_1": ["item_A1"]}
    assert client.items["item_A1"]["status"] == "completed"


FRAME = '{"type":"response.output_audio.delta","event_id":"event_1","delta":"%s"}'
AUDIO_FRAME = (FRAME % ("A" * 16000)).encode()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_frame_is_renamed_in_any_bytes_like_type(kind):
    frame = kind(AUDIO_FRAME)
    renamed = rename(frame, "response.output_audio.delta")
    assert renamed == AUDIO_FRAME.replace(b"output_audio", b"audio", 1)
    assert type(renamed) is bytes
    assert frame == AUDIO_FRAME


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
@pytest.mark.parametrize("name", sorted(RENAMED))
def test_a_renamed_frame_equals_its_translated_event(name, separators):
    event = {"type": name, "event_id": "event_1", "delta": "response.output_audio.delta ü"}
    frame = json.dumps(event, ensure_ascii=False, separators=separators).encode()
    renamed = rename(frame, name)
    assert renamed is not None
    assert json.loads(renamed) == to_beta(event)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (b'{"event_id":"e","type":"response.output_audio.delta"}', "response.output_audio.delta"),
        (b'{ "type":"response.output_audio.delta"}', "response.output_audio.delta"),
        (b'{"type":"response.output_audio.deltas"}', "response.output_audio.delta"),
        (b'{"type":"response.output_aud', "response.output_audio.delta"),
        (b"", "response.output_audio.delta"),
        (b'{"type":"response.output_audio.done"}', "response.output_audio.delta"),
        (b'{"type":"conversation.item.added"}', "conversation.item.added"),
        (b'{"type":"error"}', "error"),
        (b'{"type":"of.tomorrow"}', "of.tomorrow"),
    ],
)
def test_a_frame_that_does_not_begin_with_its_type_must_be_parsed(frame, name):
    assert rename(frame, name) is None
