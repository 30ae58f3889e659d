"""The `openai` package for Python, unchanged: a base URL and a key are all it is given."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from tests.clients.client import PATIENCE
from tests.clients.conversation import HISTORY, SAID_AGAIN, Place, direct, relayed
from tests.clients.seen import Event, Seen, seen
from tests.scenarios.stage import SILENCE, SPEECH

pytestmark = pytest.mark.clients
HEARD = "conversation.item.input_audio_transcription.completed"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
SESSION: Any = {
    "type": "realtime",
    "instructions": "Be brief.",
    "tools": [WEATHER],
    "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
}


class Talk:
    """One connection, and every event that came over it."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Event] = []

    async def until(self, *kinds: str) -> Event:
        """Read until one of each kind has come; the last of them."""
        missing = list(kinds)
        while missing:
            async with asyncio.timeout(PATIENCE):
                event = await self.connection.recv()
            self.events.append(event.model_dump(mode="json"))
            if event.type in missing:
                missing.remove(event.type)
        return self.events[-1]

    async def sound(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), 4800):
            audio = base64.b64encode(pcm[start : start + 4800]).decode()
            await self.connection.input_audio_buffer.append(audio=audio)

    async def write(self, text: str) -> None:
        content: Any = [{"type": "input_text", "text": text}]
        await self.add({"type": "message", "role": "user", "content": content})

    async def add(self, item: Any) -> None:
        await self.connection.conversation.item.create(item=item)
        await self.connection.response.create()


async def hold(place: Place) -> tuple[Seen, Seen]:
    """The whole conversation, and a call after it."""
    async with openai.AsyncOpenAI(base_url=f"{place.origin}/v1", api_key=place.key) as client:
        async with client.realtime.connect(model="gpt-realtime-2.1") as connection:
            talk = Talk(connection)
            await talk.until("session.created")
            await connection.session.update(session=SESSION)
            await talk.until("session.updated")
            await converse(talk)
        async with client.realtime.connect(model="gpt-realtime-2.1") as connection:
            again = Talk(connection)
            await again.until("session.created")
            await again.write("Me again.")
            await again.until("rate_limits.updated")
    return seen(talk.events), seen(again.events)


async def converse(talk: Talk) -> None:
    await talk.sound(SPEECH + SILENCE)
    await talk.until("rate_limits.updated", HEARD)
    await speak_over(talk)
    await talk.write("And now in writing.")
    await talk.until("rate_limits.updated")
    await talk.write("What is the weather in Oslo?")
    done = await talk.until("response.done")
    call = done["response"]["output"][0]["call_id"]
    await talk.until("rate_limits.updated")
    await talk.add({"type": "function_call_output", "call_id": call, "output": "rain"})
    await talk.until("rate_limits.updated")
    await talk.write("Once more of Barbara.")
    await talk.until("response.output_audio.delta")
    await talk.connection.response.cancel()
    await talk.until("response.done")
    await talk.connection.conversation.item.delete(item_id="item_that_never_was")
    await talk.until("error")


async def speak_over(talk: Talk) -> None:
    await talk.write("Tell me of Barbara.")
    item = (await talk.until("response.output_audio.delta"))["item_id"]
    await talk.sound(SPEECH)
    await talk.until("input_audio_buffer.speech_started")
    await talk.until("response.done")
    await talk.connection.conversation.item.truncate(
        item_id=item, content_index=0, audio_end_ms=100
    )
    await talk.until("conversation.item.truncated")
    await talk.connection.conversation.item.retrieve(item_id=item)
    await talk.until("conversation.item.retrieved")
    await talk.sound(SILENCE)
    await talk.until("rate_limits.updated", HEARD)


async def test_the_same_history_as_without_the_relay(tmp_path: Path) -> None:
    async with direct(tmp_path) as place:
        plain, plain_again = await hold(place)
    async with relayed(tmp_path) as place:
        through, through_again = await hold(place)
    assert plain.history == HISTORY
    assert plain_again.history == SAID_AGAIN
    assert (through, through_again) == (plain, plain_again)
