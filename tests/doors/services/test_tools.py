"""The agent's server-side tools: the model calls them, and the caller sees which."""

from dataclasses import replace

from relay.agents.agent import Agent, AgentDefaults, StaticCatalog
from relay.parts.interfaces import FunctionCall, Reply, ReplyRequest
from relay.realtime.effects import ToolCall
from relay.realtime.grant import Bounds, Caller, Grant, ServerTool
from tests.doors.services.stage import CONFIG, Setting, scripted, services
from tests.doors.services.test_answers import Mind
from tests.golden.shapes import golden

NOBODY = Caller("", "learner", 0)
WEATHER = ServerTool("weather", "Tells the weather.", {"type": "object"}, url="http://127.0.0.1")
CALLS = Reply((FunctionCall("weather", {"city": "Oslo"}), FunctionCall("unknown")))


def with_agent(grant: Grant) -> AgentDefaults:
    return AgentDefaults("tutor", "none", StaticCatalog({"tutor": Agent(grant)}))


async def test_S4_37_tools_are_called_and_told_with_name_success_and_result() -> None:
    async def run(call: ToolCall) -> str:
        assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')
        return '{"rain":true}'

    setting = Setting(
        parts=scripted(CALLS, "It rains."),
        defaults=with_agent(Grant(NOBODY, "tutor", server_tools=(WEATHER,))),
        make_tools=lambda *_: run,
    )
    async with services(setting) as stage:
        answered = await stage.post("/ai/generate", {"text": "Weather?", "config": CONFIG})

    assert answered.body["text"] == "It rains."
    weather, unknown = answered.body["tools"]
    golden("services", "tool", weather)
    assert weather == {"name": "weather", "success": True, "result": '{"rain":true}'}
    assert (unknown["name"], unknown["success"]) == ("unknown", False)


async def test_a_model_that_calls_tools_for_ever_is_stopped() -> None:
    called = []

    async def run(call: ToolCall) -> str:
        called.append(call)
        return "{}"

    setting = Setting(
        parts=scripted(Reply((FunctionCall("weather"),))),
        defaults=with_agent(Grant(NOBODY, "tutor", server_tools=(WEATHER,))),
        make_tools=lambda *_: run,
    )
    async with services(setting) as stage:
        answered = await stage.post("/ai/generate", {"text": "Weather?", "config": CONFIG})

    assert answered.status == 200
    assert len(called) == 4


async def test_what_the_agent_locks_is_not_the_callers() -> None:
    mind = Mind()
    bounds = Bounds(max_output_tokens=9)
    grant = Grant(NOBODY, "tutor", model="fixed", instructions="Own.", bounds=bounds)
    setting = Setting(
        parts=replace(scripted(), make_responder=lambda: mind), defaults=with_agent(grant)
    )
    config = {"system_prompt": "Mine.", "model": "dear", "max_tokens": 4000}
    async with services(setting) as stage:
        await stage.post("/ai/generate", {"text": "Hello", "config": config})

    asked: ReplyRequest = mind.asked[0]
    assert (asked.instructions, asked.model, asked.max_tokens) == ("Own.", None, 9)


async def test_S4_37_an_answer_may_be_kept_for_who_asks_for_that_alone() -> None:
    mind = Mind()
    parts = replace(scripted(), make_responder=lambda: mind)
    kept = {"text": "Hello", "config": {**CONFIG, "cache": True}}
    async with services(Setting(parts=parts)) as stage:
        first = await stage.post("/ai/generate", kept)
        second = await stage.post("/ai/generate", kept)
        await stage.post("/ai/generate", kept, token="bob")
        await stage.post("/ai/generate", {"text": "Hello", "config": CONFIG})

    assert first.body["text"] == second.body["text"] == "You said: Hello"
    assert len(mind.asked) == 3
