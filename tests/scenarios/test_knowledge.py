"""A voice agent answers from its knowledge base: a tool of the server, unseen by the client."""

import json
from dataclasses import replace
from pathlib import Path

from websockets.asyncio.client import connect

from relay.agents.agent import StaticCatalog
from relay.agents.config import read_agent
from relay.app import KNOWLEDGE_FILE, running
from relay.knowledge.bases import KnowledgeBases
from relay.parts.interfaces import FunctionCall, Reply
from relay.parts.simple import Script
from tests.knowledge.corpus import HelpPage
from tests.scenarios.stage import Line, Stage, loaded, stage, token

PAGE = HelpPage("tea", "# Tea\n\nGreen tea is brewed with water of eighty degrees.")
CALL = Reply((FunctionCall("search_knowledge", {"query": "How hot is water for green tea?"}),))


async def test_what_is_found_goes_to_the_model_as_a_tools_output(tmp_path: Path) -> None:
    bases = KnowledgeBases(tmp_path / KNOWLEDGE_FILE)
    await bases.add("drinks", [PAGE])
    await bases.aclose()
    agent = read_agent("default", {"instructions": "Be brief.", "knowledge": "drinks"})
    script = Script(replies=[CALL, "I found this: {heard}"])
    async with stage(tmp_path, script) as other:
        assert other.simulator is not None
        given = loaded(
            tmp_path / "own",
            relay_engine="openai",
            openai_api_key="sk-simulated-provider-key",
            openai_base_url=other.simulator.base_url,
        )
        catalog = StaticCatalog({"default": agent})
        (tmp_path / "own").mkdir()
        (tmp_path / KNOWLEDGE_FILE).rename(tmp_path / "own" / KNOWLEDGE_FILE)
        async with running(replace(given, agents=catalog)) as app:
            here = Stage(app, other.simulator, tmp_path / "own")
            headers = {"Authorization": f"Bearer {token()}"}
            async with connect(here.app.voice_url, additional_headers=headers) as socket:
                line = Line(socket)
                await line.until("session.created")
                content = [{"type": "input_text", "text": "How hot is the water for green tea?"}]
                item = {"type": "message", "role": "user", "content": content}
                await line.send(
                    {"type": "conversation.item.create", "item": item}, {"type": "response.create"}
                )
                done = await line.until("response.done")
                seen = json.dumps(line.events)

    said = done["response"]["output"][0]["content"][0]["transcript"]
    assert "eighty degrees" in said
    assert "search_knowledge" not in seen
