"""The two speech functions of old: a form with a recording, and a text to speak."""

import base64
import io
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from relay.parts.interfaces import SynthesisRequest
from relay.parts.simple import ToneSynthesizer, silence
from tests.doors.services.stage import Setting, scripted, services, wav
from tests.golden.shapes import golden


class Voice(ToneSynthesizer):
    """Keeps what it is asked to say."""

    def __init__(self) -> None:
        self.asked: list[SynthesisRequest] = []

    def synthesize(self, request: SynthesisRequest) -> Any:
        self.asked.append(request)
        return super().synthesize(request)


def form(file: bytes | None = None, **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(fields)
    if file is not None:
        made.add_field("file", io.BytesIO(file), filename="said.wav", content_type="audio/wav")
    return made


RECORDING = base64.b64decode(wav())


@pytest.mark.parametrize("prefix", ["/ai", "/functions/v1"])
async def test_S3_86_a_recording_is_written_down(prefix: str) -> None:
    async with services() as stage:
        answered = await stage.call(
            "POST", f"{prefix}/voice-transcribe", data=form(RECORDING, language="en")
        )

    assert answered.status == 200
    golden("services", "voice-transcribe", answered.body)
    assert (answered.body["text"], answered.body["language"]) == ("Hello there.", "en")
    assert answered.body["duration"] == 0.5


FILES = {
    "none": None,
    "empty": b"",
    "no recording": b"not a recording",
    "too large": bytes(25 * 1024 * 1024 + 1),
    "silent": base64.b64decode(wav(silence(1000))),
}


@pytest.mark.parametrize("name", FILES)
async def test_S3_86_no_file_too_large_a_one_or_no_speech_is_400(name: str) -> None:
    data = FILES[name]
    async with services() as stage:
        answered = await stage.call("POST", "/ai/voice-transcribe", data=form(data, language="en"))

    assert answered.status == 400
    golden("services", "voice-*, error", answered.body)


async def test_S3_86_without_a_token_it_is_401() -> None:
    async with services() as stage:
        written = await stage.call("POST", "/ai/voice-transcribe", "", data=form(RECORDING))
        spoken = await stage.post("/ai/voice-synthesize", {"text": "Hello"}, token="")

    assert (written.status, spoken.status) == (401, 401)
    golden("services", "voice-*, error", spoken.body)


@pytest.mark.parametrize(("speed", "heard"), [(0.1, 0.25), (1.5, 1.5), (9, 4.0)])
async def test_S3_86_a_text_is_spoken_as_mp3_at_a_speed_within_bounds(
    speed: float, heard: float
) -> None:
    voice = Voice()
    body = {"text": "Hello", "voice": "alloy", "speed": speed, "model": "tts-1-hd"}
    async with services(Setting(parts=replace(scripted(), synthesizer=voice))) as stage:
        answered = await stage.post("/ai/voice-synthesize", body)

    assert (answered.status, answered.headers["Content-Type"]) == (200, "audio/mpeg")
    assert answered.body[:3] == b"ID3" or answered.body[0] == 0xFF
    assert (voice.asked[0].text, voice.asked[0].voice) == ("Hello", "alloy")
    assert voice.asked[0].speed == heard


@pytest.mark.parametrize(("length", "status"), [(4096, 200), (4097, 400), (0, 400)])
async def test_S3_86_a_text_has_4096_characters_at_most(length: int, status: int) -> None:
    async with services() as stage:
        answered = await stage.post("/ai/voice-synthesize", {"text": "a" * length})

    assert answered.status == status
