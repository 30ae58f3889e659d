"""`/v1/chat/completions`: the responder of the parts, whole or as a stream."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from relay.parts.interfaces import (
    COMPLETED,
    FunctionCall,
    McpCall,
    Reply,
    ReplyDelta,
    ReplyEnding,
    ReplyPiece,
    Responder,
    SpokenMessage,
    StartOver,
    TokenUsage,
    as_json,
    incomplete,
)
from relay.simulator.http.answers import DONE, Answer, Streamed, as_event, as_whole, closing
from relay.simulator.http.chat_request import ChatBody, reply_request, text_of
from relay.simulator.http.refusals import SERVER_ERROR, HttpFailure, HttpRefused
from relay.simulator.http.tokens import tokens

_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A call of the answer."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """How an answer ended, and what it took."""

    finish_reason: str
    usage: TokenUsage


ChatPiece = str | ChatCall | ChatEnd
"""A token of the text, a whole call, or the end, which comes last."""


async def complete_chat(responder: Responder, body: ChatBody, now: int) -> Answer:
    """Return the answer to a conversation; `now` is Unix time in seconds."""
    written = write(responder.respond(reply_request(body)), body)
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": now, "model": body.model}
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return Streamed(_chunks(written, head, with_usage=with_usage))
    return as_whole(await _completion(written, head))


async def write(
    replies: AsyncIterator[ReplyPiece], body: ChatBody
) -> AsyncGenerator[ChatPiece, None]:
    """Yield what a responder answers, within the request's limit; raises `HttpRefused`."""
    count, called = 0, False
    ending, usage = COMPLETED, None
    async with closing(replies):
        async for piece in _flat(replies):
            if isinstance(piece, TokenUsage):
                usage = piece
            elif isinstance(piece, ReplyEnding):
                ending = piece
            elif body.limit is not None and count >= body.limit:
                ending = incomplete("max_output_tokens")
                break
            else:
                called = called or isinstance(piece, ChatCall)
                count += _count(piece)
                yield piece
    yield ChatEnd(_finish_reason(ending, body, called=called), usage or _counted(body, count))


async def _flat(
    replies: AsyncIterator[ReplyPiece],
) -> AsyncIterator[str | ChatCall | TokenUsage | ReplyEnding]:
    """Yield the pieces of a reply, text token by token; calls of MCP tools have no place here."""
    async for piece in replies:
        match piece:
            case Reply():
                for output in piece.outputs:
                    for part in _parts(output):
                        yield part
                yield piece.ending
            case ReplyDelta() | FunctionCall() | StartOver():
                for part in _parts(piece):
                    yield part
            case TokenUsage() | ReplyEnding():
                yield piece


def _parts(
    piece: ReplyDelta | SpokenMessage | FunctionCall | McpCall | StartOver,
) -> list[str | ChatCall]:
    match piece:
        case ReplyDelta() | SpokenMessage():
            return [*tokens(piece.text)]
        case FunctionCall():
            call_id = f"call_{secrets.token_hex(12)}"
            return [ChatCall(call_id, piece.name, as_json(piece.arguments))]
        case McpCall() | StartOver():  # nothing has come before: the request has no `is_unsent`
            return []


def _count(piece: str | ChatCall) -> int:
    return 1 if isinstance(piece, str) else len(tokens(piece.name + piece.arguments))


def _counted(body: ChatBody, output: int) -> TokenUsage:
    return TokenUsage(sum(len(tokens(text_of(message))) for message in body.messages), output)


def _finish_reason(ending: ReplyEnding, body: ChatBody, *, called: bool) -> str:
    details = ending.details or {}
    if ending.status == "failed":
        fault = details.get("error", {})
        raise HttpRefused(
            HttpFailure(
                429 if "rate_limit" in str(fault.get("code")) else 500,
                str(fault.get("message", "The model failed.")),
                str(fault.get("type", SERVER_ERROR)),
                fault.get("code"),
            )
        )
    if ending.status == "incomplete":
        return _REASONS.get(str(details.get("reason")), "length")
    # A call that the client has asked for by name is no decision of the model's.
    return "tool_calls" if called and body.function is None else "stop"


# ------------------------------------------------------------------------------------- the shapes


async def _completion(
    written: AsyncGenerator[ChatPiece, None], head: dict[str, Any]
) -> dict[str, Any]:
    text, calls = "", []
    end = ChatEnd("stop", TokenUsage(0, 0))
    async with aclosing(written):
        async for piece in written:
            match piece:
                case str():
                    text += piece
                case ChatCall():
                    calls.append(_call(piece))
                case ChatEnd():
                    end = piece
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message["content"] = text or None
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": end.finish_reason}
    return {
        **head,
        "object": "chat.completion",
        "choices": [choice],
        "usage": _usage(end.usage),
    }


async def _chunks(
    written: AsyncGenerator[ChatPiece, None], head: dict[str, Any], *, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    head = {**head, "object": "chat.completion.chunk"}
    extra = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return as_event({**head, "choices": [choice], **extra})

    begun, calls = False, 0
    async with aclosing(written):
        async for piece in written:
            if not begun:
                begun = True
                content = None if isinstance(piece, ChatCall) else ""
                yield chunk({"role": "assistant", "content": content, "refusal": None})
            if isinstance(piece, ChatEnd):
                yield chunk({}, piece.finish_reason)
                if with_usage:
                    yield as_event({**head, "choices": [], "usage": _usage(piece.usage)})
            elif isinstance(piece, ChatCall):
                for delta in _call_deltas(piece, calls):
                    yield chunk(delta)
                calls += 1
            else:
                yield chunk({"content": piece})
    yield DONE


def _call(call: ChatCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _call_deltas(call: ChatCall, index: int) -> list[dict[str, Any]]:
    opening = {**_call(call), "index": index, "function": {"name": call.name, "arguments": ""}}
    parts = [{"index": index, "function": {"arguments": p}} for p in tokens(call.arguments)]
    return [{"tool_calls": [part]} for part in (opening, *parts)]


def _usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
