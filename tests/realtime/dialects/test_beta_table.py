"""S3-23: every GA server event and its beta translation."""

import copy
import typing
from typing import Any

import pytest
from openai.types.beta.realtime.realtime_server_event import RealtimeServerEvent as BetaEvent
from openai.types.realtime.realtime_server_event import RealtimeServerEvent as GaEvent
from pydantic import TypeAdapter

from relay.realtime.dialects.beta import (
    BETA_NAMES,
    DROPPED,
    RENAMED,
    REWRITTEN,
    TRANSCRIPTION_NAMES,
    beta_to_ga,
    to_beta,
)

# Events that came with GA. A beta client is shown them under their own names, as OpenAI's own beta
# endpoint showed what was new to it.
NEW_WITH_GA = {
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.timeout_triggered",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "mcp_list_tools.in_progress",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
}

PCM = {"type": "audio/pcm", "rate": 24000}
USER = {
    "id": "item_U1",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_audio", "transcript": None}],
}
BEGUN = {
    "id": "item_A1",
    "type": "message",
    "status": "in_progress",
    "role": "assistant",
    "content": [],
}
SAID = {
    **BEGUN,
    "status": "completed",
    "content": [{"type": "output_audio", "transcript": "Hi there!"}],
}
BETA_SAID = {
    **SAID,
    "object": "realtime.item",
    "content": [{"type": "audio", "transcript": "Hi there!"}],
}
PLACE = {"response_id": "resp_1", "item_id": "item_A1", "output_index": 0, "content_index": 0}
CALL = {"response_id": "resp_1", "item_id": "item_F1", "output_index": 1, "call_id": "call_1"}
GA_SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "expires_at": 1785217650,
    "audio": {
        "input": {"format": PCM, "transcription": None, "turn_detection": {"type": "server_vad"}},
        "output": {"format": PCM, "voice": "alloy", "speed": 1.0},
    },
}
BETA_SESSION = {
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime",
    "modalities": ["audio", "text"],
    "max_response_output_tokens": "inf",
    "expires_at": 1785217650,
    "temperature": 0.8,
    "input_audio_format": "pcm16",
    "input_audio_transcription": None,
    "turn_detection": {"type": "server_vad"},
    "output_audio_format": "pcm16",
    "voice": "alloy",
    "speed": 1.0,
}
GA_RESPONSE = {
    "object": "realtime.response",
    "id": "resp_1",
    "status": "in_progress",
    "status_details": None,
    "output": [],
    "conversation_id": "conv_1",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {"output": {"format": PCM, "voice": "alloy"}},
    "usage": None,
    "metadata": {"of": "client"},
}
BETA_RESPONSE = {
    "object": "realtime.response",
    "id": "resp_1",
    "status": "in_progress",
    "status_details": None,
    "output": [],
    "conversation_id": "conv_1",
    "modalities": ["audio", "text"],
    "max_output_tokens": "inf",
    "voice": "alloy",
    "output_audio_format": "pcm16",
    "temperature": 0.8,
    "usage": None,
    "metadata": {"of": "client"},
}
FAILED = {"type": "server_error", "code": "x", "message": "No", "param": None}
USAGE = {"total_tokens": 2, "input_tokens": 1, "output_tokens": 1}


