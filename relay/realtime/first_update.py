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
    """Only what the grant sets, and input transcription (OUTSIDE, "First session.update")."""
    session: dict[str, Any] = {
        "type": "realtime",
        "audio": {"input": {"transcription": transcription}},
    }
    if grant.voice is not None:
        session["audio"]["output"] = {"voice": grant.voice}
    return {"type": "session.update", "session": {**session, **_granted(grant)}}


def s3_update(grant: Grant, transcription: dict[str, Any], voice: str) -> Event:
    """The whole session as S3 configured it, in GA form, and over it what the grant sets.

    `voice` counts where the grant leaves the voice open (S3-19, S3-88).
    """
    session = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {"format": PCM, "transcription": transcription, "turn_detection": _S3_TURNS},
            "output": {"format": PCM, "voice": settled_voice(grant, voice)},
        },
        "max_output_tokens": _S3_OUTPUT_TOKENS,
    }
    return {"type": "session.update", "session": {**session, **_granted(grant)}}


def settled_voice(grant: Grant, asked: str) -> str:
    """The voice a session begins with: the server's where it is locked, else the one asked for."""
    return grant.voice if grant.voice is not None and "voice" in grant.locked else asked


def greeting(grant: Grant) -> Event | None:
    """The `response.create` by which the model speaks first, None where nobody asked for that.

    A conversation that is continued was greeted already. The instructions of one response replace
    the session's, so the agent's own stand before the greeting's.
    """
    if grant.greeting is None or grant.conversation_id is not None:
        return None
    begin = f"Begin the conversation now. Say exactly this, and nothing else: {grant.greeting}"
    told = begin if grant.instructions is None else f"{grant.instructions}\n\n{begin}"
    return {"type": "response.create", "response": {"instructions": told, "tool_choice": "none"}}


def _granted(grant: Grant) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if grant.instructions is not None:
        fields["instructions"] = grant.instructions
    if grant.tools is not None or grant.server_tools:
        own = list(grant.tools or ())
        fields["tools"] = own + [tool.definition for tool in grant.server_tools]
    if grant.output_modalities is not None:
        fields["output_modalities"] = list(grant.output_modalities)
    if grant.bounds.max_output_tokens is not None:
        fields["max_output_tokens"] = grant.bounds.max_output_tokens
    return fields
