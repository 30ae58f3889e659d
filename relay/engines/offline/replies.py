"""What a brain may answer: words, calls of tools, and how the answer ends."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Details = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """Something that is said.

    `phase` is `commentary` or `final_answer` where a model tells (gpt-realtime-2.x), `pcm` its
    sound where no mouth is needed.
    """

    text: str
    phase: str | None = None
    pcm: bytes | None = None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function that the client shall call; it answers with `function_call_output`.

    `arguments` are an object, or JSON as a model might write it.
    """

    name: str
    arguments: Mapping[str, Any] | str = "{}"


@dataclass(frozen=True, slots=True)
class McpCall:
    """A tool of an MCP server that was called: what came of it, or `error` when it failed."""

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = "{}"
    output: str = ""
    error: str | None = None


Output = Message | FunctionCall | McpCall

Weave = Literal["in_turn", "overlapping", "alternating"]
"""How the events of several outputs follow one another.

`in_turn`: each ends before the next begins. `overlapping`: the next one's deltas come before the
last one's end, as gpt-realtime-2.1 does it (WIRE §4.7). `alternating`: all of them at once.
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ends: its `status` and its `status_details`."""

    status: str
    details: Details | None = None


IN_PROGRESS = Ending("in_progress")
COMPLETED = Ending("completed")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: what is put out, in which weave, and the ending after it."""

    outputs: tuple[Output, ...]
    weave: Weave = "overlapping"
    ending: Ending = COMPLETED


@dataclass(frozen=True, slots=True)
class Occasion:
    """When in a session a reply is given, counted from 1: as which response, after which turn."""

    response: int
    turn: int


Revise = Callable[[Occasion, Reply], Reply]
"""What becomes of a brain's reply before it is given."""


def as_it_is(_: Occasion, reply: Reply) -> Reply:
    """Leave a reply as the brain gave it."""
    return reply


def failed(code: str, message: str, kind: str = "server_error") -> Ending:
    """Return the ending of a response that failed (PROTOCOL §4.10)."""
    fault = {"type": kind, "code": code, "message": message}
    return Ending("failed", {"type": "failed", "error": fault})


def incomplete(reason: str) -> Ending:
    """Return the ending of one that was cut: `max_output_tokens` or `content_filter`."""
    return Ending("incomplete", {"type": "incomplete", "reason": reason})


def cancelled(reason: str) -> Ending:
    """Return the ending of one that was stopped: `turn_detected` or `client_cancelled`."""
    return Ending("cancelled", {"type": "cancelled", "reason": reason})


def as_reply(answer: str | Reply) -> Reply:
    """Return a brain's answer as a reply: plain text is one message."""
    return Reply((Message(answer),)) if isinstance(answer, str) else answer


def as_json(arguments: Mapping[str, Any] | str) -> str:
    """Return the arguments of a call as the JSON that travels."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
