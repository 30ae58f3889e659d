"""Speaks with a voice of ElevenLabs, streamed as PCM."""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from relay.parts.http_service import HttpService, ServicePost
from relay.parts.interfaces import SAMPLE_RATE, SynthesisRequest
from relay.parts.pcm import whole_samples
from relay.parts.remote import WHOLE_SECONDS, attempted

BASE_URL: Final = "https://api.elevenlabs.io"
DEFAULT_MODEL: Final = "eleven_flash_v2_5"
"""The one that begins to speak soonest."""
AT_ONCE: Final = 15
"""Requests at one time: what its larger plans allow; a smaller one answers 429."""
MAX_AUDIO_BYTES: Final = 5 * 60 * SAMPLE_RATE * 2
"""Five minutes; the text of one request is a sentence or two."""
SLOWEST: Final = 0.7
FASTEST: Final = 1.2
"""The speeds between which its voices can speak."""

_VOICE_ID: Final = re.compile(r"[A-Za-z0-9]{20}")


class ElevenLabsSynthesizer:
    """A `Synthesizer` on the voice `voice_id`, for every voice asked for that is no id of its own.

    `timeout` is for the whole of one speech, in seconds; `settings` are the voice's, such as its
    `stability`.
    """

    def __init__(
        self,
        key: str,
        voice_id: str,
        model: str = "",
        base_url: str = BASE_URL,
        timeout: float = WHOLE_SECONDS,
        settings: Mapping[str, float] | None = None,
    ) -> None:
        self._voice_id = voice_id
        self._model = model or DEFAULT_MODEL
        self._settings = dict(settings or {})
        self._service = HttpService(
            "synthesizer", base_url, ("xi-api-key", key), at_once=AT_ONCE, timeout=timeout
        )

    @property
    def name(self) -> str:
        """The model."""
        return self._model

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
        post = self._post(request)
        async with (
            self._service.slots.slot(request.max_wait),
            aclosing(attempted(lambda: whole_samples(self._service.stream(post)))) as speech,
        ):
            async for pcm in speech:
                yield pcm

    def _post(self, request: SynthesisRequest) -> ServicePost:
        asked = _VOICE_ID.fullmatch(request.voice)
        voice = quote(request.voice if asked else self._voice_id, safe="")
        body: dict[str, object] = {"text": request.text, "model_id": request.model or self._model}
        settings = dict(self._settings)
        if request.speed != 1.0:
            settings["speed"] = max(SLOWEST, min(FASTEST, request.speed))
        if settings:
            body["voice_settings"] = settings
        return ServicePost(
            f"/v1/text-to-speech/{voice}/stream",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Accept": "audio/*"},
            MAX_AUDIO_BYTES,
            {"output_format": "pcm_24000"},
        )
