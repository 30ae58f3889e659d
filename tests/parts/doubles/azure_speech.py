"""Azure Speech's recognition of short audio and its synthesis; it hears and speaks tones."""

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from relay.parts.simple import tone
from tests.parts.doubles.double import Double, demand, hertz, serving, split, wav_samples

KEY = "azure-key-of-the-double"
VOICES = {"en-US-JennyNeural", "de-DE-KatjaNeural"}
MS_PER_CHARACTER = 20
ODD_BYTES = 4801
SSML = "{http://www.w3.org/2001/10/synthesis}"
RECOGNITION = "/speech/recognition/conversation/cognitiveservices/v1"
MOST_SECONDS = 60


def error_body(status: int, code: str) -> object:
    message = "Access denied due to invalid subscription key: azure-key. Something private."
    return {"error": {"code": str(status), "message": message}}


@dataclass
class AzureDouble(Double):
    """Answers requests that are as documented; `recognition` is a status to answer instead."""

    recognition: str = ""

    def authorize(self, request: web.Request) -> None:
        demand(request.headers.get("Ocp-Apim-Subscription-Key") == KEY, 401, "401")

    async def recognize(self, request: web.Request) -> web.StreamResponse:
        self.authorize(request)
        wanted = "audio/wav; codecs=audio/pcm; samplerate=16000"
        demand(request.headers.get("Content-Type") == wanted, 415, "415")
        query = dict(request.query)
        self.bodies.append(query)
        demand(set(query) == {"language", "format"}, 400, "400")
        demand(re.fullmatch(r"[a-z]{2}-[A-Z]{2}", query["language"]), 400, "400")
        demand(query["format"] == "simple", 400, "400")
        pcm = wav_samples(await request.read(), 16_000)
        demand(len(pcm) <= MOST_SECONDS * 32_000, 400, "400")
        pitch = await asyncio.to_thread(hertz, pcm[:32_000], 16_000)
        found = {"RecognitionStatus": "Success", "DisplayText": f"A tone of {pitch} hertz."}
        if self.recognition or not pitch:
            found = {"RecognitionStatus": self.recognition or "InitialSilenceTimeout"}
        times = {"Offset": 1800000, "Duration": len(pcm) * 10_000_000 // 32_000}
        body = web.json_response(found | times).body
        assert isinstance(body, bytes)
        return await self.answer(request, split(body, 9), "application/json; charset=utf-8")

    async def speak(self, request: web.Request) -> web.StreamResponse:
        self.authorize(request)
        demand(request.content_type == "application/ssml+xml", 415, "415")
        wanted = "raw-24khz-16bit-mono-pcm"
        demand(request.headers.get("X-Microsoft-OutputFormat") == wanted, 400, "400")
        demand(request.headers.get("User-Agent"), 400, "400")
        try:
            speak = ET.fromstring(await request.read())  # noqa: S314 - of this test's own making
        except ET.ParseError:
            demand(False, 400, "400")
            raise
        demand(speak.tag == f"{SSML}speak" and speak.get("version") == "1.0", 400, "400")
        voice = speak.find(f"{SSML}voice")
        demand(voice is not None and voice.get("name") in VOICES, 400, "400")
        assert voice is not None
        prosody = voice.find(f"{SSML}prosody")
        text = "".join(voice.itertext())
        rate = prosody.get("rate") if prosody is not None else None
        self.bodies.append((voice.get("name"), text, rate))
        return await self.answer(
            request, split(tone(len(text) * MS_PER_CHARACTER), ODD_BYTES), "audio/basic"
        )


@asynccontextmanager
async def azure_speech() -> AsyncIterator[tuple[AzureDouble, str]]:
    """Serve both; yields the double and the address for either `endpoint`."""
    double = AzureDouble(error_body)
    routes = [
        web.post(RECOGNITION, double.recognize),
        web.post("/cognitiveservices/v1", double.speak),
    ]
    async with serving(double, *routes) as address:
        yield double, address
