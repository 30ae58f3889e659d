"""A tool that the model calls and the relay carries out: the client sees an answer and no call."""

import json
from pathlib import Path

import pytest

from relay.agents.config import load_agents
from relay.app import running
from relay.config import Loaded
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, Reply
from relay.parts.simple import Script, scripted_parts
from relay.simulator import SimulatorOptions, simulate
from relay.tools.call import ToolContext, ToolMisconfigured
from tests.scenarios.stage import Stage, loaded

AGENTS = """
[agents.tutor]
[agents.tutor.server_tools.progress]
description = "Looks up what this learner has read."
parameters = { type = "object", properties = { page = { type = "integer" } } }
entry_point = "tests.scenarios.test_server_tools:progress"
"""
SCRIPT = Script(
    heard=("How far am I?",),
    replies=(Reply((FunctionCall("progress", {"page": 7}),)), "You are at: {heard}"),
)
ASKED: list[object] = []


def progress(arguments: dict[str, object], context: ToolContext) -> dict[str, object]:
    """What the agent's tool runs."""
    ASKED.append((arguments["page"], context.user))
    return {"chapter": 3}


def with_agents(folder: Path, text: str, **settings: object) -> Loaded:
    file = folder / "agents.toml"
    file.write_text(text)
    plain = loaded(folder, **settings)
    return Loaded(plain.settings, pages=False, agents=load_agents(file))


async def test_the_model_gets_its_answer_and_the_client_sees_no_call(tmp_path: Path) -> None:
    options = SimulatorOptions(parts=scripted_parts(SCRIPT), pace=Pace(burst=50))
    async with await simulate(options) as simulator:
        settings = {
            "relay_engine": "openai",
            "openai_api_key": "sk-simulated-provider-key",
            "openai_base_url": simulator.base_url,
        }
        async with running(with_agents(tmp_path, AGENTS, **settings)) as app:
            here = Stage(app, simulator, tmp_path)
            async with here.openai_client("?agent_id=tutor") as line:
                await line.until("session.created")
                await line.speak()
                await line.until("response.output_audio_transcript.done")
                await line.until("response.done")
    seen = json.dumps(line.events)
    assert ASKED == [(7, "ada")]
    assert "chapter" in line.events[-1]["response"]["output"][0]["content"][0]["transcript"]
    assert line.types.count("response.done") == 1
    assert "function_call" not in seen
    assert '"progress"' not in seen


async def test_a_tool_that_could_never_run_is_a_mistake_at_the_start(tmp_path: Path) -> None:
    wrong = AGENTS.replace(":progress", ":nothing_of_that_name")
    with pytest.raises(ToolMisconfigured, match="progress"):
        async with running(with_agents(tmp_path, wrong)):
            pass
