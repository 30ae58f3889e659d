"""S3's own browser contract: beta events, everything in the query; here the relay truncates.

OpenAI speaks no beta any more, so the measure is the history that GA clients have without a relay.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.clients.client import PATIENCE
from tests.clients.conversation import BURST, HISTORY, SAID_AGAIN, SCRIPT
from tests.clients.seen import seen
from tests.scenarios.stage import SILENCE, SPEECH, Line, stage

pytestmark = pytest.mark.clients
HEARD = "conversation.item.input_audio_transcription.completed"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def write(line: Line, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    await add(line, {"type": "message", "role": "user", "content": content})


async def add(line: Line, item: dict[str, Any]) -> None:
    await line.send({"type": "conversation.item.create", "item": item}, {"type": "response.create"})


async def converse(line: Line) -> None:
    await line.until("session.updated")
    await line.send({"type": "session.update", "session": {"tools": [WEATHER]}})
    await line.until("session.updated")
    await line.speak(SPEECH + SILENCE)
    await line.until("rate_limits.updated")
    await speak_over(line)
    await write(line, "And now in writing.")
    await line.until("rate_limits.updated")
    await write(line, "What is the weather in Oslo?")
    done = await line.until("response.done")
    call = done["response"]["output"][0]["call_id"]
    await line.until("rate_limits.updated")
    await add(line, {"type": "function_call_output", "call_id": call, "output": "rain"})
    await line.until("rate_limits.updated")
    await write(line, "Once more of Barbara.")
    await line.until("response.audio.delta")
    await line.send({"type": "response.cancel"})
    await line.until("response.done")
    await line.send({"type": "conversation.item.delete", "item_id": "item_that_never_was"})
    await line.until("error")


async def speak_over(line: Line) -> None:
    await write(line, "Tell me of Barbara.")
    item = (await line.until("response.audio.delta"))["item_id"]
    await line.speak(SPEECH)
    await line.until("input_audio_buffer.speech_started")
    await line.until("response.done")
    await line.send({"type": "conversation.item.retrieve", "item_id": item})
    await line.until("conversation.item.retrieved")
    await line.speak(SILENCE)
    await line.until("rate_limits.updated")


async def test_S3_20_S3_47_the_history_that_others_have_without_the_relay(tmp_path: Path) -> None:
    async with asyncio.timeout(2 * PATIENCE), stage(tmp_path, SCRIPT, burst=BURST) as here:
        async with here.s3_client() as first:
            await converse(first)
        await here.emptied()
        async with here.s3_client() as second:
            await write(second, "Me again.")
            await second.until("rate_limits.updated")
    had = seen(first.events)
    assert had.history == HISTORY
    refused = [event["code"] for event in first.events if event["type"] == "error"]
    assert refused == ["item_delete_invalid_item_id"]
    assert seen(second.events).history == SAID_AGAIN
