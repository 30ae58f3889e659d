"""How the services refuse and fail: one envelope, and nothing of the inside in it."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from relay.agents.agent import AgentDefaults, StaticCatalog
from relay.parts.interfaces import (
    FailureCode,
    PartFailed,
    PartKind,
    Parts,
    ReplyPiece,
    ReplyRequest,
    TranscriptionRequest,
)
from relay.realtime.billing.budget import BudgetHold
from relay.realtime.endings import BUDGET_EXHAUSTED, SessionRefused
from relay.realtime.grant import Grant
from tests.doors.services.stage import CONFIG, Setting, scripted, services, wav
from tests.golden.shapes import golden

SPEAK = {"audio": wav(), "config": CONFIG}
WRITE = {"text": "Hello", "config": CONFIG}


class Broken:
    """A part that fails like this."""

    name = "broken"
    languages = ()

    def __init__(self, part: PartKind, fault: Exception) -> None:
        self._part = part
        self._fault = fault

    async def prepare(self) -> None: ...
    async def aclose(self) -> None: ...

    async def probe(self) -> None:
        raise self._fault

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        raise self._fault
        yield ""

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        raise self._fault
        yield ""


def broken(part: PartKind, code: FailureCode = "failed") -> Parts:
    there = Broken(part, PartFailed(part, code, "secret detail"))
    if part == "transcriber":
        return replace(scripted(), transcriber=there)
    return replace(scripted(), make_responder=lambda: there)


@pytest.mark.parametrize(
    "body",
    [
        {"audio": "???", "config": CONFIG},
        {"audio": "bm90IGEgd2F2ZQ==", "config": CONFIG},
        {"audio": "", "config": CONFIG},
        {"audio": 7, "config": CONFIG},
        {"config": CONFIG},
        {"audio": wav()},
        {"audio": wav(), "config": {}},
        {"audio": wav(), "config": {**CONFIG, "temperature": 2.1}},
        {"audio": wav(), "config": {**CONFIG, "max_tokens": 0}},
        {"audio": wav(), "format": {"channels": 0}, "config": CONFIG},
        [],
        "audio",
    ],
)
async def test_S4_16_what_is_not_right_is_400(body: Any) -> None:
    async with services() as stage:
        answered = await stage.post("/ai/process-audio", body)

    assert answered.status == 400
    golden("services", "400", answered.body)


async def test_S4_16_what_is_no_json_is_400() -> None:
    async with services() as stage:
        answered = await stage.call("POST", "/ai/generate", data=b"{")

    assert answered.status == 400
    golden("services", "400", answered.body)


@pytest.mark.parametrize(
    ("path", "body", "part", "error"),
    [
        ("/ai/process-audio", SPEAK, "responder", "ProcessingError"),
        ("/ai/process-audio", SPEAK, "transcriber", "ProcessingError"),
        ("/ai/transcribe", {"audio": wav()}, "transcriber", "TranscriptionError"),
        ("/ai/generate", WRITE, "responder", "GenerationError"),
        ("/ai/chat", {"message": "Hello"}, "responder", "ChatError"),
    ],
)
async def test_S4_17_a_part_that_failed_is_500_by_the_services_name(
    path: str, body: Any, part: PartKind, error: str
) -> None:
    async with services(Setting(parts=broken(part))) as stage:
        answered = await stage.post(path, body)

    assert answered.status == 500
    golden("services", f"500 {error}", answered.body)
    assert "secret" not in str(answered.body)


@pytest.mark.parametrize("code", ["unavailable", "unauthorized", "timeout", "rate_limited", "busy"])
@pytest.mark.parametrize("part", ["transcriber", "responder"])
async def test_S4_18_a_back_end_that_is_not_there_is_503_and_health_says_so(
    part: PartKind, code: FailureCode
) -> None:
    service = {"transcriber": "whisper", "responder": "ollama"}[part]
    async with services(Setting(parts=broken(part, code))) as stage:
        answered = await stage.post("/ai/process-audio", SPEAK)
        health = await stage.get("/ai/health", token="")

    assert answered.status == 503
    golden("services", "503", answered.body)
    assert health.body["services"][service] is False
    assert health.body["status"] == "degraded"


async def test_S4_19_a_fault_of_ours_is_500_and_tells_nothing_of_it() -> None:
    parts = replace(scripted(), transcriber=Broken("transcriber", KeyError("a secret")))
    async with services(Setting(parts=parts)) as stage:
        answered = await stage.post("/ai/process-audio", SPEAK)

    assert answered.status == 500
    golden("services", "500", answered.body)
    assert "secret" not in str(answered.body)
    assert "Traceback" not in str(answered.body)


async def test_S4_20_every_refusal_has_the_one_envelope() -> None:
    async with services() as stage:
        nobody = await stage.post("/ai/generate", WRITE, token="")
        stranger = await stage.post("/ai/generate", WRITE, token="mallory")
        nothing = await stage.get("/ai/nothing")
        root = await stage.get("/nothing")
        method = await stage.get("/ai/generate")
        learner = await stage.post("/ai/rag/documents", {"documents": [{"id": "a", "text": "b"}]})

    assert [nobody.status, stranger.status] == [401, 401]
    assert [nothing.status, root.status, method.status, learner.status] == [404, 404, 405, 403]
    golden("services", "401", nobody.body)
    golden("services", "404", nothing.body)
    golden("services", "404", root.body)
    golden("services", "405", method.body)
    golden("services", "403", learner.body)


async def test_S4_20_an_agent_that_is_not_the_callers_is_403() -> None:
    defaults = AgentDefaults("default", "none", StaticCatalog({}))
    async with services(Setting(defaults=defaults)) as stage:
        answered = await stage.post("/ai/generate", WRITE)

    assert answered.status == 403
    golden("services", "403", answered.body)


async def test_S4_28_eight_megabytes_of_sound_pass_and_forty_are_413() -> None:
    eight = wav(bytes(8_000_000), 48_000)
    async with services() as stage:
        passed = await stage.post("/ai/transcribe", {"audio": eight})
        refused = await stage.call("POST", "/ai/transcribe", data=io.BytesIO(bytes(40_000_000)))
        streamed = await stage.call("POST", "/ai/transcribe", data=_chunks(40))

    assert passed.status == 200
    assert (refused.status, streamed.status) == (413, 413)
    golden("services", "413", refused.body)


async def _chunks(megabytes: int) -> AsyncIterator[bytes]:
    for _ in range(megabytes):
        yield bytes(1_000_000)


async def test_S4_29_a_caller_has_so_many_calls_a_minute_and_another_their_own() -> None:
    async with services(Setting(per_minute=2)) as stage:
        answered = [await stage.post("/ai/generate", WRITE) for _ in range(3)]
        other = await stage.post("/ai/generate", WRITE, token="bob")
        health = await stage.get("/ai/health")

    assert [one.status for one in answered] == [200, 200, 429]
    assert (other.status, health.status) == (200, 200)
    golden("services", "429", answered[2].body)


async def test_S4_29_strangers_are_counted_by_their_address() -> None:
    setting = Setting(is_open=True, per_minute=2)
    async with services(setting) as stage:
        answered = [await stage.post("/ai/generate", WRITE, token="") for _ in range(3)]

    assert [one.status for one in answered] == [200, 200, 429]


async def test_a_spent_budget_is_429() -> None:
    async def spent(grant: Grant, call_id: str, now: float) -> BudgetHold | None:
        raise SessionRefused(BUDGET_EXHAUSTED)

    async with services(Setting(open_budget=spent)) as stage:
        answered = await stage.post("/ai/generate", WRITE)

    assert answered.status == 429
    golden("services", "429", answered.body)


async def test_a_caller_who_hangs_up_leaves_no_place_taken() -> None:
    async with services() as stage:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stage.call("POST", "/ai/generate", data=_slowly())
        answered = await stage.post("/ai/generate", WRITE)

    assert answered.status == 200


async def _slowly() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()
