"""Transcribes by an OpenAI-compatible `/audio/transcriptions`, streamed where the model streams."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from relay.parts.interfaces import SAMPLE_RATE, PartFailed, TranscriptionRequest
from relay.parts.openai_client import OpenAIClient
from relay.parts.pcm import as_wav
from relay.parts.remote import attempted

LEAST_MS: Final = 100
"""OpenAI refuses less audio than that."""
UNSTREAMED: Final = frozenset({"whisper-1"})
"""Models that do not stream their words."""

_LEAST_BYTES = SAMPLE_RATE * 2 * LEAST_MS // 1000


class OpenAITranscriber:
    """A `Transcriber` on a server's model; `language` (ISO 639-1) is for turns that name none."""

    def __init__(self, client: OpenAIClient, model: str, language: str | None = None) -> None:
        self._client = client
        self._model = model
        self._language = language

    @property
    def name(self) -> str:
        """The model."""
        return self._model

    @property
    def languages(self) -> Sequence[str]:
        """Any."""
        return ()

    async def prepare(self) -> None:
        """Prepare the client, which other parts may share."""
        await self._client.prepare()

    async def probe(self) -> None:
        """Ask the server for its models; raises `PartFailed`."""
        await self._client.probe("transcriber")

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[str]:
        """Yield the words as they come."""
        if len(request.pcm) < _LEAST_BYTES:
            return
        async with (
            self._client.slots("transcriber").slot(request.max_wait),
            aclosing(attempted(lambda: self._attempt(request))) as words,
        ):
            async for piece in words:
                yield piece

    async def _attempt(self, request: TranscriptionRequest) -> AsyncGenerator[str]:
        form: dict[str, Any] = {
            "file": ("turn.wav", as_wav(request.pcm), "audio/wav"),
            "model": self._model,
            "response_format": "json",
        }
        if language := request.language or self._language:
            form["language"] = language
        if request.prompt:
            form["prompt"] = request.prompt
        if self._model not in UNSTREAMED:
            form["stream"] = True
        answer = self._client.documents(
            "transcriber",
            lambda client: client.audio.transcriptions.with_streaming_response.create(**form),
        )
        async with aclosing(answer) as documents:
            async for piece in _words(documents):
                yield piece


async def _words(documents: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[str]:
    """Yield the words of an answer; one that breaks off in the middle of a stream is a failure."""
    yielded = unfinished = False
    async for document in documents:
        kind = document.get("type")
        if kind == "transcript.text.done":
            unfinished = False
            piece = "" if yielded else document.get("text")
        elif kind == "transcript.text.delta":
            unfinished = True
            piece = document.get("delta")
        else:
            piece = _other_words(document)
        if isinstance(piece, str) and piece:
            yielded = True
            yield piece
    if unfinished:
        raise PartFailed("transcriber", "failed", "cut")


def _other_words(document: dict[str, Any]) -> Any:
    """Return the words of a whole answer, or of an event as vLLM and speaches write them."""
    try:
        return document["choices"][0]["delta"]["content"]
    except (KeyError, IndexError, TypeError):
        return document.get("text")
