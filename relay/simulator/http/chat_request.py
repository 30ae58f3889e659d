"""The body of `/v1/chat/completions`, and what it asks of a responder."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from relay.parts.interfaces import (
    CallOutput,
    FunctionTool,
    HistoryEntry,
    MadeCall,
    Message,
    ReplyRequest,
)
from relay.simulator.http.answers import STATELESS_WAIT_SECONDS
from relay.simulator.http.refusals import invalid

MAX_MESSAGES = 2048
"""Messages of one request."""

MAX_TOOLS = 128
"""Tools of one request, as OpenAI has it."""

ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Limit = Annotated[int, Meta(ge=1)]


class TextPart(Struct, frozen=True):
    """A part of a message; of the kinds that OpenAI has only text is supported."""

    type: str
    text: str = ""


class NamedCall(Struct, frozen=True):
    """A function with its arguments in JSON."""

    name: ToolName
    arguments: str


class MessageCall(Struct, frozen=True):
    """A call that the model has made."""

    id: str
    function: NamedCall


class ChatMessage(Struct, frozen=True):
    """A message of any role."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[MessageCall] | None = None
    tool_call_id: str | None = None


class ToolFunction(Struct, frozen=True):
    """The function of a tool."""

    name: ToolName
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


class ChatTool(Struct, frozen=True):
    """A tool that may be called."""

    type: Literal["function"]
    function: ToolFunction


class ChosenName(Struct, frozen=True):
    """The name of the function that has to be called."""

    name: str


class ChosenTool(Struct, frozen=True):
    """The tool that has to be called."""

    type: Literal["function"]
    function: ChosenName


class StreamOptions(Struct, frozen=True):
    """What a stream brings beside the answer."""

    include_usage: bool = False


class ChatBody(Struct, frozen=True):
    """The body of a request; what is not here is ignored."""

    model: str
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[ChatTool], Meta(min_length=1, max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None

    @property
    def limit(self) -> int | None:
        """Return how many tokens the answer may have."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def function(self) -> str | None:
        """Return the name of the function that has to be called, None where it is free."""
        choice = self.tool_choice
        return choice.function.name if isinstance(choice, ChosenTool) else None


def reply_request(body: ChatBody) -> ReplyRequest:
    """Return what is asked of the responder; raises `HttpRefused` for a contradiction."""
    _check(body)
    _check_calls(body.messages)
    instructions, rest = _instructions(body.messages)
    return ReplyRequest(
        history=tuple(entry for message in rest for entry in _entries(message)),
        instructions=instructions,
        tools=tuple(
            FunctionTool(tool.function.name, tool.function.description, tool.function.parameters)
            for tool in body.tools or ()
        ),
        tool_choice=_tool_choice(body),
        max_tokens=body.limit,
        max_wait=STATELESS_WAIT_SECONDS,
    )


def text_of(message: ChatMessage) -> str:
    """Return the text of a message."""
    if isinstance(message.content, list):
        return "".join(part.text for part in message.content)
    return message.content or ""


def _instructions(messages: list[ChatMessage]) -> tuple[str, list[ChatMessage]]:
    """Return what the messages begin with for the model alone, and the other messages."""
    count = 0
    while count < len(messages) and messages[count].role in ("system", "developer"):
        count += 1
    return "\n\n".join(map(text_of, messages[:count])), messages[count:]


def _entries(message: ChatMessage) -> list[HistoryEntry]:
    text = text_of(message)
    match message.role:
        case "user":
            return [Message("user", text)]
        case "system" | "developer":
            return [Message("system", text)]
        case "tool":
            return [CallOutput(message.tool_call_id or "", text)]
        case "assistant":
            calls = message.tool_calls or ()
            said: list[HistoryEntry] = [Message("assistant", text)] if text else []
            return [*said, *(MadeCall(c.id, c.function.name, c.function.arguments) for c in calls)]


def _tool_choice(body: ChatBody) -> str | dict[str, str]:
    if isinstance(body.tool_choice, ChosenTool):
        return {"type": "function", "name": body.tool_choice.function.name}
    return body.tool_choice or "auto"


def _check(body: ChatBody) -> None:
    """Refuse what the types allow and OpenAI does not."""
    if body.tool_choice is not None and not body.tools:
        raise invalid("'tool_choice' is only allowed where there are 'tools'.", "tool_choice")
    names = {tool.function.name for tool in body.tools or ()}
    if body.function is not None and body.function not in names:
        raise invalid("'tool_choice' names a function that is not among 'tools'.", "tool_choice")
    if body.max_tokens and body.max_completion_tokens:
        message = "Either 'max_tokens' or 'max_completion_tokens' may be set, not both."
        raise invalid(message, "max_tokens")
    if body.stream_options is not None and not body.stream:
        raise invalid("'stream_options' is only allowed with 'stream'.", "stream_options")
    for number, sent in enumerate(body.messages):
        parts = sent.content if isinstance(sent.content, list) else ()
        if any(part.type not in ("text", "refusal") for part in parts):
            param = f"messages[{number}].content"
            raise invalid("Only text is supported.", param, "invalid_value")


def _check_calls(messages: list[ChatMessage]) -> None:
    """Refuse calls without an output, and outputs without a call."""
    awaited: set[str] = set()
    for number, message in enumerate(messages):
        param = f"messages[{number}].role"
        if message.role == "tool":
            if message.tool_call_id not in awaited:
                raise invalid("A 'tool' message has to answer one of the 'tool_calls'.", param)
            awaited.remove(message.tool_call_id)
        elif awaited:
            raise invalid("Every one of the 'tool_calls' has to be answered next.", param)
        awaited |= {call.id for call in message.tool_calls or ()}
    if awaited:
        raise invalid("Every one of the 'tool_calls' has to be answered.", "messages")
