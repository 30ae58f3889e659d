"""Calls an OpenAI Realtime server over its WebSocket, as a client does, and times the answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.voice.call import Call

RATE: Final = 24_000
"""Hz of the Realtime API's PCM16."""
_LARGEST: Final = 2**24


@asynccontextmanager
async def calling(url: str, token: str, instructions: str, silence_ms: int) -> AsyncIterator[Call]:
    """A call over a session of its own, with a microphone that is open until the context's end."""
    call = Call(RATE)
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        url, additional_headers=headers, compression=None, max_size=_LARGEST
    ) as socket:
        await socket.send(json.dumps(_settings(instructions, silence_ms)))
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(_speak(socket, call)), group.create_task(_hear(socket, call))
            try:
                yield call
            finally:
                for task in tasks:
                    task.cancel()


def _settings(instructions: str, silence_ms: int) -> dict[str, Any]:
    turns = {"type": "server_vad", "silence_duration_ms": silence_ms}
    words = {"model": "whisper-1", "language": "en"}
    session = {
        "type": "realtime",
        "instructions": instructions,
        "audio": {"input": {"turn_detection": turns, "transcription": words}},
    }
    return {"type": "session.update", "session": session}


async def _speak(socket: ClientConnection, call: Call) -> None:
    async for pcm in call.frames():
        audio = base64.b64encode(pcm).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))


async def _hear(socket: ClientConnection, call: Call) -> None:
    async for message in socket:
        event = json.loads(message)
        match event["type"]:
            case "response.output_audio.delta":
                call.played(base64.b64decode(event["delta"]), RATE)
            case "response.output_audio_transcript.delta":
                call.mark("text")
                call.answered(event["delta"])
            case "input_audio_buffer.speech_started":
                call.stopped()
            case "input_audio_buffer.speech_stopped":
                call.mark("stopped")
            case "conversation.item.input_audio_transcription.completed":
                call.transcribed(event["transcript"])
            case "error" | "conversation.item.input_audio_transcription.failed":
                call.failed(str(event["error"].get("code") or event["error"].get("type")))
            case _:
                pass
