"""`make bench-gpu`: the transcriber and the local model on the processor, and on a CUDA device.

`python -m tests.benchmarks.gpu`. Without such a device it says so in one line and is done.
"""

import asyncio
import ctypes
import sys
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Any, Final

from relay.parts.interfaces import Message, ReplyDelta, ReplyRequest, TranscriptionRequest
from relay.parts.llama import LlamaModel
from relay.parts.whisper import WhisperTranscriber
from relay.parts.worker import Device
from tests.benchmarks.contenders import ROOT
from tests.benchmarks.voice.call import Saying
from tests.benchmarks.voice.material import recordings

NO_GPU: Final = "no GPU here: not run"
SENTENCES: Final = 6
REPEATED: Final = 3
RATE: Final = 24_000
PATIENCE: Final = 120.0
"""Seconds that a piece of work may wait: nothing is refused as busy here."""


def cuda_devices() -> int:
    """How many CUDA devices the driver offers; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


async def timed(pieces: AsyncIterator[Any]) -> tuple[float, float, list[Any]]:
    """Seconds until the first piece and until the last, and the pieces."""
    began, first, found = time.perf_counter(), 0.0, []
    async for piece in pieces:
        first = first or time.perf_counter() - began
        found.append(piece)
    return first, time.perf_counter() - began, found


async def measure_transcriber(device: Device, sayings: list[Saying]) -> str:
    """One line: seconds to load, and per recording."""
    transcriber = WhisperTranscriber(device=device)
    began = time.perf_counter()
    await transcriber.prepare()
    loaded, spent = time.perf_counter() - began, []
    try:
        for saying in sayings * REPEATED:
            request = TranscriptionRequest(saying.pcm(RATE), max_wait=PATIENCE)
            spent.append((await timed(transcriber.transcribe(request)))[1])
    finally:
        await transcriber.aclose()
    return (
        f"Whisper    {device:5} loaded {loaded:5.2f} s  a recording {median(spent):6.3f} s"
        f" (computed on {transcriber.device or '?'})"
    )


async def measure_model(device: Device, sayings: list[Saying]) -> str:
    """One line: seconds to load, until the first words and for an answer."""
    model = LlamaModel(device=device)
    began = time.perf_counter()
    await model.prepare()
    loaded, firsts, wholes, words = time.perf_counter() - began, [], [], 0
    try:
        for saying in sayings * REPEATED:
            request = ReplyRequest((Message("user", saying.text),), max_wait=PATIENCE)
            first, whole, pieces = await timed(model.answer(request))
            firsts.append(first)
            wholes.append(whole)
            words += sum(isinstance(piece, ReplyDelta) for piece in pieces)
    finally:
        await model.aclose()
    rate = words / sum(wholes)
    return (
        f"llama.cpp  {device:5} loaded {loaded:5.2f} s  first words {median(firsts):6.3f} s"
        f"  {rate:6.1f} pieces a second (computed on {model.device or '?'})"
    )


async def main() -> None:
    """Print two lines for each device."""
    sayings = recordings(SENTENCES, 0, ROOT / "build" / "bench-voice" / "recordings")
    for device in ("cpu", "cuda"):
        print(await measure_transcriber(device, sayings), flush=True)
        print(await measure_model(device, sayings), flush=True)


if __name__ == "__main__":
    if not cuda_devices():
        print(NO_GPU)
        sys.exit(0)
    asyncio.run(main())
