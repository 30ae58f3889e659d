"""What the services answer: to sound, to texts, in conversations."""

import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from relay.parts.interfaces import (
    Parts,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    TranscriptionRequest,
)
from relay.parts.openai_client import OpenAIClient
from relay.parts.openai_llm import OpenAIResponder
from relay.parts.simple import ScriptedTranscriber, silence, tone
from tests.doors.services.stage import CONFIG, Setting, scripted, services, wav
from tests.golden.shapes import golden
from tests.parts.doubles.ollama import MODEL, ollama

SPEAK = {"audio": wav(), "config": CONFIG}


class Ear(ScriptedTranscriber):
    """Keeps the sound it was given."""

    def __init__(self) -> None:
        super().__init__(["What is a volcano?"])
        self.pcm: list[bytes] = []

    async def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        self.pcm.append(request.pcm)
        async for words in super().transcribe(request):
            yield words


class Mind:
    """Answers with what it was asked, and keeps that."""

    name = "mind"

    def __init__(self) -> None:
        self.asked: list[ReplyRequest] = []

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        self.asked.append(request)
        yield ReplyDelta(f"You said: {request.prompt}")


def minded(mind: Mind, ear: Ear | None = None) -> Parts:
    return replace(scripted(), make_responder=lambda: mind, transcriber=ear or Ear())


async def test_S4_1_something_said_is_answered_with_text_and_what_it_took() -> None:
    async with services() as stage:
        answered = await stage.post("/ai/process-audio", SPEAK)

    assert answered.status == 200
    golden("services", "process-audio", answered.body)
    assert answered.body["userText"] == "Hello there."
    assert answered.body["text"] == "You said: Hello there."
    assert answered.body["tools"] == []


async def test_S4_2_prompt_temperature_and_length_reach_the_model() -> None:
    mind = Mind()
    config = {"system_prompt": "Be brief.", "temperature": 1.5, "max_tokens": 3}
    async with services(Setting(parts=minded(mind))) as stage:
        answered = await stage.post("/ai/generate", {"text": "one two three", "config": config})
        await stage.post("/ai/generate", {"text": "Hello", "config": CONFIG})

    given, usual = mind.asked
    assert (given.instructions, given.temperature, given.max_tokens) == ("Be brief.", 1.5, 3)
    assert (usual.temperature, usual.max_tokens) == (0.7, 2048)
    assert answered.body["text"].split() == ["You", "said:", "one"]


@pytest.mark.parametrize("asked", ["phi4", "gpt-4", "gpt-3.5-turbo"])
async def test_S4_2_a_model_that_is_not_there_is_answered_by_the_usual_one(asked: str) -> None:
    async with ollama() as (double, address):
        client = OpenAIClient(f"{address}/v1", "")
        parts = replace(
            scripted(), make_responder=lambda: OpenAIResponder(client, MODEL), resources=[client]
        )
        async with services(Setting(parts=parts)) as stage:
            body = {"text": "Good morning", "config": {**CONFIG, "model": asked}}
            answered = await stage.post("/ai/generate", body)
            replaced = stage.serving.accounting.counter.render()  # type: ignore[attr-defined]
        await client.aclose()

    assert (answered.status, answered.body["model"]) == (200, MODEL)
    assert (double.chats[-1]["model"], double.chats[-1]["temperature"]) == (MODEL, 0.7)
    assert b"relay_models_replaced_total 1.0" in replaced


async def test_S4_33_an_alias_names_a_model_of_the_back_end() -> None:
    mind = Mind()
    setting = Setting(parts=minded(mind), aliases={"phi4": "llama3.2:1b"}, unnamed_model=None)
    async with services(setting) as stage:
        body = {"text": "Hello", "config": {**CONFIG, "model": "phi4"}}
        await stage.post("/ai/generate", body)
        await stage.post("/ai/generate", {"text": "Hello", "config": CONFIG})

    assert [asked.model for asked in mind.asked] == ["llama3.2:1b", None]


@pytest.mark.parametrize(
    ("given", "rate", "channels", "width"),
    [(None, 48_000, 1, 2), ({}, 48_000, 1, 2), ({"sampleRate": 8000}, 8000, 1, 2)],
)
async def test_S4_3_pcm_without_a_header_is_read_by_its_format(
    given: dict[str, int] | None, rate: int, channels: int, width: int
) -> None:
    ear, second = Ear(), bytes([0, 64]) * rate * channels
    audio = base64.b64encode(second).decode() if given is not None else wav(second, rate)
    async with services(Setting(parts=minded(Mind(), ear))) as stage:
        answered = await stage.post("/ai/transcribe", {"audio": audio, "format": given})

    assert answered.status == 200
    assert len(ear.pcm[0]) == pytest.approx(48_000, rel=0.02)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
