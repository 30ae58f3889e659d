"""Calls of functions and of MCP tools, in the order of PROTOCOL §4.6 and §4.7."""

from typing import Any

import pytest

from relay.engines.cascade import responses as answering
from relay.engines.cascade.outputs import needs_approval
from relay.parts.interfaces import FunctionCall, McpCall, Parts, Reply, SpokenMessage
from relay.parts.simple import Script, scripted_parts
from tests.engines.cascade.driving import TEXT, Event, Talk, types

WEATHER = FunctionCall("get_weather", {"city": "London"})
ADDED = ["response.output_item.added", "conversation.item.added"]
DONE = ["conversation.item.done", "response.output_item.done"]
END = ["response.done", "rate_limits.updated"]
RUN = ["response.mcp_call.in_progress", "response.mcp_call.completed"]
MCP_ARGUMENTS = ["response.mcp_call_arguments.delta*", "response.mcp_call_arguments.done"]


def parts(*replies: str | Reply) -> Parts:
    tools = [{"name": "search", "description": "Looks things up."}]
    return scripted_parts(Script(replies=replies, servers={"docs": tools}))


def asked(talk: Talk, text: str = "What is the weather?") -> Talk:
    talk.say("session.update", session=TEXT)
    talk.type(text)
    talk.forget()
    talk.say("response.create")
    talk.finish()
    return talk


def output(talk: Talk, call_id: str, text: str) -> list[Event]:
    item = {"type": "function_call_output", "call_id": call_id, "output": text}
    return talk.say("conversation.item.create", item=item)


def approve(talk: Talk, request: str, approved: bool = True) -> list[Event]:
    item = {
        "type": "mcp_approval_response",
        "approval_request_id": request,
        "approve": approved,
    }
    return talk.say("conversation.item.create", item=item)


def with_server(talk: Talk, **more: Any) -> Talk:
    tool = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example", **more}
    talk.say("session.update", session={**TEXT, "tools": [tool]})
    talk.type("How?")
    talk.forget()
    return talk


