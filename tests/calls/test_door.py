"""What a door asks for in a call, under what the agent grants."""

from typing import Any

from relay.agents.agent import AgentDefaults, StaticCatalog, plain_agent
from relay.calls.door import CallDoor, CallSetup
from relay.interfaces import Admission, ConnectRequest
from relay.realtime.grant import Bounds, Caller, Grant

ADA = Caller("ada", "learner", 4_000_000_000.0)
REQUEST = ConnectRequest("/turns")


async def admitted(offer: Grant | None = None, **setup: Any) -> Admission:
    agent = plain_agent("default")
    if offer is not None:
        agent = type(agent)(offer)
    defaults = AgentDefaults("default", "gpt-realtime", StaticCatalog({"default": agent}))
    door = CallDoor("turns", ADA, CallSetup(**setup), defaults, {"model": "whisper-1"})
    return await door.admit(REQUEST, await door.authenticate(REQUEST))


async def test_the_session_listens_by_turns_and_is_transcribed() -> None:
    session = (await admitted()).first_update["session"]

    assert session["audio"]["input"]["turn_detection"] is None
    assert session["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    assert "instructions" not in session


async def test_context_follows_the_agents_instructions() -> None:
    offer = Grant(ADA, "default", instructions="Be kind.", bounds=Bounds(max_output_tokens=100))
    setup: Any = {"context": "Her name is Mia.", "max_output_tokens": 150}
    session = (await admitted(offer, **setup)).first_update["session"]

    assert session["instructions"] == "Be kind.\n\nHer name is Mia."
    assert session["max_output_tokens"] == 100
    alone = (await admitted(**setup)).first_update["session"]
    assert alone["instructions"] == "Her name is Mia."
    assert alone["max_output_tokens"] == 150


async def test_a_voice_is_the_agents_or_the_one_asked_for() -> None:
    assert (await admitted(voice="shimmer")).first_update["session"]["audio"]["output"] == {
        "voice": "shimmer"
    }
    offer = Grant(ADA, "default", voice="coral")
    assert (await admitted(offer, voice="shimmer")).first_update["session"]["audio"]["output"] == {
        "voice": "coral"
    }
