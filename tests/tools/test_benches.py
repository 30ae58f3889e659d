import dataclasses
from typing import Any

import pytest

from relay.agents.agent import OpenCatalog, StaticCatalog, plain_agent
from relay.realtime.grant import ServerTool
from relay.tools.call import ToolMisconfigured
from relay.tools.http_tool import http_session
from relay.tools.runner import ToolRegistry, tool_runners

NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def tool(name: str) -> ServerTool:
    return ServerTool("tool", "", NO_PARAMETERS, entry_point=f"tests.tools.shelf:{name}")


async def test_a_bench_for_whom_has_tools_and_none_for_others() -> None:
    plain = plain_agent("a").offer
    equipped = dataclasses.replace(plain, server_tools=(tool("weather"),))
    async with http_session() as client:
        make = tool_runners(OpenCatalog(), ToolRegistry(client, {}))
        assert make(plain, "session", "conversation") is None
        assert make(equipped, "session", "conversation") is not None


async def test_a_tool_that_could_never_run_is_found_before_anybody_calls() -> None:
    agent = plain_agent("a")
    broken = dataclasses.replace(agent.offer, server_tools=(tool("no such function"),))
    agents = StaticCatalog({"a": dataclasses.replace(agent, offer=broken)})
    async with http_session() as client:
        with pytest.raises(ToolMisconfigured):
            tool_runners(agents, ToolRegistry(client, {}))
