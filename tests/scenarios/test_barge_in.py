"""A voice interrupts the answer of the local voice: at once it is silent, and its parts stop."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from relay.metrics import PartMetrics
from relay.parts.interfaces import SAMPLE_RATE
from tests.components import needs
from tests.engines.cascade.recordings import prompt
from tests.own_time import own_time
from tests.scenarios.speaking import PAUSE, local_voice, speaker

pytestmark = [pytest.mark.slow, needs("voice", "human_recordings", "ffmpeg")]

STARTED: Final = "input_audio_buffer.speech_started"
SOUND: Final = "response.output_audio.delta"
AT_MOST: Final = 0.1
"""Seconds from `speech_started` at the client to the end of all work for the answer."""

WORD_SECONDS: Final = 0.01
"""Between two words of the model: as precisely as its end is known."""


class EndlessModel:
    """A server like OpenAI's: after one short answer its model writes until nobody reads it."""

    def __init__(self) -> None:
        self.is_first = True
        self.left = asyncio.Event()
        self.left_at = 0.0

    async def complete(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        is_endless, self.is_first = not self.is_first, False
        try:
            await self.write(response)
            while is_endless:
                await self.write(response)
            await self.send(response, {"delta": {}, "finish_reason": "stop"})
            await response.write(b"data: [DONE]\n\n")
        except ConnectionError:
            if not self.left.is_set():
                self.left_at = own_time()
                self.left.set()
        return response

    async def write(self, response: web.StreamResponse) -> None:
        """Write a sentence."""
        for word in ("One", " more", " of", " many", " short", " sentences", ". "):
            await self.send(response, {"delta": {"content": word}, "finish_reason": None})
            await asyncio.sleep(WORD_SECONDS)

    async def send(self, response: web.StreamResponse, choice: dict[str, Any]) -> None:
        """Send a piece of the answer."""
        chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


@asynccontextmanager
async def serving(model: EndlessModel) -> AsyncIterator[str]:
    """Serve the model; yields its base address."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.fixture
def under_way(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How much work the parts have, by part; `ended` is when the last of it ended, in ms."""
    counts = {"transcriber": 0, "responder": 0, "synthesizer": 0, "ended": 0}
    started, ended = PartMetrics.part_started, PartMetrics.part_ended

    def start(metrics: PartMetrics, part: str) -> None:
        counts[part] += 1
        started(metrics, part)

    def end(metrics: PartMetrics, part: str, model: str, seconds: float, outcome: str) -> None:
        counts[part] -= 1
        counts["ended"] = round(own_time() * 1000)
        ended(metrics, part, model, seconds, outcome)

    monkeypatch.setattr(PartMetrics, "part_started", start)
    monkeypatch.setattr(PartMetrics, "part_ended", end)
    return counts


async def test_who_interrupts_hears_nothing_more_and_nobody_works_on(
    tmp_path: Path, under_way: dict[str, int], record_property: Callable[[str, str], None]
) -> None:
    """Times leave out what other programs took of the machine; seen: see the properties."""
    model = EndlessModel()
    async with (
        serving(model) as address,
        local_voice(tmp_path, relay_llm="openai", llm_base_url=address, llm_model="endless") as app,
        speaker(app) as client,
    ):
        assert await client.answer_to(prompt("hello"))  # by then its models have loaded
        await client.append(prompt("something-terribly-wrong") + PAUSE)
        (answer,) = {e["response_id"] for e in await client.until(SOUND) if e["type"] == SOUND}
        assert under_way["responder"] == 1
        await client.append(prompt("conf-onlyperson")[: 2 * SAMPLE_RATE])
        await client.until(STARTED)
        began = own_time()

        after = await client.until("response.done")
        assert (under_way["responder"], under_way["synthesizer"]) == (0, 0)
        parts_ended = under_way["ended"] / 1000
        async with asyncio.timeout(10):
            await model.left.wait()
        await client.append(PAUSE)
        after += await client.until(SOUND)

    assert after[-1]["response_id"] != answer
    assert [e for e in after if e["type"] == SOUND and e["response_id"] == answer] == []
    done = next(e["response"] for e in after if e["type"] == "response.done")
    assert (done["id"], done["status"]) == (answer, "cancelled")
    stopped = {"parts": parts_ended - began, "model": model.left_at - began}
    record_property("stopped after", str(stopped))
    assert max(stopped.values()) <= AT_MOST, stopped