def event(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": name, "event_id": "event_1", **fields}


def same(name: str, /, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return event(name, **fields), event(name, **fields)


ASR = "conversation.item.input_audio_transcription"
HEARD = {"item_id": "item_U1", "content_index": 0}
ROWS: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    (event("session.created", session=GA_SESSION), event("session.created", session=BETA_SESSION)),
    (event("session.updated", session=GA_SESSION), event("session.updated", session=BETA_SESSION)),
    (event("conversation.created", conversation={"id": "conv_1"}), None),
    (
        event("conversation.item.added", previous_item_id="item_U1", item=BEGUN),
        event(
            "conversation.item.created",
            previous_item_id="item_U1",
            item={**BEGUN, "object": "realtime.item"},
        ),
    ),
    (
        event("conversation.item.created", previous_item_id=None, item=USER),
        event(
            "conversation.item.created",
            previous_item_id=None,
            item={**USER, "object": "realtime.item"},
        ),
    ),
    (event("conversation.item.done", previous_item_id=None, item=SAID), None),
    (
        event("conversation.item.retrieved", item=SAID),
        event("conversation.item.retrieved", item=BETA_SAID),
    ),
    same("conversation.item.truncated", item_id="item_A1", content_index=0, audio_end_ms=1860),
    same("conversation.item.deleted", item_id="item_A1"),
    same(f"{ASR}.delta", **HEARD, delta=" Hello", obfuscation="sOu3"),
    same(f"{ASR}.completed", **HEARD, transcript="Hello", usage={"type": "duration", "seconds": 3}),
    same(f"{ASR}.failed", **HEARD, error=FAILED),
    same(f"{ASR}.segment", **HEARD, id="seg_1", text="Hello", speaker="A", start=0.0, end=1.5),
    same("input_audio_buffer.speech_started", item_id="item_U1", audio_start_ms=300),
    same("input_audio_buffer.speech_stopped", item_id="item_U1", audio_end_ms=1800),
    same("input_audio_buffer.committed", item_id="item_U1", previous_item_id=None),
    same("input_audio_buffer.cleared"),
    same("input_audio_buffer.timeout_triggered", item_id="i", audio_start_ms=0, audio_end_ms=9),
    same("input_audio_buffer.dtmf_event_received", event="5", received_at=1785217650),
    (
        event("response.created", response=GA_RESPONSE),
        event("response.created", response=BETA_RESPONSE),
    ),
    (
        event("response.output_item.added", response_id="resp_1", output_index=0, item=BEGUN),
        event(
            "response.output_item.added",
            response_id="resp_1",
            output_index=0,
            item={**BEGUN, "object": "realtime.item"},
        ),
    ),
    (
        event("response.output_item.done", response_id="resp_1", output_index=0, item=SAID),
        event("response.output_item.done", response_id="resp_1", output_index=0, item=BETA_SAID),
    ),
    (
        event("response.content_part.added", **PLACE, part={"type": "audio"}),
        event("response.content_part.added", **PLACE, part={"type": "audio", "transcript": ""}),
    ),
    same("response.content_part.done", **PLACE, part={"type": "audio", "transcript": "Hi there!"}),
    (
        event("response.output_audio.delta", **PLACE, delta="AAAA"),
        event("response.audio.delta", **PLACE, delta="AAAA"),
    ),
    (event("response.output_audio.done", **PLACE), event("response.audio.done", **PLACE)),
    (
        event("response.output_audio_transcript.delta", **PLACE, delta="Hi", obfuscation="x"),
        event("response.audio_transcript.delta", **PLACE, delta="Hi", obfuscation="x"),
    ),
    (
        event("response.output_audio_transcript.done", **PLACE, transcript="Hi there!"),
        event("response.audio_transcript.done", **PLACE, transcript="Hi there!"),
    ),
    (
        event("response.output_text.delta", **PLACE, delta="Hi"),
        event("response.text.delta", **PLACE, delta="Hi"),
    ),
    (
        event("response.output_text.done", **PLACE, text="Hi there!"),
        event("response.text.done", **PLACE, text="Hi there!"),
    ),
    same("response.function_call_arguments.delta", **CALL, delta="{", obfuscation="x"),
    same("response.function_call_arguments.done", **CALL, name="clock", arguments="{}"),
    same("response.mcp_call_arguments.delta", **CALL, delta="{"),
    same("response.mcp_call_arguments.done", **CALL, arguments="{}"),
    same("response.mcp_call.in_progress", item_id="item_M1", output_index=0),
    same("response.mcp_call.completed", item_id="item_M1", output_index=0),
    same("response.mcp_call.failed", item_id="item_M1", output_index=0),
    same("mcp_list_tools.in_progress", item_id="item_M1"),
    same("mcp_list_tools.completed", item_id="item_M1"),
    same("mcp_list_tools.failed", item_id="item_M1"),
    (
        event(
            "response.done",
            response={**GA_RESPONSE, "status": "completed", "output": [SAID], "usage": USAGE},
        ),
        event(
            "response.done",
            response={
                **BETA_RESPONSE,
                "status": "completed",
                "output": [BETA_SAID],
                "usage": USAGE,
            },
        ),
    ),
    same("rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 9, "remaining": 8}]),
    same("output_audio_buffer.started", response_id="resp_1"),
    same("output_audio_buffer.stopped", response_id="resp_1"),
    same("output_audio_buffer.cleared", response_id="resp_1"),
    same("error", error={**FAILED, "event_id": None}),
]
NAMES = [ga["type"] for ga, _ in ROWS]


def names_in(union: Any) -> set[str]:
    models = typing.get_args(typing.get_args(union)[0])
    return {typing.get_args(model.model_fields["type"].annotation)[0] for model in models}


@pytest.mark.parametrize(("ga", "beta"), ROWS, ids=NAMES)
def test_S3_23_a_beta_client_sees(ga, beta):
    """S3-23, and S3-26 in its row `conversation.created`: upstream's own is not shown."""
    before = copy.deepcopy(ga)
    assert to_beta(ga) == beta
    assert ga == before


@pytest.mark.parametrize(
    "beta", [b for _, b in ROWS if b and b["type"] not in NEW_WITH_GA], ids=lambda b: b["type"]
)
def test_S3_23_every_translated_event_is_valid_in_the_beta_sdk(beta):
    TypeAdapter(BetaEvent).validate_python(beta)


@pytest.mark.parametrize(
    ("ga", "beta"),
    [(ga, b) for ga, b in ROWS if b and ga["type"] != "conversation.item.created"],
    ids=[ga["type"] for ga, b in ROWS if b and ga["type"] != "conversation.item.created"],
)
def test_a_beta_log_is_translated_to_ga(ga, beta):
    """`object` and an empty transcript stay: GA allows both."""
    before = copy.deepcopy(beta)
    again = beta_to_ga(beta)
    assert again["type"] == ga["type"]
    assert to_beta(again) == beta == before
    TypeAdapter(GaEvent).validate_python({"event_id": "event_1", **again})


def test_the_rows_name_every_event_of_the_ga_sdk_once():
    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) == set(BETA_NAMES) == names_in(GaEvent)


def test_the_public_names_agree_with_the_rows():
    assert {ga["type"]: beta and beta["type"] for ga, beta in ROWS} == dict(BETA_NAMES)


def test_every_name_that_a_beta_client_is_sent_is_beta_or_new_with_ga():
    shown = {name for name in BETA_NAMES.values() if name}
    assert shown - names_in(BetaEvent) == NEW_WITH_GA


def test_rewritten_renamed_and_dropped_events_are_disjoint():
    assert {ga for ga, beta in BETA_NAMES.items() if beta is None} == DROPPED
    assert {ga for ga, beta in BETA_NAMES.items() if beta not in (ga, None)} == RENAMED | {
        "conversation.item.added"
    }
    assert len(DROPPED | RENAMED | REWRITTEN) == len(DROPPED) + len(RENAMED) + len(REWRITTEN)
    passes = set(BETA_NAMES) - DROPPED - RENAMED - REWRITTEN
    untouched = {ga["type"] for ga, _ in ROWS if to_beta(ga) is ga}
    assert untouched == passes


@pytest.mark.parametrize(("ga_name", "beta_name"), TRANSCRIPTION_NAMES.items())
def test_a_transcription_session_has_its_own_event_names(ga_name, beta_name):
    ga = event(
        ga_name,
        session={
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": "sess_1",
            "audio": {"input": {"format": PCM, "transcription": {"model": "whisper-1"}}},
        },
    )
    beta = event(
        beta_name,
        session={
            "object": "realtime.transcription_session",
            "id": "sess_1",
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1"},
        },
    )
    assert to_beta(ga) == beta
    assert beta_to_ga(beta) == ga
