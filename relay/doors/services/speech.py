"""The two speech functions of old: a recording to text, and a text to MP3 (S3-86)."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from aiohttp import BodyPartReader, web
from pydantic import BaseModel

from relay.calls.http import BODY_SECONDS, Route
from relay.doors.services.calls import UNKNOWN_LANGUAGE, language_of
from relay.doors.services.failures import invalid
from relay.doors.services.models import SpeakBody
from relay.doors.services.serving import Serving, read_as
from relay.parts.interfaces import SAMPLE_RATE

MAX_FILE_BYTES: Final = 25 * 1024 * 1024
LEAST_SPEED: Final = 0.25
MOST_SPEED: Final = 4.0
_MAX_FIELD_BYTES: Final = 1024


Run = Callable[[Serving, web.Request], Awaitable[web.Response]]


class Recording(BaseModel):
    """A file with something said, and its language, where the caller knows it."""

    file: bytes = b""
    language: str = ""


def speech_routes(serving: Serving, prefix: str) -> list[Route]:
    """Return the routes of both below a path."""

    def route(name: str, run: Run, error: str) -> Route:
        path = f"{prefix}/voice-{name}"
        return "POST", path, serving.guarded(path, error, partial(run, serving))

    return [
        route("transcribe", _transcribe, "TranscriptionError"),
        route("synthesize", _synthesize, "SynthesisError"),
    ]


async def _transcribe(serving: Serving, request: web.Request) -> web.Response:
    async with serving.call(request, _read_recording) as (call, recording):
        pcm = await call.backing.decoder.decode(recording.file)
        text = await call.work.hear(pcm, recording.language or None)
        if not text:
            raise invalid("No speech detected")
        known = language_of(call, text)
        language = recording.language or (known if known != UNKNOWN_LANGUAGE else None)
        duration = round(len(pcm) / 2 / SAMPLE_RATE, 3)
        found = {"text": text, "confidence": None, "duration": duration, "language": language}
        return web.json_response(found)


async def _synthesize(serving: Serving, request: web.Request) -> web.Response:
    async with serving.call(request, read_as(SpeakBody)) as (call, body):
        speed = min(max(body.speed, LEAST_SPEED), MOST_SPEED)
        pcm = await call.work.speak(body.text, body.voice, speed)
        if not pcm:
            raise invalid("text: there is nothing to say in it")
        mp3 = await call.backing.decoder.encode_mp3(pcm)
        return web.Response(body=mp3, content_type="audio/mpeg")


async def _read_recording(request: web.Request) -> Recording:
    """Read a form; raises `ServiceFailed` for one without a file, or with too large a one."""
    if not request.content_type.startswith("multipart/"):
        raise invalid("No audio file provided")
    fields: dict[str, bytes] = {}
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader) and part.name in ("file", "audio", "language"):
                    most = _MAX_FIELD_BYTES if part.name == "language" else MAX_FILE_BYTES
                    fields[part.name] = await _whole(part, most)
    except TimeoutError:
        raise invalid("The file took too long to arrive") from None
    except (ValueError, AssertionError, OSError):  # what aiohttp raises for a form that is none
        raise invalid("The form cannot be read") from None
    file = fields.get("file") or fields.get("audio")
    if not file:
        raise invalid("No audio file provided")
    return Recording(file=file, language=fields.get("language", b"").decode(errors="replace"))


async def _whole(part: BodyPartReader, most: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > most:
            raise invalid(f"File too large: more than {most // 1024 // 1024} MB")
    return bytes(data)
