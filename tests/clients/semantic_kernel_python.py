"""The conversation as PyPI's `semantic-kernel` holds it, unchanged, in a venv of its own.

Prints what was said in the order in which its user was told, the seconds of sound that were
played, and the errors.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    ListenEvents,
    OpenAIRealtimeExecutionSettings,
    OpenAIRealtimeWebsocket,
    SendEvents,
    TurnDetection,
)
from semantic_kernel.contents import (
    AudioContent,
    RealtimeAudioEvent,
    RealtimeEvent,
    RealtimeTextEvent,
    TextContent,
)
from semantic_kernel.contents.realtime_events import RealtimeFunctionResultEvent
from semantic_kernel.functions import kernel_function

ORIGIN, KEY, SAID = sys.argv[1:]
RATE = 24_000
MOMENT = 0.2


class Home:
    """A plugin."""

    @kernel_function(name="weather", description="The weather of a city.")
    def weather(self, city: str) -> str:
        return "rain"


class Loudspeaker:
    """Begins after a moment and plays what comes at the pace of sound until it is stopped."""

    def __init__(self):
        self.item, self.begun, self.samples, self.seconds = None, 0.0, 0, 0.0

    def take(self, item, samples):
        if item != self.item:
            self.item, self.begun, self.samples = item, time.monotonic() + MOMENT, 0
        self.samples += samples

    @property
    def played(self):
        return max(0.0, min(self.samples / RATE, time.monotonic() - self.begun))

    async def until(self, seconds):
        while self.played < seconds:
            await asyncio.sleep(0.02)

    async def played_out(self):
        await self.until(self.samples / RATE)
        self.seconds += self.samples / RATE


class Talk:
    """One session: a task reads it, the others wait for what has come."""

    def __init__(self, realtime):
        self.realtime = realtime
        self.speaker = Loudspeaker()
        self.rows, self.errors = [], []
        self.answers = 0
        self.news = asyncio.Event()

    async def read(self):
        async for event in self.realtime.receive():
            if event.service_type == ListenEvents.INPUT_AUDIO_BUFFER_SPEECH_STARTED:
                await self.stop_playing()
            self.take(event)
            self.news.set()

    async def stop_playing(self):
        speaker = self.speaker
        if speaker.played < speaker.samples / RATE:
            cut = {"item_id": speaker.item, "audio_end_ms": int(1000 * speaker.played)}
            kind = SendEvents.CONVERSATION_ITEM_TRUNCATE
            await self.realtime.send(RealtimeEvent(service_type=kind, service_event=cut))

    def take(self, event):
        said = event.service_event
        if isinstance(event, RealtimeAudioEvent):
            self.speaker.take(said.item_id, len(event.audio.data) // 2)
        elif isinstance(event, RealtimeTextEvent):
            if not self.rows or self.rows[-1][1] != said.item_id:
                self.rows.append(["assistant", said.item_id, ""])
            self.rows[-1][2] += event.text.text
        elif isinstance(event, RealtimeFunctionResultEvent):
            self.rows.append(["tool", None, event.function_result.result])
        elif event.service_type == ListenEvents.ERROR:
            self.errors.append(said.error.code)
        elif event.service_type == ListenEvents.RESPONSE_DONE:
            self.answers += said.response.status == "completed"

    async def until(self, condition):
        while not condition():
            await self.news.wait()
            self.news.clear()

    async def answered(self, count):
        """Read on until so many answers were whole, and hear the last."""
        await self.until(lambda: self.answers == count)
        await self.speaker.played_out()

    async def speak(self):
        """Send the turn at the pace of sound, a tenth of a second at a time."""
        pcm = Path(SAID).read_bytes()
        begun = time.monotonic()
        for start in range(0, len(pcm), 4800):
            piece = AudioContent(data=pcm[start : start + 4800], data_format="base64")
            await self.realtime.send(RealtimeAudioEvent(audio=piece))
            await asyncio.sleep(begun + (start + 4800) / (2 * RATE) - time.monotonic())

    async def write(self, text):
        await self.realtime.send(RealtimeTextEvent(text=TextContent(text=text)))
        await self.realtime.send(RealtimeEvent(service_type=SendEvents.RESPONSE_CREATE))


async def converse(talk):
    await talk.speak()
    await talk.answered(1)
    await talk.write("Tell me of Barbara.")
    first = talk.speaker.item
    await talk.until(lambda: talk.speaker.item != first)
    await talk.speaker.until(1.0)  # a second of it is heard
    await talk.speak()
    await talk.answered(2)
    await talk.write("What is the weather in Oslo?")
    await talk.answered(4)  # it calls the function and answers by itself


async def main():
    client = AsyncOpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY)
    realtime = OpenAIRealtimeWebsocket(ai_model_id="gpt-realtime-2.1", client=client)
    settings = OpenAIRealtimeExecutionSettings(
        instructions="Be brief.",
        turn_detection=TurnDetection(type="server_vad"),
        function_choice_behavior=FunctionChoiceBehavior.Auto(),
    )
    kernel = Kernel()
    kernel.add_plugin(Home(), "home")
    async with realtime(settings=settings, kernel=kernel):
        talk = Talk(realtime)
        reading = asyncio.create_task(talk.read())
        await converse(talk)
        reading.cancel()
    rows = [[role, text] for role, _, text in talk.rows]
    told = {"rows": rows, "seconds": talk.speaker.seconds, "errors": talk.errors}
    sys.stdout.write(json.dumps(told))


asyncio.run(main())
