"""The simulator in beta: flat sessions and beta names, and nothing that only GA has."""

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect

from relay.parts.simple import scripted_parts
from relay.simulator import SimulatorOptions, simulate


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "session.update", "session": {"type": "realtime"}}, "session.type"),
        (
            {"type": "response.create", "response": {"output_modalities": ["text"]}},
            "response.output_modalities",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
            },
            "item.content.type",
        ),
    ],
)
async def test_what_only_ga_has_is_refused(event: dict[str, Any], param: str) -> None:
    options = SimulatorOptions(parts=scripted_parts(), beta=True)
    key = {"Authorization": "Bearer sk-good"}
    async with (
        await simulate(options) as simulator,
        connect(f"{simulator.url}?model=m", additional_headers=key) as line,
    ):
        await line.send(json.dumps({"event_id": "mine", **event}))
        created, refused = json.loads(await line.recv()), json.loads(await line.recv())
    assert created["session"]["modalities"] == ["audio", "text"]
    assert refused["type"] == "error"
    assert (refused["error"]["param"], refused["error"]["event_id"]) == (param, "mine")
