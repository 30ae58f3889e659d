"""Speaks by an OpenAI-compatible `/audio/speech`, as PCM that is played while it is made."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from relay.parts.interfaces import SAMPLE_RATE, SynthesisRequest
from relay.parts.openai_client import OpenAIClient
from relay.parts.pcm import whole_samples
from relay.parts.remote import attempted

DEFAULT_VOICE: Final = "alloy"
MAX_AUDIO_BYTES: Final = 5 * 60 * SAMPLE_RATE * 2
"""Five minutes; the text of one request is a sentence or two."""

_NEWER_VOICES: Final = frozenset({"ballad", "verse", "marin", "cedar"})
"""Voices that the models `tts-1` and `tts-1-hd` do not have."""


class OpenAISynthesizer:
    """A `Synthesizer` on a server's model.

    At OpenAI a request's voice goes before `voice`. Other servers have voices of other names, so
    there `voice`, where it is given, speaks everything.
    """

    def __init__(self, client: OpenAIClient, model: str, voice: str = "") -> None:
        self._client = client
        self._model = model
        self._voice = voice

    @property
    def name(self) -> str:
        """The model."""
        return self._model

    async def prepare(self) -> None:
        """Prepare the client, which other parts may share."""
        await self._client.prepare()

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[bytes]:
        """Yield the speech as it comes."""
        if not any(map(str.isalnum, request.text)):
            return
        async with (
            self._client.slots("synthesizer").slot(request.max_wait),
            aclosing(attempted(lambda: self._attempt(request))) as speech,
        ):
            async for pcm in speech:
                yield pcm

    async def _attempt(self, request: SynthesisRequest) -> AsyncGenerator[bytes]:
        form: dict[str, Any] = {
            "model": self._model,
            "input": request.text,
            "voice": self._voice_for(request.voice),
            "response_format": "pcm",
        }
        if request.speed != 1.0:
            form["speed"] = request.speed
        body = self._client.stream(
            "synthesizer",
            lambda client: client.audio.speech.with_streaming_response.create(**form),
            MAX_AUDIO_BYTES,
        )
        async with aclosing(whole_samples(body)) as samples:
            async for pcm in samples:
                yield pcm

    def _voice_for(self, asked: str) -> str:
        if not self._client.is_openai:
            return self._voice or asked or DEFAULT_VOICE
        voice = asked or self._voice or DEFAULT_VOICE
        if self._model.startswith("tts-1") and voice in _NEWER_VOICES:
            return DEFAULT_VOICE
        return voice
