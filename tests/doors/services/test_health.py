"""Health: what is asked of the services, and how soon it is told."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.doors.services.health import HealthWatch, ServiceState, read_gpu
from relay.parts.interfaces import PartFailed, ReplyDelta, ReplyPiece, ReplyRequest
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from tests.doors.services.stage import CONFIG, Setting, scripted, services, wav
from tests.golden.shapes import golden
from tests.parts.doubles.ollama import MODEL, ollama


async def test_S4_12_health_is_healthy_where_all_three_work() -> None:
    async with services() as stage:
        health = await stage.get("/ai/health", token="")
        old = await stage.get("/health", token="")

    assert health.status == 200
    golden("services", "health", health.body)
    assert health.body["status"] == old.body["status"] == "healthy"
    assert health.body["services"]["langchain"] is True


async def test_S4_12_one_that_does_not_work_makes_it_degraded(tmp_path: Path) -> None:
    async with services(Setting(knowledge_file=tmp_path)) as stage:  # a folder is no file
        health = await stage.get("/ai/health")

    assert health.status == 200
    assert health.body["status"] == "degraded"
    assert health.body["services"]["langchain"] is False


async def test_S4_13_there_is_no_card_here() -> None:
    async with services() as stage:
        health = await stage.get("/ai/health/gpu")

    golden("services", "health/gpu", health.body)


def test_S4_22_a_card_is_shown_with_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", card())

    assert read_gpu() == {
        "gpu_available": True,
        "gpu_name": "NVIDIA L4",
        "memory_used": 6.0,
        "memory_total": 24.0,
        "utilization": 37.0,
        "cuda_version": "12.4",
        "device_count": 1,
    }


def card() -> SimpleNamespace:
    """NVIDIA's library, of a machine with one card."""
    return SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=6 << 30, total=24 << 30),
        nvmlSystemGetCudaDriverVersion=lambda: 12_040,
        nvmlDeviceGetName=lambda _: b"NVIDIA L4",
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=37),
        nvmlDeviceGetCount=lambda: 1,
    )


async def test_S4_14_each_service_is_shown_with_device_host_and_model() -> None:
    async with services() as stage:
        health = await stage.get("/ai/health/services")

    golden("services", "health/services", health.body)
    shown = health.body["services"]
    assert (shown["ollama"]["host"], shown["ollama"]["model"]) == (
        "http://127.0.0.1:11434",
        "script",
    )


async def test_S4_21_the_door_opens_without_its_model_and_says_so() -> None:
    client = OpenAIClient("http://127.0.0.1:9/v1", "")
    parts = replace(scripted(), make_responder=lambda: OpenAIResponder(client, "phi4"))
    async with services(Setting(parts=parts)) as stage:
        health = await stage.get("/ai/health")
        answered = await stage.post("/ai/generate", {"text": "Hello", "config": CONFIG})
    await client.aclose()

    assert health.body["status"] == "degraded"
    assert health.body["services"]["ollama"] is False
    assert answered.status == 503


async def test_S4_18_health_sees_a_back_end_go_and_come_within_one_round() -> None:
    async with ollama() as (_, address):
        client = OpenAIClient(f"{address}/v1", "")
        model = OpenAIResponder(client, MODEL)
        watch = HealthWatch({"ollama": model.probe})
        await watch.look()
        before = watch.states["ollama"]
        await client.aclose()
        await watch.look()

    assert before.available
    assert before.latency_ms is not None
    assert watch.states["ollama"] == ServiceState(reason="unavailable")


async def test_S4_27_health_answers_at_once_while_others_are_at_work() -> None:
    class Slow:
        name = "slow"

        async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
            await asyncio.sleep(0.5)
            yield ReplyDelta("Yes.")

    parts = replace(scripted(), make_responder=Slow)
    body = {"audio": wav(bytes([0, 64]) * 500_000), "config": CONFIG}
    async with services(Setting(parts=parts)) as stage, asyncio.TaskGroup() as others:
        for _ in range(8):
            others.create_task(stage.post("/ai/process-audio", body))
        took = []
        for _ in range(30):
            began = time.perf_counter()
            assert (await stage.get("/ai/health")).status == 200
            took.append(time.perf_counter() - began)

    assert sorted(took)[26] < 0.1
    assert max(took) < 0.25


async def test_a_part_that_never_answers_is_not_there() -> None:
    async def never() -> None:
        raise PartFailed("responder", "timeout")

    watch = HealthWatch({"ollama": never})
    await watch.look()

    assert watch.states["ollama"].reason == "timeout"
