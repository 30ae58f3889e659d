"""Tools made ready at the start, and the bench at which a session's calls are carried out."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from relay.realtime.grant import ServerTool
from relay.realtime.server_tools import ToolCall
from relay.tools.call import ToolContext, ToolMisconfigured
from relay.tools.http_tool import http_session
from relay.tools.runner import MAX_AT_ONCE, SessionToolRunner, ToolRegistry
from tests.realtime.tool_call import WEATHER, Call, server_call
from tests.tools import shelf
from tests.tools.server import serve

SECRET = "sk-of-the-tool"
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def local(name: str, **more: Any) -> ServerTool:
    entry_point = f"tests.tools.shelf:{name}"
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
def workshop(http: aiohttp.ClientSession) -> ToolRegistry:
    return ToolRegistry(http, {"TOOL_KEY": SECRET})


def code(output: str) -> str:
    return str(json.loads(output)["error"]["code"])


# --------------------------------------------------------------------------------- at the start


def test_tools_are_made_ready_by_name(workshop: ToolRegistry) -> None:
    tools = [local("weather"), remote("maps", "https://maps.example/tool", timeout_s=3.0)]
    ready = workshop.prepare(tools)
    assert ready.keys() == {"weather", "maps"}
    assert ready["maps"].timeout_s == 3.0


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (local("wether"), "server_tools.wether: entry_point 'tests.tools.shelf:wether'"),
        (remote("maps", "https://m.example"), "server_tools.maps: TOOL_KEY is not set"),
    ],
)
async def test_a_mistake_names_the_tool(
    http: aiohttp.ClientSession, tool: ServerTool, says: str
) -> None:
    with pytest.raises(ToolMisconfigured) as wrong:
        ToolRegistry(http, {}).prepare([tool])
    assert says in str(wrong.value)


@pytest.mark.parametrize("secret", ["two\r\nlines", "schlüssel"])
async def test_a_secret_that_no_header_can_carry_is_refused_and_not_told(
    http: aiohttp.ClientSession, secret: str
) -> None:
    with pytest.raises(ToolMisconfigured) as wrong:
        ToolRegistry(http, {"TOOL_KEY": secret}).prepare([remote("maps", "https://m.example")])
    assert secret not in str(wrong.value)


# ------------------------------------------------------------------------------------- one call


async def test_a_call_is_carried_out_for_who_called(workshop: ToolRegistry) -> None:
    bench = workshop.bench([local("weather_later")], context("ada"))
    output = await bench.run(asked("weather_later", '{"city":"London"}'))
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
async def test_a_failure_is_told_to_the_model_and_ends_nothing(
    workshop: ToolRegistry, name: str, arguments: str, failure: str
) -> None:
    names = {name, "weather_later"} - {"not_granted"}
    tools = [local(name, timeout_s=0.05, max_bytes=1000) for name in names]
    bench = workshop.bench(tools, context())
    with structlog.testing.capture_logs() as logs:
        output = await bench.run(asked(name, arguments))
    assert code(output) == failure
    assert logs[0]["outcome"] == failure
    for told in (output, str(logs)):
        assert "sk-secret" not in told
        assert "database" not in told
    assert "foggy" in await bench.run(asked("weather_later", '{"city":"Rome"}'))


async def test_a_thread_that_hangs_is_left_when_the_time_is_over(workshop: ToolRegistry) -> None:
    shelf.released.clear()
    bench = workshop.bench([local("hangs", timeout_s=0.05)], context())
    try:
        assert code(await bench.run(asked("hangs"))) == "timeout"
    finally:
        shelf.released.set()


async def test_a_session_that_ends_takes_its_calls_along(workshop: ToolRegistry) -> None:
    bench = workshop.bench([local("hangs_later")], context())
    task = asyncio.create_task(bench.run(asked("hangs_later")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_neither_secret_nor_address_nor_word_is_logged(workshop: ToolRegistry) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500, text="It rains in Ulm")

    async with serve(answer) as server:
        bench = workshop.bench([remote("maps", server.url)], context())
        with structlog.testing.capture_logs() as logs:
            await bench.run(asked("maps", '{"city":"Ulm"}'))
            await bench.run(asked("no_such_tool_in_Ulm"))
        assert [(log["tool"], log["outcome"]) for log in logs] == [
            ("maps", "http_error"),
            ("unknown", "not_there"),
        ]
        for word in (SECRET, server.url, "127.0.0.1", "Ulm", "conv_ada"):
            assert word not in str(logs)


# --------------------------------------------------------------------------------- many at once


class Turnstile:
    """An endpoint that counts how many are in it, and lets all out when so many were."""

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


async def test_a_session_works_on_so_many_calls_at_a_time(workshop: ToolRegistry) -> None:
    turnstile = Turnstile(MAX_AT_ONCE)
    async with serve(turnstile) as server:
        bench = workshop.bench([remote("maps", server.url)], context())
        async with asyncio.TaskGroup() as group:
            for n in range(3 * MAX_AT_ONCE):
                group.create_task(bench.run(asked("maps", f'{{"n":{n}}}')))
    assert turnstile.most == MAX_AT_ONCE


async def test_a_call_that_finds_no_place_in_its_time_is_told_so(workshop: ToolRegistry) -> None:
    tools = [local("hangs_later", timeout_s=30.0), local("weather_later", timeout_s=0.05)]
    bench = workshop.bench(tools, context())
    hanging = [asyncio.create_task(bench.run(asked("hangs_later"))) for _ in range(MAX_AT_ONCE)]
    await asyncio.sleep(0)
    assert code(await bench.run(asked("weather_later", '{"city":"Rome"}'))) == "timeout"
    other = workshop.bench(tools, context("eve"))
    assert "eve" in await other.run(asked("weather_later", '{"city":"Rome"}'))
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)


async def session(bench: SessionToolRunner, call: Call) -> None:
    """A call whose tools are carried out by this bench, all that the model asks for at once."""
    call.say({"type": "response.create"})
    call.flow()
    while call.running:
        running, call.running = call.running, []
        async with asyncio.TaskGroup() as group:
            for one in running:
                group.create_task(answer(bench, call, one))
        call.flow()


async def answer(bench: SessionToolRunner, call: Call, one: ToolCall) -> None:
    call.up += call.desk.result(one.call_id, await bench.run(one))


async def test_many_sessions_and_parallel_calls_never_mix(workshop: ToolRegistry) -> None:
    """Forty sessions of four parallel calls each, over and over: every result finds its own call.

    All sessions use the same call ids, as nothing keeps two engines from it.
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
                group.create_task(session(workshop.bench(tools, context(user)), call))
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
