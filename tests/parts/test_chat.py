"""Chat Completions' form of a conversation: what servers accept, in the order they demand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.parts.chat import (
    NO_OUTPUT_YET,
    NOT_UNDERSTOOD,
    chat_messages,
    chat_tool_choice,
    chat_tools,
)
from relay.parts.interfaces import (
    CallOutput,
    FunctionTool,
    HistoryEntry,
    MadeCall,
    Message,
    ReplyRequest,
)

QUESTION = Message("user", "How warm is it in Rome?")


def call(call_id: str, arguments: str = '{"city": "Rome"}') -> MadeCall:
    return MadeCall(call_id, "weather", arguments)


def messages(*history: HistoryEntry, instructions: str = "") -> list[dict[str, object]]:
    return chat_messages(ReplyRequest(history=history, instructions=instructions))


def roles(written: list[dict[str, object]]) -> list[object]:
    return [message["role"] for message in written]


def test_instructions_come_first_and_messages_keep_their_order():
    assert messages(
        QUESTION,
        Message("assistant", "Warm."),
        Message("system", "Be short."),
        instructions="Talk.",
    ) == [
        {"role": "system", "content": "Talk."},
        {"role": "user", "content": "How warm is it in Rome?"},
        {"role": "assistant", "content": "Warm."},
        {"role": "system", "content": "Be short."},
    ]


def test_a_turn_that_was_not_understood_says_so_and_an_answer_without_words_is_left_out():
    assert messages(Message("user", "", audio=b"\0\0"), Message("assistant", "")) == [
        {"role": "user", "content": NOT_UNDERSTOOD}
    ]


def test_a_call_is_followed_by_its_output():
    assert messages(QUESTION, call("c1"), CallOutput("c1", "21"))[1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "21"},
    ]


def test_calls_made_at_once_are_one_message_and_keep_their_outputs():
    written = messages(call("c1"), call("c2"), CallOutput("c2", "b"), CallOutput("c1", "a"))
    assert roles(written) == ["assistant", "tool", "tool"]
    assert [message.get("content") for message in written[1:]] == ["a", "b"]


def test_calls_made_one_after_the_other_are_two():
    written = messages(call("c1"), CallOutput("c1", "a"), call("c2"), CallOutput("c2", "b"))
    assert roles(written) == ["assistant", "tool", "assistant", "tool"]


def test_an_output_that_came_late_stands_behind_its_call():
    written = messages(call("c1"), Message("user", "Hurry."), CallOutput("c1", "21"))
    assert roles(written) == ["assistant", "tool", "user"]
    assert written[1]["content"] == "21"


def test_a_call_without_an_output_has_none_yet():
    written = messages(call("c1"), Message("user", "Never mind."))
    assert written[1] == {"role": "tool", "tool_call_id": "c1", "content": NO_OUTPUT_YET}


@pytest.mark.parametrize(
    "history",
    [
        [CallOutput("c9", "21")],
        [CallOutput("c1", "21"), call("c1")],
        [call("c1"), CallOutput("c1", "20"), CallOutput("c1", "21")],
    ],
)
def test_an_output_without_a_call_before_it_is_plain_text(history):
    written = messages(*history)
    assert {"role": "user", "content": "A function returned: 21"} in written
    assert not any(m["role"] == "tool" and m["content"] == "21" for m in written)


@pytest.mark.parametrize("arguments", ["", "{", "[]", "7", "null"])
def test_arguments_that_are_no_object_are_an_empty_one(arguments):
    written = chat_messages(ReplyRequest(history=(call("c1", arguments),)))
    assert written[0]["tool_calls"][0]["function"]["arguments"] == "{}"


ENTRIES = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=3)),
    st.builds(MadeCall, st.sampled_from("abc"), st.just("f"), st.text(max_size=3)),
    st.builds(CallOutput, st.sampled_from("abcd"), st.text(max_size=3)),
)


@given(st.lists(ENTRIES, max_size=12))
def test_whatever_the_history_every_tool_message_follows_its_calls(history):
    due: list[str] = []
    for message in chat_messages(ReplyRequest(history=tuple(history))):
        if message["role"] == "tool":
            assert message["tool_call_id"] == due.pop(0)
            continue
        assert not due
        assert message["content"] or message["tool_calls"]
        due = [made["id"] for made in message.get("tool_calls", ())]
    assert not due


class TestTools:
    def test_they_are_functions_with_a_schema(self):
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        tools = (FunctionTool("weather", "How warm it is.", schema), FunctionTool("time"))
        first, second = chat_tools(ReplyRequest(tools=tools))
        assert first == {
            "type": "function",
            "function": {"name": "weather", "description": "How warm it is.", "parameters": schema},
        }
        assert second["function"]["parameters"] == {"type": "object", "properties": {}}

    @pytest.mark.parametrize(
        ("realtime", "chat"),
        [
            ("auto", "auto"),
            ("none", "none"),
            ("required", "required"),
            ("whatever", "auto"),
            (
                {"type": "function", "name": "weather"},
                {"type": "function", "function": {"name": "weather"}},
            ),
            ({"type": "mcp", "server_label": "docs"}, "auto"),
            ({}, "auto"),
        ],
    )
    def test_the_choice_is_written_in_chats_way(self, realtime, chat):
        assert chat_tool_choice(ReplyRequest(tool_choice=realtime)) == chat
