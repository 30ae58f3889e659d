"""`WS /ai/stream`: answers as they are written; one question after another on a socket."""

from contextlib import aclosing
from typing import Any, Final

from aiohttp import WSMsgType, web

from relay.doors.services.calls import NOT_CAUGHT, OneCall
from relay.doors.services.failures import envelope, invalid
from relay.doors.services.models import StreamBody
from relay.doors.services.serving import MAX_BODY_BYTES, Serving, parsed
from relay.parts.interfaces import Message

PING_SECONDS: Final = 30.0
ERROR: Final = "GenerationError"


async def stream(serving: Serving, request: web.Request) -> web.StreamResponse:
    """Answer each message of a socket by `transcript`, `delta`s and `done`, or by `error`."""
    await serving.callers.identify(request)
    socket = web.WebSocketResponse(heartbeat=PING_SECONDS, max_msg_size=MAX_BODY_BYTES)
    await socket.prepare(request)
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        try:
            await _answer(serving, request, socket, message.data)
        except ConnectionError:
            break
        except Exception as fault:  # noqa: BLE001 - the edge where a fault becomes an answer
            await socket.send_json({"type": "error", **envelope(serving.refused(fault, ERROR))})
    return socket


async def _answer(
    serving: Serving, request: web.Request, socket: web.WebSocketResponse, data: str
) -> None:
    async def read(_request: web.Request) -> StreamBody:
        return parsed(StreamBody, data.encode())

    async with serving.call(request, read) as (call, body):
        said = body.text
        if not said:
            said = await _heard(call, body)
            await socket.send_json({"type": "transcript", "text": said})
        text = await _written(call, body, said, socket) if said else NOT_CAUGHT
        done: dict[str, Any] = {"type": "done", "text": text, "userText": said}
        tools = [tool.model_dump() for tool in call.work.tools]
        told = {"tools": tools, "model": call.work.model, "no_speech": not said}
        await socket.send_json({**done, **told, "processing_time": call.elapsed})


async def _heard(call: OneCall, body: StreamBody) -> str:
    if not body.audio:
        raise invalid("Send a text or audio.")
    return await call.work.hear(await call.decoded(body.audio, body.format))


async def _written(
    call: OneCall, body: StreamBody, said: str, socket: web.WebSocketResponse
) -> str:
    before = [Message(turn.role, turn.content) for turn in body.conversation_history]
    asked = call.request(body.config, (*before, Message("user", said)), joins_talk=True)
    text = ""
    async with aclosing(call.work.answer(asked)) as pieces:
        async for piece in pieces:
            text += piece
            await socket.send_json({"type": "delta", "text": piece})
    return text.strip()
