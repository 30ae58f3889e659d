"""Writes what is to be answered in the form of Chat Completions; pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from relay.parts.interfaces import CallOutput, HistoryEntry, MadeCall, ReplyRequest

NOT_UNDERSTOOD: Final = "[not understood]"  # servers refuse a user's message without words
NO_OUTPUT_YET: Final = "No output yet."  # every call has to be followed by an output

ChatMessage = dict[str, Any]


def chat_messages(request: ReplyRequest) -> list[ChatMessage]:
    """Return the `messages`: the instructions, then the conversation.

    An output comes right after its call, wherever it stands in the history, and a call without one
    is followed by `NO_OUTPUT_YET`. An output of an unknown call, or a second one of the same, is
    told as plain text in its place.
    """
    messages = [_message("system", request.instructions)] if request.instructions else []
    return messages + _conversation(request.history, _first_outputs(request.history))


def chat_tools(request: ReplyRequest) -> list[dict[str, Any]]:
    """Return the `tools`, [] when there are none."""
    empty = {"type": "object", "properties": {}}
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or empty,
            },
        }
        for tool in request.tools
    ]


def chat_tool_choice(request: ReplyRequest) -> str | dict[str, Any]:
    """Return the `tool_choice`; what Chat Completions cannot say, such as MCP's, is "auto"."""
    choice = request.tool_choice
    if isinstance(choice, str):
        return choice if choice in ("none", "auto", "required") else "auto"
    if choice.get("type") == "function" and choice.get("name"):
        return {"type": "function", "function": {"name": choice["name"]}}
    return "auto"


def _conversation(
    history: Sequence[HistoryEntry], outputs: Mapping[str, CallOutput]
) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    calls: list[MadeCall] = []
    for entry in history:
        if isinstance(entry, MadeCall):
            calls.append(entry)
            continue
        messages += _called(calls, outputs)
        calls = []
        if isinstance(entry, CallOutput):
            if outputs.get(entry.call_id) is not entry:
                messages.append(_message("user", f"A function returned: {entry.output}"))
        elif entry.text or entry.role == "user":
            messages.append(_message(entry.role, entry.text or NOT_UNDERSTOOD))
    return messages + _called(calls, outputs)


def _first_outputs(history: Sequence[HistoryEntry]) -> dict[str, CallOutput]:
    """Return the output of each call: the first that comes after it, by the call's id."""
    called: set[str] = set()
    outputs: dict[str, CallOutput] = {}
    for entry in history:
        if isinstance(entry, MadeCall):
            called.add(entry.call_id)
        elif isinstance(entry, CallOutput) and entry.call_id in called:
            outputs.setdefault(entry.call_id, entry)
    return outputs


def _called(calls: Sequence[MadeCall], outputs: Mapping[str, CallOutput]) -> list[ChatMessage]:
    """Return calls that were made at once, and their outputs."""
    if not calls:
        return []
    made = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": _arguments(call.arguments)},
        }
        for call in calls
    ]
    returned = [
        {
            "role": "tool",
            "tool_call_id": call.call_id,
            "content": outputs[call.call_id].output if call.call_id in outputs else NO_OUTPUT_YET,
        }
        for call in calls
    ]
    return [{"role": "assistant", "content": None, "tool_calls": made}, *returned]


def _arguments(written: str) -> str:
    """Return the arguments as they are, "{}" where they are no JSON object: servers parse them."""
    try:
        return written if isinstance(json.loads(written), dict) else "{}"
    except ValueError:
        return "{}"


def _message(role: str, text: str) -> ChatMessage:
    return {"role": role, "content": text}
