"""Transcribes and speaks by Azure Speech, over its REST interfaces."""

import html
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from relay.parts.http_service import HttpService, ServicePost
from relay.parts.interfaces import (
    SAMPLE_RATE,
    PartFailed,
    SynthesisRequest,
    TranscriptionRequest,
)
from relay.parts.pcm import as_wav, at_16khz, whole_samples
from relay.parts.remote import WHOLE_SECONDS, attempted

DEFAULT_VOICE: Final = "en-US-JennyNeural"
AT_ONCE: Final = 100
"""Requests at one time: the standard tier's for recognition."""
LONGEST_SECONDS: Final = 59
"""Of speech in one request; the service takes 60. A longer turn is several requests."""
MAX_AUDIO_BYTES: Final = 5 * 60 * SAMPLE_RATE * 2
"""Five minutes; the text of one request is a sentence or two."""
MAX_ANSWER_BYTES: Final = 256 * 1024
"""Of a transcript: a minute of speech has some 1,000 characters."""
SLOWEST: Final = 0.5
FASTEST: Final = 2.0
"""The speeds between which its voices can speak."""

LOCALES: Final[Mapping[str, str]] = {
    "ar": "ar-EG",
    "bn": "bn-IN",
    "cs": "cs-CZ",
    "da": "da-DK",
    "de": "de-DE",
    "el": "el-GR",
    "en": "en-US",
    "es": "es-ES",
    "fi": "fi-FI",
    "fr": "fr-FR",
    "he": "he-IL",
    "hi": "hi-IN",
    "hu": "hu-HU",
    "id": "id-ID",
    "it": "it-IT",
    "ja": "ja-JP",
    "ko": "ko-KR",
    "nl": "nl-NL",
    "no": "nb-NO",
    "pl": "pl-PL",
    "pt": "pt-BR",
    "ro": "ro-RO",
    "ru": "ru-RU",
    "sv": "sv-SE",
    "th": "th-TH",
    "tr": "tr-TR",
    "uk": "uk-UA",
    "vi": "vi-VN",
    "zh": "zh-CN",
}
"""The locale that is meant by a language; the service takes nothing shorter."""

_KEY: Final = "Ocp-Apim-Subscription-Key"
_AGENT: Final = {"User-Agent": "relay"}  # the service asks for one
_LEAST_BYTES: Final = SAMPLE_RATE * 2 // 10
_PIECE_BYTES: Final = LONGEST_SECONDS * SAMPLE_RATE * 2
_UNDERSTOOD: Final = "Success"
_NOTHING_HEARD: Final = frozenset({"NoMatch", "InitialSilenceTimeout", "BabbleTimeout"})
_VOICE: Final = re.compile(r"([a-z]{2,3}-[A-Z]{2})(-\w+)*-\w+Neural")
_UNSPEAKABLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