async def test_S4_4_wavs_of_every_kind_come_as_24_khz(rate: int, channels: int, width: int) -> None:
    ear, half = Ear(), rate // 400
    low, high = (pcm_sample(value, width) for value in (-9000, 9000))
    sound = (low * channels * half + high * channels * half) * 200
    async with services(Setting(parts=minded(Mind(), ear))) as stage:
        answered = await stage.post("/ai/transcribe", {"audio": wav(sound, rate, channels, width)})

    assert answered.status == 200
    assert len(ear.pcm[0]) == pytest.approx(48_000, rel=0.03)


def pcm_sample(value: int, width: int) -> bytes:
    if width == 1:  # the one kind without a sign
        return bytes([128 + value // 256])
    return (value << 8 * (width - 2)).to_bytes(width, "little", signed=True)


async def test_S4_5_the_time_is_what_passed_and_holds_that_of_the_parts() -> None:
    async with services() as stage:
        began = time.perf_counter()
        answered = await stage.post("/ai/process-audio", SPEAK)
        passed = time.perf_counter() - began

    took, usage = answered.body["processing_time"], answered.body["gpu_usage"]
    assert usage["whisper_time"] + usage["ollama_time"] <= took <= passed


@pytest.mark.parametrize("sound", [silence(2000), b"", tone(1000)[: 24 * 40]])
async def test_S4_6_silence_is_not_caught_and_asks_no_part(sound: bytes) -> None:
    mind, ear = Mind(), Ear()
    async with services(Setting(parts=minded(mind, ear))) as stage:
        answered = await stage.post("/ai/process-audio", {"audio": wav(sound), "config": CONFIG})
        written = await stage.post("/ai/transcribe", {"audio": wav(sound)})

    golden("services", "process-audio, silence", answered.body)
    assert (written.body["text"], written.body["no_speech"]) == ("", True)
    assert (mind.asked, ear.pcm) == ([], [])


async def test_S4_7_something_said_is_written_down() -> None:
    async with services() as stage:
        answered = await stage.post("/ai/transcribe", {"audio": wav()})

    golden("services", "transcribe", answered.body)
    assert (answered.body["text"], answered.body["language"]) == ("Hello there.", "unknown")


async def test_S4_8_a_text_is_answered() -> None:
    async with services() as stage:
        answered = await stage.post("/ai/generate", {"text": "Good day.", "config": CONFIG})

    golden("services", "generate", answered.body)
    assert answered.body["text"] == "You said: Good day."


async def test_S4_9_a_conversation_goes_on_by_its_id_and_for_its_caller_alone() -> None:
    mind = Mind()
    async with services(Setting(parts=minded(mind))) as stage:
        first = await stage.post("/ai/chat", {"message": "I am Ada."})
        known = {"conversation_id": first.body["conversation_id"]}
        again = await stage.post("/ai/chat", {"message": "Who am I?", **known})
        await stage.post("/ai/chat", {"message": "Who is she?", **known}, token="bob")

    golden("services", "chat", first.body)
    assert again.body["conversation_id"] == known["conversation_id"]
    said = [[entry.text for entry in asked.history] for asked in mind.asked]  # type: ignore[union-attr]
    assert said[1] == ["I am Ada.", "You said: I am Ada.", "Who am I?"]
    assert said[2] == ["Who is she?"]


async def test_S4_9_the_callers_own_history_is_read() -> None:
    mind = Mind()
    history = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hi."}]
    async with services(Setting(parts=minded(mind))) as stage:
        await stage.post("/ai/chat", {"message": "Who am I?", "conversation_history": history})

    assert [entry.text for entry in mind.asked[0].history] == ["I am Ada.", "Hi.", "Who am I?"]  # type: ignore[union-attr]


async def test_S4_9_a_stranger_goes_on_by_the_id_that_they_were_given_alone() -> None:
    mind = Mind()
    async with services(Setting(parts=minded(mind), is_open=True)) as stage:
        first = await stage.post("/ai/chat", {"message": "One."}, token="")
        known = {"conversation_id": first.body["conversation_id"]}
        await stage.post("/ai/chat", {"message": "Two.", **known}, token="")
        own = await stage.post(
            "/ai/chat", {"message": "Three.", "conversation_id": "mine"}, token=""
        )

    assert [len(asked.history) for asked in mind.asked] == [1, 3, 1]
    assert own.body["conversation_id"] != "mine"


async def test_S4_32_a_client_that_reads_three_fields_works_unmodified() -> None:
    async with services(Setting(is_open=True)) as stage:
        answered = await stage.post("/ai/process-audio", SPEAK, token="")

    read = {name: answered.body[name] for name in ("text", "userText", "tools")}
    assert read == {"text": "You said: Hello there.", "userText": "Hello there.", "tools": []}
