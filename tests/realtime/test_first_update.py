"""What the engine is asked for first."""

from relay.realtime.grant import Bounds, Caller, Grant
from relay.realtime.opening import browser_session_update, greeting, openai_session_update
from tests.realtime.agents import LOOK, LOOKUP, STRICT, grant

CALLER = Caller(sub="u1", role="learner", expires_at=2e9)
WHISPER = {"model": "gpt-realtime-whisper"}


def test_S3_19_the_s3_door_configures_the_whole_session_in_ga_form() -> None:
    update = browser_session_update(Grant(caller=CALLER, agent_id="a1"), WHISPER, "verse")
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
    assert openai_session_update(Grant(caller=CALLER, agent_id="a1"), WHISPER) == {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"transcription": WHISPER}}},
    }


def test_what_the_grant_locks_is_set_first() -> None:
    tool = {"type": "function", "name": "look"}
    grant = Grant(
        caller=CALLER, agent_id="a1", voice="sage", instructions="Be kind.", tools=(tool,)
    )
    session = openai_session_update(grant, WHISPER)["session"]
    assert session["instructions"] == "Be kind."
    assert session["tools"] == [tool]
    assert session["audio"]["output"] == {"voice": "sage"}
    assert (
        browser_session_update(grant, WHISPER, "alloy")["session"]["audio"]["output"]["voice"]
        == "sage"
    )


def test_S3_88_instructions_and_tools_of_the_agent_are_applied_at_both_doors() -> None:
    for update in (
        openai_session_update(STRICT, WHISPER),
        browser_session_update(STRICT, WHISPER, "verse"),
    ):
        session = update["session"]
        assert session["instructions"] == STRICT.instructions
        assert session["tools"] == [LOOK, LOOKUP.definition]
        assert session["audio"]["output"]["voice"] == "sage"
        assert session["output_modalities"] == ["audio"]
        assert session["max_output_tokens"] == 1000


def test_S3_88_what_the_agent_does_not_set_is_as_the_door_has_it() -> None:
    session = browser_session_update(grant(instructions="Be kind."), WHISPER, "verse")["session"]
    assert session["audio"]["output"]["voice"] == "verse"
    assert session["max_output_tokens"] == 4096
    assert "tools" not in session
    assert "instructions" not in openai_session_update(grant(tools=()), WHISPER)["session"]
    assert openai_session_update(grant(tools=()), WHISPER)["session"]["tools"] == []
    written = grant(output_modalities=("text",), bounds=Bounds(max_output_tokens=8))
    assert browser_session_update(written, WHISPER, "verse")["session"]["output_modalities"] == [
        "text"
    ]


def test_server_tools_are_told_where_no_other_tools_are_set() -> None:
    session = openai_session_update(grant(server_tools=(LOOKUP,)), WHISPER)["session"]
    assert session["tools"] == [LOOKUP.definition]


def test_a_default_voice_yields_to_the_one_asked_for() -> None:
    half = grant(voice="sage", open=frozenset({"voice"}))
    assert (
        browser_session_update(half, WHISPER, "verse")["session"]["audio"]["output"]["voice"]
        == "verse"
    )
    assert openai_session_update(half, WHISPER)["session"]["audio"]["output"] == {"voice": "sage"}


def test_a_greeting_is_spoken_first_with_the_agents_instructions() -> None:
    assert greeting(grant()) is None
    asked = greeting(grant(greeting="Good morning!", instructions="Be kind."))
    assert asked is not None
    assert asked["type"] == "response.create"
    assert asked["response"]["instructions"].startswith("Be kind.\n\n")
    assert asked["response"]["instructions"].endswith("Good morning!")
    assert asked["response"]["tool_choice"] == "none", "it speaks, whatever tools there are"
    alone = greeting(grant(greeting="Good morning!"))
    assert alone is not None
    assert alone["response"]["instructions"].startswith("Begin the conversation now.")


def test_a_conversation_that_goes_on_is_not_greeted_again() -> None:
    assert greeting(grant(greeting="Good morning!", conversation_id="c1")) is None
