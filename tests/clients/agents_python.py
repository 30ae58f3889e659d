"""The conversation as PyPI's `openai-agents` holds it, unchanged, in a venv of its own.

Prints what its two calls have: their events, and the history that the session keeps.
"""

import asyncio
import json
import sys
from pathlib import Path

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeModelSendRawMessage, RealtimeRunner

ORIGIN, KEY, SAID = sys.argv[1:]
HEARD = "conversation.item.input_audio_transcription.completed"
MODEL = {
    "url": f"{ORIGIN.replace('http', 'ws', 1)}/v1/realtime?model=gpt-realtime-2.1",
    "api_key": KEY,
    "initial_model_settings": {"model_name": "gpt-realtime-2.1", "tracing": None},
}


@function_tool
async def weather(city: str) -> str:
    """The weather of a city."""
    return "rain"


class Talk:
    """One session and every event of the server that it hands on."""

    def __init__(self, session):
        self.session = session
        self.events = []
        self._coming = session.__aiter__()

    async def until(self, *kinds):
        """Read until one of each kind has come."""
        missing = list(kinds)
        while missing:
            event = await anext(self._coming)
            if event.type == "raw_model_event" and event.data.type == "raw_server_event":
                said = event.data.data
                self.events.append({key: said[key] for key in said if key != "delta"})
                if said["type"] in missing:
                    missing.remove(said["type"])

    async def speak(self):
        pcm = Path(SAID).read_bytes()
        for start in range(0, len(pcm), 4800):
            await self.session.send_audio(pcm[start : start + 4800])

    @property
    def seen(self):
        """What it has of the call."""
        history = [row(item) for item in self.session._history]
        return {"events": self.events, "history": history}


def row(item):
    if item.type == "function_call":
        return ["function_call", f"{item.name} {item.arguments}"]
    texts = [
        getattr(part, "text", None) or getattr(part, "transcript", None) or ""
        for part in item.content
    ]
    return [item.role, " ".join(texts)]


async def converse(talk):
    session = talk.session
    await talk.speak()
    await talk.until("rate_limits.updated", HEARD)
    await session.send_message("Tell me of Barbara.")
    await talk.until("response.output_audio.delta")
    await talk.speak()  # the session truncates by itself
    await talk.until("response.done", "conversation.item.truncated", HEARD, "rate_limits.updated")
    await session.send_message("And now in writing.")
    await talk.until("rate_limits.updated")
    await session.send_message("What is the weather in Oslo?")
    await talk.until("rate_limits.updated")  # the session calls the function by itself
    await talk.until("rate_limits.updated")
    await session.send_message("Once more of Barbara.")
    await talk.until("response.output_audio.delta")
    await session.interrupt()  # truncates, and cancels where the server would not
    await session.model.send_event(RealtimeModelSendRawMessage({"type": "response.cancel"}))
    await talk.until("response.done", "conversation.item.truncated")
    wrong = {"item_id": "item_that_never_was"}
    await session.model.send_event(
        RealtimeModelSendRawMessage({"type": "conversation.item.delete", "other_data": wrong})
    )
    await talk.until("error")


async def main():
    agent = RealtimeAgent(name="Guide", instructions="Be brief.", tools=[weather])
    runner = RealtimeRunner(agent)
    async with await runner.run(model_config=MODEL) as session:
        first = Talk(session)
        await converse(first)
    async with await runner.run(model_config=MODEL) as session:
        second = Talk(session)
        await session.send_message("Me again.")
        await second.until("rate_limits.updated")
    sys.stdout.write(json.dumps([first.seen, second.seen]))


asyncio.run(main())