class AzureTranscriber:
    """A `Transcriber` on the recognition of short audio.

    `language` is a locale (`en-US`) or a language of `LOCALES`; turns may name another of them.
    `endpoint` takes the place of the region's address: a private one, or a container's. `timeout`
    is for a whole answer, in seconds.
    """

    def __init__(
        self,
        key: str,
        region: str,
        language: str,
        endpoint: str = "",
        timeout: float = WHOLE_SECONDS,
    ) -> None:
        self._locale = LOCALES.get(language, language)
        address = endpoint or f"https://{region}.stt.speech.microsoft.com"
        self._service = HttpService(
            "transcriber", address, (_KEY, key), at_once=AT_ONCE, timeout=timeout
        )

    @property
    def name(self) -> str:
        """What stands for the service's one model."""
        return "azure-speech"

    @property
    def languages(self) -> Sequence[str]:
        """Those of `LOCALES`, and the configured one."""
        return tuple({**LOCALES, self._locale.split("-")[0]: ""})

    async def prepare(self) -> None:
        """Do nothing: the first request connects."""
        await self._service.prepare()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._service.aclose()

    async def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[str]:
        """Yield the words of the turn, or of each minute of it."""
        if len(request.pcm) < _LEAST_BYTES:
            return
        async with self._service.slots.slot(request.max_wait):
            for start in range(0, len(request.pcm), _PIECE_BYTES):
                post = await self._post(request, request.pcm[start : start + _PIECE_BYTES])
                async with aclosing(attempted(partial(self._attempt, post))) as words:
                    async for piece in words:
                        yield f" {piece}" if start else piece

    async def _attempt(self, post: ServicePost) -> AsyncGenerator[str]:
        async with aclosing(self._service.stream(post)) as chunks:
            body = b"".join([chunk async for chunk in chunks])
        if words := _words(body):
            yield words

    async def _post(self, request: TranscriptionRequest, pcm: bytes) -> ServicePost:
        return ServicePost(
            "/speech/recognition/conversation/cognitiveservices/v1",
            as_wav(await at_16khz(pcm), 16_000),
            {
                "Content-Type": "audio/wav; codecs=audio/pcm; samplerate=16000",
                "Accept": "application/json",
                **_AGENT,
            },
            MAX_ANSWER_BYTES,
            {"language": self._locale_for(request.language), "format": "simple"},
        )

    def _locale_for(self, language: str | None) -> str:
        """Return the configured locale unless the turn is in another language that is known."""
        if language is None or self._locale.split("-")[0] == language:
            return self._locale
        return LOCALES.get(language, self._locale)


def _words(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
        status, words = answer["RecognitionStatus"], answer.get("DisplayText")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise PartFailed("transcriber", "failed", "malformed answer") from None
    if status in _NOTHING_HEARD:
        return ""
    if status != _UNDERSTOOD or not isinstance(words, str):
        raise PartFailed("transcriber", "failed", "recognition error")
    return words


class AzureSynthesizer:
    """A `Synthesizer` on the voice `voice`, for every voice asked for that is not one of Azure's.

    `endpoint` takes the place of the region's address. `timeout` is for the whole of one speech,
    in seconds.
    """

    def __init__(
        self,
        key: str,
        region: str,
        voice: str = "",
        endpoint: str = "",
        timeout: float = WHOLE_SECONDS,
    ) -> None:
        self._voice = voice or DEFAULT_VOICE
        address = endpoint or f"https://{region}.tts.speech.microsoft.com"
        self._service = HttpService(
            "synthesizer", address, (_KEY, key), at_once=AT_ONCE, timeout=timeout
        )

    @property
    def name(self) -> str:
        """What stands for the service's neural voices, which have one price."""
        return "azure-neural"

    async def prepare(self) -> None:
        """Do nothing: the first request connects."""
        await self._service.prepare()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._service.aclose()

    async def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[bytes]:
        """Yield the speech as it comes."""
        if not any(map(str.isalnum, request.text)):
            return
        voice = request.voice if _VOICE.fullmatch(request.voice) else self._voice
        post = ServicePost(
            "/cognitiveservices/v1",
            ssml(request.text, voice, request.speed).encode(),
            {
                "Content-Type": "application/ssml+xml",
                "X-Microsoft-OutputFormat": "raw-24khz-16bit-mono-pcm",
                **_AGENT,
            },
            MAX_AUDIO_BYTES,
        )
        async with (
            self._service.slots.slot(request.max_wait),
            aclosing(attempted(lambda: whole_samples(self._service.stream(post)))) as speech,
        ):
            async for pcm in speech:
                yield pcm


def ssml(text: str, voice: str, speed: float) -> str:
    """Return a text as SSML: markup in it is read aloud, not followed."""
    said = html.escape(_UNSPEAKABLE.sub(" ", text))
    if speed != 1.0:
        said = f"<prosody rate='{max(SLOWEST, min(FASTEST, speed)):g}'>{said}</prosody>"
    found = _VOICE.fullmatch(voice)
    locale = found[1] if found else "en-US"
    return (
        f"<speak version='1.0' xmlns='http://www.w3.org/2001/10/synthesis' xml:lang='{locale}'>"
        f"<voice name='{html.escape(voice)}'>{said}</voice></speak>"
    )
