"""The far end of remote parts: OpenAI's three addresses, each with its first byte after 300 ms.

`python -m tests.benchmarks.voice.distant PORT`. It transcribes nothing: what it
measures is what happens between the parts, and it must cost next to nothing itself.
"""

import asyncio
import json
import math
import sys
from typing import Any, Final

import numpy as np
from aiohttp import web

FIRST_BYTE: Final = 0.3
"""Seconds that each part takes until its first byte."""
TRANSCRIPT: Final = "The conference will begin when the leader arrives."
ANSWER: Final = "Thank you, I will wait for the leader. Please tell me when the call begins."
RATE: Final = 24_000
SECONDS_A_WORD: Final = 0.35
_CHUNK: Final = RATE * 2 // 5
_BODY: Final = 2**25


async def transcribe(request: web.Request) -> web.Response:
    """`/audio/transcriptions`: the whole transcript at once."""
    await request.read()
    await asyncio.sleep(FIRST_BYTE)
    return web.json_response({"text": TRANSCRIPT, "usage": {"type": "duration", "seconds": 3}})


async def answer(request: web.Request) -> web.StreamResponse:
    """`/chat/completions`: a stream of words."""
    await request.read()
    await asyncio.sleep(FIRST_BYTE)
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await stream.prepare(request)
    for word in ANSWER.split():
        await _send(stream, {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
    ended = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
    await _send(stream, ended)
    await _send(stream, {"choices": [], "usage": usage})
    await stream.write(b"data: [DONE]\n\n")
    return stream


async def _send(stream: web.StreamResponse, chunk: dict[str, Any]) -> None:
    whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "distant"} | chunk
    await stream.write(f"data: {json.dumps(whole)}\n\n".encode())


async def speak(request: web.Request) -> web.StreamResponse:
    """`/audio/speech`: a tone as long as the words would take, as PCM16 at 24 kHz."""
    words = len(str((await request.json())["input"]).split())
    await asyncio.sleep(FIRST_BYTE)
    stream = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
    await stream.prepare(request)
    pcm = tone(words * SECONDS_A_WORD)
    for start in range(0, len(pcm), _CHUNK):
        await stream.write(pcm[start : start + _CHUNK])
    return stream


def tone(seconds: float) -> bytes:
    """A tone that any listener hears from its first window on."""
    steps = np.arange(int(seconds * RATE)) * (2 * math.pi * 220 / RATE)
    return bytes((np.sin(steps) * 8000).astype("<i2").tobytes())


def main(port: int) -> None:
    """Serve until a signal comes."""
    app = web.Application(client_max_size=_BODY)
    app.router.add_post("/v1/audio/transcriptions", transcribe)
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_post("/v1/audio/speech", speak)
    app.router.add_get("/health", lambda _: _healthy())
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


async def _healthy() -> web.Response:
    return web.Response(text="ok")


if __name__ == "__main__":
    main(int(sys.argv[1]))
