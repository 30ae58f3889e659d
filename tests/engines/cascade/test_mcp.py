"""What a session says of the MCP servers that it was told of."""

from typing import Any

import pytest

from relay.engines.cascade.outputs import needs_approval
from relay.parts.simple import Script, scripted_parts
from tests.engines.cascade.driving import Talk, types

TOOLS = {"docs": [{"name": "search", "description": "Looks things up."}]}


def server(label: str = "docs", **more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": label, "server_url": "https://mcp.example", **more}


def told(*tools: dict[str, Any]) -> Talk:
    talk = Talk(scripted_parts(Script(servers=TOOLS)))
    talk.forget()
    talk.say("session.update", session={"type": "realtime", "tools": list(tools)})
    return talk


def test_4_7_a_server_is_listed_after_the_update_that_named_it():
    talk = told(server())

    assert types(talk.events) == [
        "session.updated",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ]
    assert talk.last("conversation.item.added")["item"]["tools"] == []
    item = talk.last("conversation.item.done")["item"]
    assert item["server_label"] == "docs"
    assert item["tools"] == [
        {
            "input_schema": {"type": "object"},
            "name": "search",
            "description": "Looks things up.",
        }
    ]


def test_4_7_a_server_that_cannot_be_reached():
    talk = told(server("unknown"))

    assert len(talk.of("mcp_list_tools.failed")) == 1
    assert talk.last("conversation.item.done")["item"]["tools"] == []


def test_a_server_is_listed_once():
    talk = told(server(), {"type": "function", "name": "f"})

    talk.say("session.update", session={"type": "realtime", "tools": [server(), server("more")]})

    labels = [event["item"]["server_label"] for event in talk.of("conversation.item.added")]
    assert labels == ["docs", "more"]


@pytest.mark.parametrize(
    ("wish", "asks"),
    [
        ({}, True),
        ({"require_approval": None}, True),
        ({"require_approval": "always"}, True),
        ({"require_approval": "never"}, False),
        ({"require_approval": {"never": {"tool_names": ["search"]}}}, False),
        ({"require_approval": {"never": {"tool_names": ["other"]}}}, True),
        ({"require_approval": {"always": {"tool_names": ["search"]}}}, True),
        ({"require_approval": {"never": "search"}}, True),
        ({"require_approval": {"never": {"tool_names": "search"}}}, True),
        ({"require_approval": 7}, True),
    ],
)
def test_who_must_be_asked(wish: dict[str, Any], asks: bool):
    assert needs_approval([server(**wish)], "docs", "search") is asks


def test_nobody_is_asked_about_a_server_that_the_client_did_not_name():
    assert not needs_approval([server("other")], "docs", "search")
