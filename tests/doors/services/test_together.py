"""Many calls at once, and for long: nothing mixed, nothing left."""

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import structlog

from relay.parts.interfaces import (
    Parts,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    TranscriptionRequest,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.parts.simple import ScriptedTranscriber, tone
from tests.doors.services.stage import CONFIG, ServicesStage, Setting, scripted, services, wav
from tests.parts.doubles.ollama import MODEL, ollama

WORK = 0.05
"""Seconds that each part of these takes, as one process that does one thing at a time."""


class Length(ScriptedTranscriber):
    """Hears how long a sound is, in ms."""

    def __init__(self) -> None:
        super().__init__([])
        self._at_work = asyncio.Lock()

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        async with self._at_work:
            await asyncio.sleep(WORK)
        yield str(round(len(request.pcm) / 48))


class Echo:
    """Repeats what it is told, one after another."""

    name = "echo"

    def __init__(self, at_work: asyncio.Lock) -> None:
        self._at_work = at_work

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        async with self._at_work:
            await asyncio.sleep(WORK)
        yield ReplyDelta(f"I heard {request.prompt}")


def slow() -> Parts:
    at_work = asyncio.Lock()
    return replace(scripted(), transcriber=Length(), make_responder=lambda: Echo(at_work))


async def heard(stage: ServicesStage, ms: int) -> None:
    answered = await stage.post("/ai/process-audio", {"audio": wav(tone(ms)), "config": CONFIG})
    assert answered.status == 200
    said = answered.body["userText"]
    assert int(said) == pytest.approx(ms, abs=2)
    assert answered.body["text"] == f"I heard {said}"


async def test_S4_23_calls_overlap_and_none_gets_anothers_answer(
    record_property: Callable[[str, str], None],
) -> None:
    async with services(Setting(parts=slow())) as stage:
        began = time.perf_counter()
        for number in range(5):
            await heard(stage, 200 + 10 * number)
        one_by_one = (time.perf_counter() - began) / 5
        began = time.perf_counter()
        async with asyncio.TaskGroup() as calls:
            for number in range(20):
                calls.create_task(heard(stage, 200 + 10 * number))
        together = (time.perf_counter() - began) / 20

    speed_up = one_by_one / together
    record_property("speed-up of 20 at once", f"{speed_up:.2f}")
    assert speed_up > 1.2  # 2 is the most: there are two parts


async def test_S4_26_fifty_at_once_leave_no_file() -> None:
    before = set(Path(tempfile.gettempdir()).iterdir())
    async with services(Setting(parts=slow())) as stage:
        async with asyncio.TaskGroup() as calls:
            for number in range(50):
                calls.create_task(heard(stage, 200 + 10 * number))
        sounds = [one for one in _new(before) if one.suffix in (".wav", ".webm", ".mp3", ".pcm")]

    assert sounds == []


def _new(before: set[Path]) -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir()) - before


async def test_S4_31_a_call_is_one_line_with_its_time_and_without_words() -> None:
    with structlog.testing.capture_logs() as lines:
        async with services() as stage:
            await stage.post("/ai/generate", {"text": "My secret.", "config": CONFIG})

    (line,) = [one for one in lines if one["event"] == "service called"]
    assert (line["service"], line["status"]) == ("/ai/generate", 200)
    assert line["ms"] > 0
    assert "secret" not in str(lines)


async def test_S4_35_several_doors_share_one_model() -> None:
    async with ollama() as (double, address):
        for _ in range(2):
            client = OpenAIClient(f"{address}/v1", "")
            model = OpenAIResponder(client, MODEL)
            parts = replace(scripted(), make_responder=partial(one, model))
            async with services(Setting(parts=parts)) as stage:
                said = await stage.post("/ai/generate", {"text": "Hi", "config": CONFIG})
                assert said.body["text"] == "You said: Hi."
            await client.aclose()

    assert len(double.chats) == 2


def one(model: OpenAIResponder) -> OpenAIResponder:
    return model


@pytest.mark.slow
async def test_S4_40_five_hundred_calls_leave_memory_and_descriptors_as_before() -> None:
    async with services() as stage:
        body = {"audio": wav(tone(3000)), "config": CONFIG}
        for _ in range(50):
            await stage.post("/ai/process-audio", body)
        gc.collect()
        before, files = memory(), descriptors()
        for _ in range(500):
            assert (await stage.post("/ai/process-audio", body)).status == 200
            stage.written.records.clear()
        gc.collect()
        grown, more = memory() - before, descriptors() - files

    assert grown < 10 * 1024 * 1024
    assert more <= 2


def memory() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
