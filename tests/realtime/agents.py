"""Grants of agents that set, lock and hide things, for tests of the rules."""

from typing import Any

from relay.realtime.grant import Bounds, Caller, Grant, ServerTool

CALLER = Caller(sub="u1", role="learner", expires_at=2e9)
WHISPER = {"model": "gpt-realtime-whisper"}
LOOK = {
    "type": "function",
    "name": "look",
    "description": "Look at the page.",
    "parameters": {"type": "object", "properties": {}},
}
LOOKUP = ServerTool(
    name="lookup",
    description="Look up a learner.",
    parameters={"type": "object", "properties": {"id": {"type": "string"}}},
    url="https://crm.example.org/lookup",
    secret_env="CRM_KEY",
)
SECRET = "Be kind. The password is tulip."


def grant(**given: Any) -> Grant:
    """What an agent with these settings grants."""
    return Grant(caller=CALLER, agent_id="a1", **given)


OPEN = grant()
STRICT = grant(
    model="gpt-realtime-2.1",
    voice="sage",
    instructions=SECRET,
    tools=(LOOK,),
    server_tools=(LOOKUP,),
    output_modalities=("audio",),
    extra_locks=frozenset({"turn_detection"}),
    bounds=Bounds(max_output_tokens=1000),
)
