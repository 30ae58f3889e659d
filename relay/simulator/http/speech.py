"""`/v1/audio/speech`: speaks a text by the synthesizer of the parts."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

from msgspec import Meta, Struct

from relay.parts.interfaces import SynthesisRequest, Synthesizer
from relay.simulator.http.answers import (
    EVENT_STREAM,
    STATELESS_WAIT_SECONDS,
    Answer,
    Streamed,
    as_event,
    closing,
)
from relay.simulator.http.refusals import invalid
from relay.simulator.http.sound import MEDIA_TYPES, SpeechFormat, encode, has_codecs
from relay.simulator.http.tokens import tokens

MAX_INPUT = 4096
"""Characters of one text, as OpenAI has it."""

_TOKENS_PER_BYTE = 20 / 48_000  # of speech: 20 a second


class CustomVoice(Struct, frozen=True):
    """A voice that a customer has made."""

    id: str


class SpeechBody(Struct, frozen=True):
    """The body of a request; what is not here is ignored."""

    model: str
    input: Annotated[str, Meta(min_length=1, max_length=MAX_INPUT)]
    voice: str | CustomVoice
    response_format: SpeechFormat = "mp3"
    speed: Annotated[float, Meta(ge=0.25, le=4)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"


async def speak_text(synthesizer: Synthesizer, body: SpeechBody) -> Answer:
    """Return the speech, in the format that is asked for, as it is made."""
    if body.response_format not in ("pcm", "wav") and not has_codecs():
        message = f"'{body.response_format}' needs the `av` package; 'wav' and 'pcm' do not."
        raise invalid(message, "response_format", "unsupported_value")
    voice = body.voice if isinstance(body.voice, str) else body.voice.id
    speech = synthesizer.synthesize(
        SynthesisRequest(body.input, voice, body.speed, STATELESS_WAIT_SECONDS)
    )
    sound = _encoded(speech, body.response_format)
    if body.stream_format == "sse":
        return Streamed(_events(sound, len(tokens(body.input))), EVENT_STREAM)
    return Streamed(sound, MEDIA_TYPES[body.response_format])


async def _encoded(speech: AsyncIterator[bytes], kind: SpeechFormat) -> AsyncGenerator[bytes, None]:
    async with closing(speech), aclosing(encode(kind, speech)) as sound:
        async for piece in sound:
            yield piece


async def _events(sound: AsyncGenerator[bytes, None], read: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async with aclosing(sound):
        async for piece in sound:
            size += len(piece)
            audio = base64.b64encode(piece).decode()
            if piece:
                yield as_event({"type": "speech.audio.delta", "audio": audio})
    spoken = round(size * _TOKENS_PER_BYTE)
    usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
    yield as_event({"type": "speech.audio.done", "usage": usage})
