"""`/v1/audio/transcriptions`: writes down an uploaded file by the transcriber of the parts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Literal

from msgspec import Struct

from relay.parts.interfaces import SAMPLE_RATE, Transcriber, TranscriptionRequest
from relay.simulator.http.answers import (
    STATELESS_WAIT_SECONDS,
    Answer,
    Streamed,
    Whole,
    as_event,
    as_whole,
    closing,
)
from relay.simulator.http.bodies import Form, Holding, convert
from relay.simulator.http.refusals import invalid, missing_parameter
from relay.simulator.http.sound import BadSound, decode
from relay.simulator.http.tokens import tokens

LEAST_SECONDS = 0.1
"""Shorter sounds are refused, as OpenAI has it."""

AUDIO_TOKENS_PER_SECOND = 10

_TRUE = ("true", "True", "1")


class TranscriptionFields(Struct, frozen=True):
    """The fields of a form; those that are not here are ignored."""

    model: str
    language: str | None = None
    prompt: str | None = None
    response_format: Literal["json", "text", "verbose_json"] = "json"
    stream: str = "false"


async def transcribe_file(transcriber: Transcriber, form: Form, holding: Holding) -> Answer:
    """Return the transcript of the form's file."""
    fields = convert(form.fields, TranscriptionFields)
    whisper = "whisper" in fields.model
    if fields.response_format == "verbose_json" and not whisper:
        message = f"'verbose_json' is not a response_format of '{fields.model[:100]}'."
        raise invalid(message, "response_format", "unsupported_value")
    pcm = await _sound(form)
    holding.add(len(pcm))
    seconds = len(pcm) / 2 / SAMPLE_RATE
    pieces = transcriber.transcribe(
        TranscriptionRequest(pcm, fields.language, fields.prompt, STATELESS_WAIT_SECONDS)
    )
    if fields.stream in _TRUE and not whisper:  # whisper-1 does not stream, whatever is asked for
        return Streamed(_events(pieces, seconds))
    text = "".join([piece async for piece in pieces]).strip()
    if fields.response_format == "text":
        return Whole(f"{text}\n".encode(), "text/plain; charset=utf-8")
    usage = _usage_by_time(seconds) if whisper else _usage_by_tokens(text, seconds)
    if fields.response_format == "json":
        return as_whole({"text": text, "usage": usage})
    return as_whole(_verbose(text, seconds, fields.language or "english"))


async def _sound(form: Form) -> bytes:
    if form.file is None:
        raise missing_parameter("file")
    try:
        pcm = await asyncio.to_thread(decode, form.file)
    except BadSound as error:
        raise invalid(str(error), "file", "invalid_value") from None
    if len(pcm) < LEAST_SECONDS * SAMPLE_RATE * 2:
        message = f"The sound is shorter than {LEAST_SECONDS} seconds."
        raise invalid(message, "file", "audio_too_short")
    return pcm


async def _events(pieces: AsyncIterator[str], seconds: float) -> AsyncGenerator[bytes, None]:
    said = ""
    async with closing(pieces):
        async for piece in pieces:
            for delta in tokens(piece if said else piece.lstrip()):
                said += delta
                yield as_event({"type": "transcript.text.delta", "delta": delta})
    usage = _usage_by_tokens(said, seconds)
    yield as_event({"type": "transcript.text.done", "text": said, "usage": usage})


def _usage_by_time(seconds: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": max(1, round(seconds))}


def _usage_by_tokens(text: str, seconds: float) -> dict[str, Any]:
    heard, written = max(1, round(seconds * AUDIO_TOKENS_PER_SECOND)), len(tokens(text))
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": written,
        "total_tokens": heard + written,
    }


def _verbose(text: str, seconds: float, language: str) -> dict[str, Any]:
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": seconds,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.2,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    return {
        "task": "transcribe",
        "language": language,
        "duration": seconds,
        "text": text,
        "segments": [segment] if text else [],
        "usage": _usage_by_time(seconds),
    }
