"""The first `session.update` of a session: what the relay asks of the engine at each door."""

from typing import Any

from relay.realtime.events import Event
from relay.realtime.grant import Grant

PCM: dict[str, Any] = {"type": "audio/pcm", "rate": 24000}
_S3_TURNS: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}
_S3_OUTPUT_TOKENS = 4096


def openai_update(grant: Grant, transcription: dict[str, Any]) -> Event:
    """Only what the grant locks, and input transcription (OUTSIDE, "First session.update")."""
    session: dict[str, Any] = {
        "type": "realtime",
        "audio": {"input": {"transcription": transcription}},
    }
    if grant.voice is not None:
        session["audio"]["output"] = {"voice": grant.voice}
    return {"type": "session.update", "session": {**session, **_locked(grant)}}


def s3_update(grant: Grant, transcription: dict[str, Any], voice: str) -> Event:
    """The whole session as S3 configured it, in GA form (S3-19)."""
    session = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {"format": PCM, "transcription": transcription, "turn_detection": _S3_TURNS},
            "output": {"format": PCM, "voice": grant.voice or voice},
        },
        "max_output_tokens": _S3_OUTPUT_TOKENS,
    }
    return {"type": "session.update", "session": {**session, **_locked(grant)}}


def _locked(grant: Grant) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if grant.instructions is not None:
        fields["instructions"] = grant.instructions
    if grant.tools is not None:
        fields["tools"] = list(grant.tools)
    return fields
