"""Money that runs out in the middle of a conversation, over real sockets."""

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from relay.agents.config import load_agents
from relay.app import running
from relay.engines.cascade.outputs import Pace
from relay.parts.simple import scripted_parts
from relay.realtime.billing.budget import GOOD_BYE
from relay.realtime.billing.pricing import Prices
from relay.simulator import SimulatorOptions, simulate
from relay.stores.sqlite.reports import SqliteReader
from tests.components import needs
from tests.scenarios.stage import Line, Stage, loaded, token

AGENTS = """
[agents.tutor]
model = "gpt-realtime-2.1"
limits.budget_usd_per_user_per_day = {dollars}
"""
QUERY = "?agent_id=tutor&relay=1"
Event = dict[str, Any]


@dataclasses.dataclass(slots=True)
class Bank:
    """A relay whose agent has a budget, and what its engine was sent."""

    stage: Stage
    went_up: list[Event]

    @asynccontextmanager
    async def caller(self, sub: str = "ada") -> AsyncIterator[Line]:
        headers = {"Authorization": f"Bearer {token(sub)}"}
        async with self.stage.openai_client(QUERY, additional_headers=headers) as line:
            yield line


@asynccontextmanager
async def bank(
    folder: Path, dollars: float, engine: str = "openai", prices: Prices | None = None
) -> AsyncIterator[Bank]:
    went_up: list[Event] = []
    file = folder / "agents.toml"
    file.write_text(AGENTS.format(dollars=dollars))
    options = SimulatorOptions(
        parts=scripted_parts(),
        pace=Pace(burst=200),
        on_frame=lambda frame: went_up.append(json.loads(frame)),
    )
    async with await simulate(options) as simulator:
        key, text_model = "sk-simulated-provider-key", "gpt-4.1-mini"
        given = {"relay_engine": engine, "openai_api_key": key, "llm_model": text_model}
        plain = loaded(folder, openai_base_url=simulator.base_url, **given)
        agents, prices = load_agents(file), prices or plain.prices
        async with running(dataclasses.replace(plain, agents=agents, prices=prices)) as app:
            yield Bank(Stage(app, simulator, folder), went_up)


async def ask(line: Line) -> Event:
    """One typed turn."""
    content = [{"type": "input_text", "text": "Tell me about the sea."}]
    item = {"type": "message", "role": "user", "content": content}
    await line.send({"type": "conversation.item.create", "item": item}, {"type": "response.create"})
    return await line.until("response.done")


async def ask_until_the_end(line: Line) -> int:
    """Turns until the relay ends the session; returns how many were answered."""
    for answered in range(100):
        try:
            await ask(line)
        except ConnectionClosed:
            return answered
    pytest.fail("the money never ran out")


async def test_the_caller_is_warned_the_model_says_good_bye_and_the_session_ends(
    tmp_path: Path,
) -> None:
    async with bank(tmp_path, dollars=0.05) as here:
        async with here.caller() as line:
            answered = await ask_until_the_end(line)
            code, reason = await line.closed()
        assert (code, reason) == (4008, "Budget exhausted")
        assert answered > 1
        left = [event["left"] for event in line.events if event["type"] == "relay.budget"]
        assert left == sorted(left, reverse=True)
        assert 2 <= len(left) <= 3
        (farewell,) = [
            event["item"]
            for event in here.went_up
            if event["type"] == "conversation.item.create" and event["item"]["role"] == "system"
        ]
        assert farewell["content"][0]["text"] == GOOD_BYE
        assert GOOD_BYE not in json.dumps(line.events), "the client sees no trace of it"
        assert farewell["id"] not in json.dumps(line.events)
        async with here.caller() as line:
            assert await line.closed() == (4008, "Budget exhausted")
        async with here.caller("bob") as line:
            await line.until("session.created")


async def test_what_was_spent_survives_a_restart(tmp_path: Path) -> None:
    async with bank(tmp_path, dollars=0.05) as here, here.caller() as line:
        await ask_until_the_end(line)
    async with bank(tmp_path, dollars=0.05) as here, here.caller() as line:
        assert await line.closed() == (4008, "Budget exhausted")


async def test_two_sessions_of_one_user_cannot_both_spend_the_last_cent(tmp_path: Path) -> None:
    async with bank(tmp_path, dollars=0.03) as here, here.caller() as first:
        await first.until("session.created")
        async with here.caller() as second:
            assert await second.closed() == (4008, "Budget exhausted")
        await ask(first)


@needs("voice")
async def test_a_cascade_spends_what_its_parts_use(tmp_path: Path) -> None:
    """The text model and the voice are the provider's; the session's own model is never used."""
    dear = Prices({"gpt-4o-mini-tts": {"minute": "0.50"}})
    async with bank(tmp_path, dollars=0.05, engine="cascade", prices=dear) as here:
        async with here.caller() as line:
            answered = await ask_until_the_end(line)
            assert await line.closed() == (4008, "Budget exhausted")
        assert answered > 1
        used = [
            part
            for event in line.events
            if event["type"] == "response.done"
            for part in event["response"]["usage"]["parts"]
        ]
        await here.stage.emptied()
    reader = SqliteReader(tmp_path / "relay.db")
    report = await reader.costs("model", 0)
    await reader.aclose()

    assert report.costs.keys() == {"gpt-4.1-mini", "gpt-4o-mini-tts"}
    written, spoken = report.costs["gpt-4.1-mini"], report.costs["gpt-4o-mini-tts"]
    assert written.usage.input_tokens == sum(part.get("input_tokens", 0) for part in used) > 0
    assert spoken.usage.characters == sum(part.get("characters", 0) for part in used) > 0
    assert spoken.micro == pytest.approx(spoken.usage.milliseconds / 60_000 * 500_000, abs=1)
    assert 40_000 < report.total.micro < 70_000
