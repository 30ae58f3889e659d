"""Whole calls with server tools: real sockets to the relay, the engine and the tool."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from relay.agents.config import load_agents
from relay.app import running
from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, Reply, SpokenMessage
from relay.parts.simple import Script, scripted_parts
from relay.simulator import SimulatorOptions, simulate
from relay.tools.call import ToolMisconfigured
from tests.scenarios.stage import Line, Stage, loaded, token
from tests.tools.server import Answer, Server, serve

Event = dict[str, Any]
KEY = "sk-of-the-tool"
ASKED = Reply((FunctionCall("get_weather", {"city": "London"}),))
LOOKING = Reply((SpokenMessage("I will look.", phase="commentary"), *ASKED.outputs))
ANSWERED = "It is {heard}."


def agents(url: str) -> str:
    return f"""
[agents.default]
model = "gpt-realtime-2.1"

[agents.default.server_tools.get_weather]
description = "Tells the weather."
url = "{url}"
secret_env = "WEATHER_KEY"
timeout_s = 5.0

[agents.default.server_tools.get_time]
description = "Tells the time."
entry_point = "tests.tools.example_tools:whose_thread"
"""


async def foggy(request: web.Request) -> web.Response:
    call = await request.json()
    return web.Response(text=f"foggy in {call['arguments']['city']} for {call['user']}")


@dataclasses.dataclass(slots=True)
class Street:
    """A relay with these agents, between the simulator and the tool's server."""

    stage: Stage
    tool: Server


@asynccontextmanager
async def street(
    folder: Path, *replies: Reply | str, tool: Answer = foggy
) -> AsyncIterator[Street]:
    script = Script(replies=replies)
    options = SimulatorOptions(parts=scripted_parts(script), pace=Pace(burst=50.0))
    async with serve(tool) as server, await simulate(options) as simulator:
        file = folder / "agents.toml"
        file.write_text(agents(server.url))
        plain = loaded(
            folder,
            relay_engine="openai",
            openai_api_key="sk-simulated-provider-key",
            openai_base_url=simulator.base_url,
        )
        given = dataclasses.replace(
            plain, agents=load_agents(file), tool_secrets={"WEATHER_KEY": KEY}
        )
        async with running(given) as app:
            yield Street(Stage(app, simulator, folder), server)


async def ask(line: Line, text: str = "How is the weather?") -> None:
    """Type something and ask for an answer in text."""
    message = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }
    await line.send({"type": "conversation.item.create", "item": message})
    await line.send({"type": "response.create", "response": {"output_modalities": ["text"]}})


def told(line: Line) -> str:
    return json.dumps(line.events)


async def test_the_model_answers_with_the_tools_output(tmp_path: Path) -> None:
    async with street(tmp_path, ASKED, ANSWERED) as here, here.stage.openai_client() as line:
        await line.until("session.created")
        await ask(line)
        done = await line.until("response.done")
        (answer,) = done["response"]["output"]
        assert answer["content"][0]["text"] == "It is foggy in London for ada."
        assert line.types.count("response.created") == 1
        for word in ("get_weather", "get_time", "function_call", KEY):
            assert word not in told(line)
        (call,) = here.tool.asked
        assert (call["user"], call["agent"]) == ("ada", "default")
        assert here.tool.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_the_spoken_answer_is_stored_and_the_tool_call_is_not(tmp_path: Path) -> None:
    async with street(tmp_path, LOOKING, ANSWERED) as here:
        async with here.stage.openai_client("?relay=1") as line:
            hello = await line.until("relay.session")
            await ask(line)
            await line.until("response.done")
            await line.until("response.done")
        rows = await here.stage.stored(hello["conversation_id"], 3)
        assert [(row["role"], row["text"]) for row in rows] == [
            ("user", "How is the weather?"),
            ("assistant", "I will look."),
            ("assistant", "It is foggy in London for ada."),
        ]


async def test_an_openai_client_that_stops_at_the_first_response_done_has_its_answer(
    tmp_path: Path,
) -> None:
    """As in that client's own examples: read until `response.done`, then go on."""
    async with street(tmp_path, ASKED, ANSWERED, "Goodbye.") as here:
        base_url = here.stage.voice.replace("ws://", "http://") + "/v1"
        async with (
            openai.AsyncOpenAI(base_url=base_url, api_key=token()) as client,
            client.realtime.connect(model="gpt-realtime-2.1") as connection,
        ):
            texts: list[str] = []
            for question in ("How is the weather?", "Goodbye!"):
                await connection.conversation.item.create(
                    item={
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": question}],
                    }
                )
                await connection.response.create(response={"output_modalities": ["text"]})
                async for event in connection:
                    assert event.type != "error"
                    if event.type == "response.output_text.done":
                        texts.append(event.text)
                    if event.type == "response.done":
                        break
            assert texts == ["It is foggy in London for ada.", "Goodbye."]


@pytest.mark.parametrize(
    ("status", "says"), [(500, "http_error"), (302, "http_error"), (200, "too_big")]
)
async def test_a_failed_tool_is_explained_by_the_model(
    tmp_path: Path, status: int, says: str
) -> None:
    async def fails(request: web.Request) -> web.Response:
        return web.Response(status=status, text="x" * 100_000, headers={"Location": "/"})

    async with (
        street(tmp_path, ASKED, ANSWERED, tool=fails) as here,
        here.stage.openai_client() as line,
    ):
        await line.until("session.created")
        await ask(line)
        done = await line.until("response.done")
        assert says in done["response"]["output"][0]["content"][0]["text"]
        assert len(here.tool.paths) == 1


async def test_an_ended_session_abandons_its_tool_call(tmp_path: Path) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def hangs(request: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    async with street(tmp_path, ASKED, tool=hangs) as here:
        async with here.stage.openai_client() as line:
            await line.until("session.created")
            await ask(line)
            async with asyncio.timeout(10):
                await asked.wait()
        async with asyncio.timeout(3):
            await left.wait()
        await here.stage.emptied()


async def test_a_cancel_during_a_tool_call_is_answered_at_once(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def waits(request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.Response(text="foggy")

    async with (
        street(tmp_path, ASKED, "Something else.", tool=waits) as here,
        here.stage.openai_client() as line,
    ):
        await line.until("session.created")
        await ask(line)
        await line.until("rate_limits.updated")  # what follows the response that is not shown
        async with asyncio.timeout(10):
            await asked.wait()
        await line.send({"type": "response.cancel"})
        done = await line.until("response.done")
        assert done["response"]["status"] == "cancelled"
        go_on.set()
        await ask(line, "Something else, then.")
        done = await line.until("response.done")
        assert done["response"]["output"][0]["content"][0]["text"] == "Something else."
        assert "error" not in line.types


async def test_a_misconfigured_tool_prevents_the_start(tmp_path: Path) -> None:
    file = tmp_path / "agents.toml"
    file.write_text(agents("https://w.example").replace("whose_thread", "whose_tread"))
    given = dataclasses.replace(
        loaded(tmp_path), agents=load_agents(file), tool_secrets={"WEATHER_KEY": KEY}
    )
    with pytest.raises(ToolMisconfigured, match=r"get_time.*whose_tread"):
        async with running(given):
            pass