def test_4_6_a_function_is_called():
    talk = asked(Talk(parts(Reply((WEATHER,)))))

    assert types(talk.events) == [
        "response.created",
        *ADDED,
        "response.function_call_arguments.delta*",
        "response.function_call_arguments.done",
        *DONE,
        *END,
    ]
    added = talk.last("conversation.item.added")["item"]
    assert (added["name"], added["arguments"], added["status"]) == (
        "get_weather",
        "",
        "in_progress",
    )
    deltas = talk.of("response.function_call_arguments.delta")
    assert "".join(delta["delta"] for delta in deltas) == '{"city":"London"}'
    assert all(delta["obfuscation"] for delta in deltas)
    done = talk.last("response.function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("get_weather", '{"city":"London"}')
    (item,) = talk.last("response.done")["response"]["output"]
    assert item == talk.last("response.output_item.done")["item"]
    assert (item["status"], item["call_id"]) == ("completed", done["call_id"])


def test_4_6_the_next_response_answers_the_functions_output():
    talk = asked(Talk(parts(Reply((WEATHER,)), "It is {heard}")))
    call_id = talk.last("response.function_call_arguments.done")["call_id"]

    assert types(output(talk, call_id, "foggy.")) == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    talk.say("response.create")
    talk.finish()

    assert talk.last("response.output_text.done")["text"] == "It is foggy."


def test_4_6_the_next_response_waits_for_the_client():
    talk = asked(Talk(parts(Reply((WEATHER,)), "It is {heard}")))

    assert talk.finish() == []


def test_4_6_arguments_may_be_any_json_the_model_wrote():
    talk = asked(Talk(parts(Reply((FunctionCall("f", '{  \n "a": 1 \n} \n'),)))))

    assert talk.last("response.function_call_arguments.done")["arguments"] == '{  \n "a": 1 \n} \n'


def test_4_6_several_functions_at_once():
    talk = asked(Talk(parts(Reply((WEATHER, FunctionCall("get_time"))))))

    ids = {event["call_id"] for event in talk.of("response.function_call_arguments.done")}
    assert len(ids) == 2
    indexes = [event["output_index"] for event in talk.of("response.output_item.done")]
    assert indexes == [0, 1]


def test_a_call_that_is_cancelled_is_incomplete():
    talk = Talk(parts(Reply((FunctionCall("f", {"long": "x " * 100}),))))
    talk.say("session.update", session=TEXT)
    talk.type("Do it")
    talk.say("response.create")
    talk.wait(0.05)

    talk.say("response.cancel")

    item = talk.last("response.output_item.done")["item"]
    assert item["status"] == "incomplete"
    assert 0 < len(item["arguments"]) < 200
    assert talk.last("response.done")["response"]["status"] == "cancelled"


def test_an_out_of_band_call_joins_no_conversation():
    talk = Talk(parts(Reply((WEATHER,))))
    talk.say("response.create", response={"conversation": "none"})
    talk.finish()

    assert talk.of("conversation.item.added") == []
    assert talk.last("response.done")["response"]["conversation_id"] is None
    assert talk.last("response.output_item.done")["item"]["status"] == "completed"


def test_4_7_an_mcp_tool_without_approval_is_called_at_once():
    call = McpCall("docs", "search", {"q": "x"}, output="Found it.")
    talk = with_server(Talk(parts(Reply((call,)), "{heard}")), require_approval="never")
    talk.say("response.create")
    talk.finish()

    assert types(talk.events) == ["response.created", *ADDED, *MCP_ARGUMENTS, *RUN, *DONE, *END]
    item = talk.last("response.output_item.done")["item"]
    assert (item["server_label"], item["name"]) == ("docs", "search")
    assert (item["output"], item["error"]) == ("Found it.", None)

    talk.say("response.create")
    talk.finish()
    assert talk.last("response.output_text.done")["text"] == "Found it."


def test_4_7_an_mcp_tool_that_fails():
    call = McpCall("docs", "search", error="No such page.")
    talk = with_server(Talk(parts(Reply((call,)))), require_approval="never")
    talk.say("response.create")
    talk.finish()

    assert len(talk.of("response.mcp_call.failed")) == 1
    error = talk.last("response.output_item.done")["item"]["error"]
    assert error == {"type": "tool_execution_error", "message": "No such page."}


@pytest.mark.parametrize("approved", [True, False])
def test_4_7_an_mcp_tool_that_must_be_approved(approved: bool):
    call = McpCall("docs", "search", {"q": "x"}, output="Found it.")
    talk = with_server(Talk(parts(Reply((call,)))))
    talk.say("response.create")
    talk.finish()

    assert types(talk.events) == [
        "response.created",
        *ADDED,
        *MCP_ARGUMENTS,
        *ADDED,
        *DONE,
        *END,
    ]
    called, request = talk.last("response.done")["response"]["output"]
    assert called["output"] is None
    assert (request["type"], request["arguments"]) == ("mcp_approval_request", '{"q":"x"}')

    answered = approve(talk, request["id"], approved)

    ran = RUN if approved else [RUN[0], "response.mcp_call.failed"]
    assert types(answered) == ["conversation.item.added", "conversation.item.done", *ran, *DONE]
    final = answered[-1]["item"]
    assert (final["id"], final["approval_request_id"]) == (called["id"], request["id"])
    assert (final["output"] == "Found it.") is approved
    assert len(approve(talk, request["id"])) == 2  # it is answered once


def test_4_7_a_call_after_one_that_must_be_approved_has_the_next_index():
    call = McpCall("docs", "search")
    talk = with_server(Talk(parts(Reply((call, WEATHER)))))
    talk.say("response.create")
    talk.finish()

    added = talk.of("response.output_item.added")
    order = {event["output_index"]: event["item"]["type"] for event in added}
    assert order == {0: "mcp_call", 1: "mcp_approval_request", 2: "function_call"}


def test_an_mcp_call_that_is_cancelled_is_neither_called_nor_asked_for():
    call = McpCall("docs", "search", {"long": "x " * 100})
    talk = with_server(Talk(parts(Reply((call,)))))
    talk.say("response.create")
    talk.wait(0.05)

    talk.say("response.cancel")

    assert talk.of("response.mcp_call.in_progress") == []
    (item,) = talk.last("response.done")["response"]["output"]
    assert item["output"] is None


def test_a_call_may_be_approved_although_the_rest_of_its_response_was_cancelled():
    asks = Reply(
        (McpCall("docs", "search", output="Found."), SpokenMessage("x " * 99)),
        interleaving="in_turn",
    )
    talk = with_server(Talk(parts(asks)))
    talk.say("response.create")
    while len(talk.of("response.output_item.done")) < 1:
        talk.wait(0.01)
    talk.say("response.cancel")
    request = talk.of("response.output_item.done")[0]["item"]["id"]

    answered = approve(talk, request)

    assert answered[-1]["item"]["output"] == "Found."


def test_the_oldest_unapproved_call_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answering, "MAX_UNAPPROVED", 2)
    talk = with_server(Talk(parts(Reply((McpCall("docs", "search"),)))))
    for _ in range(3):
        talk.say("response.create")
        talk.finish()

    requests = [
        event["item"]["id"]
        for event in talk.of("response.output_item.done")
        if event["item"]["type"] == "mcp_approval_request"
    ]
    assert [len(approve(talk, request)) for request in requests] == [2, 6, 6]


TOOLS = {"docs": [{"name": "search", "description": "Looks things up."}]}


def server(label: str = "docs", **more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": label, "server_url": "https://mcp.example", **more}


def session_with(*tools: dict[str, Any]) -> Talk:
    talk = Talk(scripted_parts(Script(servers=TOOLS)))
    talk.forget()
    talk.say("session.update", session={"type": "realtime", "tools": list(tools)})
    return talk


def test_4_7_a_server_is_listed_after_the_update_that_named_it():
    talk = session_with(server())

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


def test_4_7_the_listing_of_an_unknown_server_fails():
    talk = session_with(server("unknown"))

    assert len(talk.of("mcp_list_tools.failed")) == 1
    assert talk.last("conversation.item.done")["item"]["tools"] == []


def test_a_server_is_listed_once():
    talk = session_with(server(), {"type": "function", "name": "f"})

    talk.say("session.update", session={"type": "realtime", "tools": [server(), server("more")]})

    labels = [event["item"]["server_label"] for event in talk.of("conversation.item.added")]
    assert labels == ["docs", "more"]


@pytest.mark.parametrize(
    ("policy", "asks"),
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
def test_require_approval_by_policy_and_tool(policy: dict[str, Any], asks: bool):
    assert needs_approval([server(**policy)], "docs", "search") is asks


def test_a_server_that_the_client_did_not_name_needs_no_approval():
    assert not needs_approval([server("other")], "docs", "search")
