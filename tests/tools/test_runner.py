"""Tests of preparing tools at the start and of running a session's calls."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from relay.agents.agent import OpenCatalog, StaticCatalog, plain_agent
from relay.knowledge.bases import KnowledgeBases
from relay.realtime.effects import ToolCall
from relay.realtime.grant import ServerTool
from relay.tools.call import ToolContext, ToolMisconfigured
from relay.tools.http_tool import http_session
from relay.tools.runner import MAX_AT_ONCE, SessionToolRunner, ToolRegistry, tool_runners
from tests.realtime.tool_call import WEATHER, Call, server_call
from tests.tools import example_tools
from tests.tools.server import serve

SECRET = "sk-of-the-tool"
NO_KNOWLEDGE = KnowledgeBases(Path("/nowhere/knowledge.db"))
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def local(name: str, **more: Any) -> ServerTool:
    entry_point = f"tests.tools.example_tools:{name}"
    return ServerTool(name, "", NO_PARAMETERS, entry_point=entry_point, **more)


def remote(name: str, url: str, **more: Any) -> ServerTool:
    return ServerTool(name, "", NO_PARAMETERS, url=url, secret_env="TOOL_KEY", **more)


def context(user: str = "ada") -> ToolContext:
    return ToolContext(user=user, agent="coach", conversation=f"conv_{user}", session=f"s_{user}")


def asked(name: str, arguments: str = "{}", call_id: str = "call_1") -> ToolCall:
    return ToolCall(call_id, "item_1", name, arguments)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_session() as session:
        yield session


@pytest.fixture
def registry(http: aiohttp.ClientSession) -> ToolRegistry:
    return ToolRegistry(http, {"TOOL_KEY": SECRET}, NO_KNOWLEDGE)


def code(output: str) -> str:
    return str(json.loads(output)["error"]["code"])


# --------------------------------------------------------------------------------- at the start


def test_tools_are_prepared_by_name(registry: ToolRegistry) -> None:
    tools = [local("weather"), remote("maps", "https://maps.example/tool", timeout_s=3.0)]
    prepared = registry.prepare(tools)
    assert prepared.keys() == {"weather", "maps"}
    assert prepared["maps"].timeout_s == 3.0


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (local("wether"), "server_tools.wether: entry_point 'tests.tools.example_tools:wether'"),
        (remote("maps", "https://m.example"), "server_tools.maps: TOOL_KEY is not set"),
    ],
)
async def test_a_mistake_is_reported_with_the_tools_name(
    http: aiohttp.ClientSession, tool: ServerTool, says: str
) -> None:
    with pytest.raises(ToolMisconfigured) as wrong:
        ToolRegistry(http, {}, NO_KNOWLEDGE).prepare([tool])
    assert says in str(wrong.value)


@pytest.mark.parametrize("secret", ["two\r\nlines", "schlüssel"])
async def test_a_secret_that_no_header_can_carry_is_refused_without_quoting_it(
    http: aiohttp.ClientSession, secret: str
) -> None:
    with pytest.raises(ToolMisconfigured) as wrong:
        ToolRegistry(http, {"TOOL_KEY": secret}, NO_KNOWLEDGE).prepare(
            [remote("maps", "https://m.example")]
        )
    assert secret not in str(wrong.value)


# ------------------------------------------------------------------------------------- one call


async def test_a_tool_is_called_with_the_callers_context(registry: ToolRegistry) -> None:
    runner = registry.runner([local("weather_later")], context("ada"))
    output = await runner.run(asked("weather_later", '{"city":"London"}'))
    assert output == "It is foggy in London, ada."


@pytest.mark.parametrize(
    ("name", "arguments", "failure"),
    [
        ("breaks", "{}", "failed"),
        ("breaks_later", "{}", "failed"),
        ("leaves", "{}", "failed"),
        ("leaves_later", "{}", "failed"),
        ("waits_for_what_was_cancelled", "{}", "failed"),
        ("times_out", "{}", "timeout"),
        ("hangs_later", "{}", "timeout"),
        ("weather", "{", "bad_arguments"),
        ("weather", "[]", "bad_arguments"),
        ("weather", "{}", "failed"),
        ("long", '{"length": 2000}', "too_big"),
        ("not_granted", "{}", "not_there"),
    ],
)
async def test_a_failure_is_returned_to_the_model_and_ends_nothing(
    registry: ToolRegistry, name: str, arguments: str, failure: str
) -> None:
    names = {name, "weather_later"} - {"not_granted"}
    tools = [local(name, timeout_s=0.05, max_bytes=1000) for name in names]
    runner = registry.runner(tools, context())
    with structlog.testing.capture_logs() as logs:
        output = await runner.run(asked(name, arguments))
    assert code(output) == failure
    assert logs[0]["outcome"] == failure
    for told in (output, str(logs)):
        assert "sk-secret" not in told
        assert "database" not in told
    assert "foggy" in await runner.run(asked("weather_later", '{"city":"Rome"}'))


async def test_a_hanging_thread_times_out(registry: ToolRegistry) -> None:
    example_tools.released.clear()
    runner = registry.runner([local("hangs", timeout_s=0.05)], context())
    try:
        assert code(await runner.run(asked("hangs"))) == "timeout"
    finally:
        example_tools.released.set()


async def test_an_ended_session_cancels_its_calls(registry: ToolRegistry) -> None:
    runner = registry.runner([local("hangs_later")], context())
    task = asyncio.create_task(runner.run(asked("hangs_later")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_secret_address_or_spoken_word_is_logged(registry: ToolRegistry) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500, text="It rains in Ulm")

    async with serve(answer) as server:
        runner = registry.runner([remote("maps", server.url)], context())
        with structlog.testing.capture_logs() as logs:
            await runner.run(asked("maps", '{"city":"Ulm"}'))
            await runner.run(asked("no_such_tool_in_Ulm"))
        assert [(log["tool"], log["outcome"]) for log in logs] == [
            ("maps", "http_error"),
            ("unknown", "not_there"),
        ]
        for word in (SECRET, server.url, "127.0.0.1", "Ulm", "conv_ada"):
            assert word not in str(logs)


# --------------------------------------------------------------------------------- many at once


class Turnstile:
    """An endpoint that counts its requests under way and holds them until there are `wanted`."""

    def __init__(self, wanted: int) -> None:
        self.inside = self.most = 0
        self._wanted = wanted
        self._open = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside >= self._wanted:
            self._open.set()
        await self._open.wait()
        self.inside -= 1
        call = await request.json()
        return web.json_response([call["user"], call["conversation"], call["arguments"]["n"]])


async def test_a_session_runs_a_limited_number_of_calls_at_a_time(registry: ToolRegistry) -> None:
    turnstile = Turnstile(MAX_AT_ONCE)
    async with serve(turnstile) as server:
        runner = registry.runner([remote("maps", server.url)], context())
        async with asyncio.TaskGroup() as group:
            for n in range(3 * MAX_AT_ONCE):
                group.create_task(runner.run(asked("maps", f'{{"n":{n}}}')))
    assert turnstile.most == MAX_AT_ONCE


async def test_a_call_that_waits_too_long_for_a_slot_times_out(registry: ToolRegistry) -> None:
    tools = [local("hangs_later", timeout_s=30.0), local("weather_later", timeout_s=0.05)]
    runner = registry.runner(tools, context())
    hanging = [asyncio.create_task(runner.run(asked("hangs_later"))) for _ in range(MAX_AT_ONCE)]
    await asyncio.sleep(0)
    assert code(await runner.run(asked("weather_later", '{"city":"Rome"}'))) == "timeout"
    other = registry.runner(tools, context("eve"))
    assert "eve" in await other.run(asked("weather_later", '{"city":"Rome"}'))
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)


async def session(runner: SessionToolRunner, call: Call) -> None:
    """Play a call whose tools this runner runs, parallel ones at the same time."""
    call.say({"type": "response.create"})
    call.flow()
    while call.running:
        running, call.running = call.running, []
        async with asyncio.TaskGroup() as group:
            for one in running:
                group.create_task(answer(runner, call, one))
        call.flow()


async def answer(runner: SessionToolRunner, call: Call, one: ToolCall) -> None:
    call.up += call.tools.result(one.call_id, await runner.run(one))


async def test_results_of_parallel_sessions_and_calls_never_mix(registry: ToolRegistry) -> None:
    """Forty sessions make four parallel calls, three times; every result reaches its own call.

    All sessions use the same call ids, as two engines may.
    """
    users = [f"user{n}" for n in range(40)]
    script = [[server_call(f"{n}.{m}") for m in range(4)] for n in range(3)]

    async def late(request: web.Request) -> web.Response:
        call = await request.json()
        await asyncio.sleep(hash((call["user"], call["call_id"])) % 7 / 1000)
        place = (call["user"], call["conversation"], call["call_id"], call["arguments"]["city"])
        return web.Response(text=" ".join(place))

    async with serve(late) as server:
        tools = [remote(WEATHER, server.url)]
        calls = {user: Call(*script) for user in users}
        async with asyncio.TaskGroup() as group:
            for user, call in calls.items():
                group.create_task(session(registry.runner(tools, context(user)), call))
        assert len(server.asked) == 40 * 12
    for user, call in calls.items():
        items = call.engine.items
        cities = {i["call_id"]: json.loads(i["arguments"])["city"] for i in items if "name" in i}
        outputs = {i["call_id"]: i["output"] for i in items if "output" in i}
        assert len(cities) == 12
        assert outputs == {
            call_id: f"{user} conv_{user} {call_id} {city}" for call_id, city in cities.items()
        }
        assert call.traces() == set()
        assert call.types().count("response.done") == 1


def tool(name: str) -> ServerTool:
    return ServerTool("tool", "", NO_PARAMETERS, entry_point=f"tests.tools.example_tools:{name}")


async def test_a_grant_with_tools_gets_a_runner_and_another_none() -> None:
    plain = plain_agent("a").offer
    equipped = dataclasses.replace(plain, server_tools=(tool("weather"),))
    async with http_session() as client:
        make = tool_runners(OpenCatalog(), ToolRegistry(client, {}, NO_KNOWLEDGE))
        assert make(plain, "session", "conversation") is None
        assert make(equipped, "session", "conversation") is not None


async def test_a_misconfigured_tool_is_found_at_the_start() -> None:
    agent = plain_agent("a")
    broken = dataclasses.replace(agent.offer, server_tools=(tool("no such function"),))
    agents = StaticCatalog({"a": dataclasses.replace(agent, offer=broken)})
    async with http_session() as client:
        with pytest.raises(ToolMisconfigured):
            tool_runners(agents, ToolRegistry(client, {}, NO_KNOWLEDGE))
