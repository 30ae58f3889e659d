"""What the engine is asked for first."""

from relay.realtime.first_update import openai_update, s3_update
from relay.realtime.grant import Caller, Grant

CALLER = Caller(sub="u1", role="learner", expires_at=2e9)
WHISPER = {"model": "gpt-realtime-whisper"}


def test_S3_19_the_s3_door_configures_the_whole_session_in_ga_form() -> None:
    update = s3_update(Grant(caller=CALLER, agent_id="a1"), WHISPER, "verse")
    assert update == {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": WHISPER,
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                    },
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "verse"},
            },
            "max_output_tokens": 4096,
        },
    }


def test_the_openai_door_asks_for_transcription_alone() -> None:
    assert openai_update(Grant(caller=CALLER, agent_id="a1"), WHISPER) == {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"transcription": WHISPER}}},
    }


def test_what_the_grant_locks_is_set_first() -> None:
    tool = {"type": "function", "name": "look"}
    grant = Grant(
        caller=CALLER, agent_id="a1", voice="sage", instructions="Be kind.", tools=(tool,)
    )
    session = openai_update(grant, WHISPER)["session"]
    assert session["instructions"] == "Be kind."
    assert session["tools"] == [tool]
    assert session["audio"]["output"] == {"voice": "sage"}
    assert s3_update(grant, WHISPER, "alloy")["session"]["audio"]["output"]["voice"] == "sage"
