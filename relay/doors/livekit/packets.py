"""The data packets of the translation worker, in both dialects: as specified, and as it was built.

Packets are UTF-8 JSON. A request with `text` is answered as specified, one with `sourceText` as it
was built.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal

MAX_PACKET: Final = 15 * 1024
"""Bytes of a reliable packet, as LiveKit bounds them."""
MAX_TEXT: Final = 5_000
"""Characters of one request."""
SHOWN: Final = 12_000
"""Bytes of JSON for the texts in a status; what is longer is cut, and ends with an ellipsis."""
ELLIPSIS: Final = "…"
MAX_NAME: Final = 200
MP3_FRAME: Final = 240
"""Bytes of a frame of `relay.audio.mp3`."""
CHUNK: Final = 43 * MP3_FRAME
"""Bytes of sound in a packet, in whole frames: with base64 and the JSON around it it fits."""

INVALID: Final = "Invalid request format."
PIPELINE: Final = "Translation pipeline failed: {}"
STREAMING: Final = "Audio streaming failed: {}"
CANNOT_STREAM: Final = "Worker error: Cannot stream audio."
AS_BUILT_FAILED: Final = "Failed to process request"

Json = dict[str, Any]
Dialect = Literal["specified", "built"]


class BadPacket(Exception):  # noqa: N818 - told to its sender
    """A packet that cannot be answered; `request_id` is None where it has none."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class TranslationRequest:
    """What a participant asks for; "" stands for what the worker has set."""

    request_id: str
    text: str
    target: str
    dialect: Dialect
    source: str = ""
    voice: str = ""
    speech_model: str = ""
    model: str = ""
    as_track: bool = False


def read_request(packet: bytes, now_ms: int) -> TranslationRequest | None:
    """The request in a packet, None where it is about something else; raises `BadPacket`."""
    try:
        found = json.loads(packet)
    except (ValueError, RecursionError):
        raise BadPacket(INVALID) from None
    if not isinstance(found, dict) or found.get("type") != "translation_request":
        return None
    given = found.get("requestId")
    request_id = given[:MAX_NAME] if isinstance(given, str) and given else f"req-{now_ms}"
    dialect: Dialect = "built" if "sourceText" in found and "text" not in found else "specified"
    text = found.get("sourceText" if dialect == "built" else "text")
    target = found.get("targetLanguage")
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_TEXT:
        raise BadPacket(INVALID, request_id)
    if not isinstance(target, str) or not 0 < len(target.strip()) <= MAX_NAME:
        raise BadPacket(INVALID, request_id)
    names = {
        name: found[key][:MAX_NAME]
        for name, key in (
            *(("source", "sourceLanguage"), ("voice", "voiceId")),
            *(("speech_model", "ttsModelId"), ("model", "translationModel")),
        )
        if isinstance(found.get(key), str)
    }
    as_track = found.get("publishTrack") is True
    return TranslationRequest(
        request_id, text.strip(), target.strip(), dialect, as_track=as_track, **names
    )


class Packets:
    """Writes what a request is answered with; `is_streaming` once its sound was announced."""

    def __init__(self, request: TranslationRequest) -> None:
        self._request = request
        self._is_built = request.dialect == "built"
        self._sequence = 0
        self.is_streaming = False

    def begun(self, now_ms: int) -> Iterator[bytes]:
        """The request was taken."""
        yield self._status("processing", now_ms)
        if self._is_built:
            yield self._status("translating", now_ms)

    def translated(self, text: str, now_ms: int) -> Iterator[bytes]:
        """The translation is there, and is going to be spoken."""
        if self._is_built:
            yield self._status("synthesizing", now_ms, translatedText=_shown(text, SHOWN))
            return
        texts = {
            "originalText": _shown(self._request.text, SHOWN // 2),
            "translatedText": _shown(text, SHOWN // 2),
        }
        yield self._status("translated", now_ms, **texts)
        yield self._status("synthesizing_speech", now_ms)

    def streaming(self, now_ms: int) -> bytes:
        """The first sound is there."""
        self.is_streaming = True
        return self._status("streaming" if self._is_built else "streaming_audio_started", now_ms)

    def sound(self, audio: bytes, *, is_final: bool) -> bytes:
        """The next piece of sound, of at most `CHUNK` bytes; a final one is the last."""
        packet: Json = {"type": "audio_chunk", "requestId": self._request.request_id}
        packet["chunk"] = base64.b64encode(audio).decode()
        if not self._is_built:
            packet |= {"sequence": self._sequence, "final": is_final}
        self._sequence += 1
        return _bytes(packet)

    def completed(self, text: str, total: int, now_ms: int) -> Iterator[bytes]:
        """All `total` bytes of sound were sent."""
        if self._is_built:
            yield self._status("completed", now_ms)
            return
        yield self._status("streaming_audio_ended", now_ms, totalBytes=total)
        texts = {"originalText": None, "translatedText": _shown(text, SHOWN)}
        yield self._status("completed", now_ms, **texts)

    def failed(self, message: str, now_ms: int) -> Iterator[bytes]:
        """It failed."""
        if self._is_built:
            yield self._status("error", now_ms, message=AS_BUILT_FAILED)
            message = AS_BUILT_FAILED
        yield error_packet(message, self._request.request_id, now_ms)

    def _status(self, status: str, now_ms: int, **details: Any) -> bytes:
        request_id = self._request.request_id
        packet: Json = {"type": "status_update", "status": status, "requestId": request_id}
        if self._is_built:
            packet["message"] = details.pop("message", status)
            return _bytes({**packet, "data": details} if details else packet)
        details = {"message": status, **details, "requestId": request_id}
        return _bytes({**packet, "details": details, "timestamp": now_ms})


def error_packet(message: str, request_id: str | None, now_ms: int) -> bytes:
    """An error; `request_id` is None where the request had none that could be read."""
    told = {"type": "error", "message": message, "requestId": request_id}
    return _bytes({**told, "timestamp": now_ms})


def _shown(text: str, most: int) -> str:
    """The text, cut where it would take more than `most` bytes of JSON."""
    if len(_bytes(text)) <= most:
        return text
    ends = accumulate(len(_bytes(letter)) - len('""') for letter in text)
    return text[: sum(end < most - len(_bytes(ELLIPSIS)) for end in ends)] + ELLIPSIS


def _bytes(told: Json | str) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
