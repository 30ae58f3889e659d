"""ElevenLabs' streamed speech; its voices are tones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from relay.parts.simple import tone
from tests.parts.doubles.double import Double, demand, serving, split

KEY = "eleven-key-of-the-double"
VOICE = "21m00Tcm4TlvDq8ikWAM"
OTHER_VOICE = "EXAVITQu4vr4xnSDxMaL"
MODELS = {"eleven_flash_v2_5", "eleven_multilingual_v2"}
MS_PER_CHARACTER = 20
ODD_BYTES = 4801


def error_body(status: int, code: str) -> object:
    if status == 422:
        fault = {"loc": ["body", "text"], "msg": "something private", "type": code}
        return {"detail": [fault]}
    return {"detail": {"status": code, "message": "You said something private with key eleven-k"}}


@dataclass
class ElevenLabsDouble(Double):
    """Answers requests that are as documented."""

    async def speak(self, request: web.Request) -> web.StreamResponse:
        demand(request.headers.get("xi-api-key") == KEY, 401, "invalid_api_key")
        voice = request.match_info["voice_id"]
        demand(voice in {VOICE, OTHER_VOICE}, 404, "voice_not_found")
        demand(dict(request.query) == {"output_format": "pcm_24000"}, 400, "output_format")
        demand(request.content_type == "application/json", 422, "wrong_content_type")
        body = await request.json()
        self.bodies.append((voice, body))
        demand(set(body) <= {"text", "model_id", "voice_settings"}, 422, "extra_forbidden")
        demand(isinstance(body.get("text"), str) and body["text"].strip(), 422, "string_too_short")
        demand(body.get("model_id") in MODELS, 400, "model_not_found")
        speed = body.get("voice_settings", {}).get("speed", 1.0)
        demand(0.7 <= speed <= 1.2, 422, "less_than_equal")
        pcm = tone(len(body["text"]) * MS_PER_CHARACTER)
        return await self.answer(request, split(pcm, ODD_BYTES), "audio/pcm")


@asynccontextmanager
async def elevenlabs() -> AsyncIterator[tuple[ElevenLabsDouble, str]]:
    """Serve the API; yields the double and its address."""
    double = ElevenLabsDouble(error_body)
    route = web.post("/v1/text-to-speech/{voice_id}/stream", double.speak)
    async with serving(double, route) as address:
        yield double, address
