"""S3-23 on recorded sessions: GA ones translated to beta, beta ones to GA and back."""

import copy
import json
from typing import Any

import pytest

from relay.realtime.dialects.beta import BETA_NAMES, beta_to_ga, to_beta, to_ga
from tests.realtime.old_client import OldClient
from tests.recordings import RECORDINGS, needs_recordings

pytestmark = needs_recordings

GA = [
    "ga01_openai_server_vad_turn",
    "ga03_openai_history_seeding_text",
    "ga04_openai_text_in_audio_out",
    "ga05_openai_tool_call_round",
    "ga06_openai_webrtc_sideband_audio",
    "ga09_azure_transcription_failed",
    "ga16_openai_parity_tool_round_current",
]
BETA = [
    "b02_banyan_webrtc_playback_truncation",
    "b03_semantic_kernel_adr_webrtc_barge_in",
    "b05_community_transcription_session_prompt_echo",
]
GA_WORDS = {"output_audio", "output_text", "output_modalities", "max_output_tokens", "audio/pcm"}
SAID = {
    "ga01_openai_server_vad_turn": [
        "Hello, my name is Marcelo.",
        "Hello, Marcelo! Great to meet you. How can I help you today?",
    ],
    "ga04_openai_text_in_audio_out": ["Say a short greeting.", "Hi there!"],
    "ga06_openai_webrtc_sideband_audio": ["Say hello.", "Hello there."],
    "ga05_openai_tool_call_round": [
        "What is the weather in London?",
        "It is foggy and 12 degrees in London.",
    ],
}


def events_of(name: str, direction: str) -> list[dict[str, Any]]:
    path = RECORDINGS / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["event"] for row in rows if row["dir"] == direction]


def words(value: Any) -> set[str]:
    """Collect every field name and every `type` in an event."""
    if isinstance(value, list):
        return set().union(*map(words, value))
    if not isinstance(value, dict):
        return set()
    named = {value["type"]} if isinstance(value.get("type"), str) else set()
    return named.union(value, *map(words, value.values()))


def shown(name: str) -> list[dict[str, Any]]:
    return [beta for event in events_of(name, "s2c") if (beta := to_beta(event))]


@pytest.mark.parametrize("name", GA)
def test_S3_23_a_recorded_ga_session_becomes_pure_beta(name):
    for event in events_of(name, "s2c"):
        before = copy.deepcopy(event)
        beta = to_beta(event)
        assert event == before
        if beta is None:
            assert event["type"] == "conversation.item.done"
            continue
        assert beta["type"] == BETA_NAMES[event["type"]]
        if event["type"] not in ("response.created", "response.done"):
            assert not words(beta) & GA_WORDS
        else:  # a beta response, unlike a beta session, has its tokens under GA's name
            assert words(beta) & GA_WORDS == {"max_output_tokens"}


@pytest.mark.parametrize("name", GA)
def test_S3_23_the_old_realtime_client_follows_a_recorded_session(name):
    client = OldClient()
    for event in shown(name):
        client.hear(event)
    if name in SAID:
        assert client.said() == SAID[name]
    assert any(client.outputs.values())


@pytest.mark.parametrize("name", GA)
def test_a_recorded_ga_clients_events_are_not_changed(name):
    for event in events_of(name, "c2s"):
        assert to_ga(event) == event


@pytest.mark.parametrize("name", BETA)
def test_a_recorded_beta_session_is_translated_to_ga_and_back(name):
    for event in events_of(name, "s2c"):
        before = copy.deepcopy(event)
        ga = beta_to_ga(event)
        assert event == before
        assert ga["type"] in BETA_NAMES
        assert ga["type"] != "conversation.item.created"
        event.get("session", {}).pop("client_secret", None)
        assert to_beta(ga) == event


def test_S3_25_a_recorded_beta_clients_updates_lose_only_the_temperature():
    (sent,) = [e for e in events_of(BETA[0], "c2s") if e["type"] == "session.update"]
    session = to_ga(sent)["session"]
    assert session["type"] == "realtime"
    assert session["output_modalities"] == ["audio"]
    assert session["instructions"] == sent["session"]["instructions"]
    assert session["tools"] == sent["session"]["tools"]
    assert session["audio"] == {
        "input": {
            "transcription": sent["session"]["input_audio_transcription"],
            "turn_detection": sent["session"]["turn_detection"],
        },
        "output": {"voice": "coral"},
    }
    assert not set(session) & set(sent["session"]) - {"instructions", "tools"}


def test_a_recorded_transcription_clients_update_is_translated():
    (sent,) = events_of(BETA[2], "c2s")
    assert to_ga(sent)["type"] == "session.update"
    assert to_ga(sent)["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": sent["session"]["input_audio_transcription"],
                "noise_reduction": {"type": "near_field"},
                "turn_detection": sent["session"]["turn_detection"],
            }
        },
    }
