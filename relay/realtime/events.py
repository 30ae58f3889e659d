"""Events as frames and as plain values: sniffing, decoding, encoding, audio, and `relay.*` events.

Audio and text deltas are the hot path: they are recognised and measured by the first bytes of their
frames, and passed on without being decoded whole.
"""

import json
from binascii import Error, a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

Event = dict[str, Any]
Frame = bytes | bytearray | memoryview

APPEND: Final = "input_audio_buffer.append"
AUDIO_DELTA: Final = "response.output_audio.delta"
TEXT_DELTAS: Final = ("response.output_audio_transcript.delta", "response.output_text.delta")
SPEECH_STARTED: Final = "input_audio_buffer.speech_started"

HEAD_BYTES: Final = 256
"""Enough of a frame for the ids before its `delta`, in every recorded frame (WIRE §2)."""
PCM: Final = "audio/pcm"
"""PCM16 mono 24 kHz: the format of a session that did not ask for another."""
BYTES_PER_MS: Final = {PCM: 48, "audio/pcmu": 8, "audio/pcma": 8}
"""By format: PCM16 mono at 24 kHz, and the two laws of G.711 at 8 kHz."""
MOST_REPAIRED_BYTES: Final = 256 * 1024
"""Of a frame that is read leniently: far more than words take, and some milliseconds of work."""
PCM_FORMAT: Final[dict[str, Any]] = {"type": PCM, "rate": 24000}
"""PCM as a session's settings spell it."""

_PREFIXES: Final = (b'{"type":"', b'{"type": "')


def _heads(*kinds: str) -> tuple[bytes, ...]:
    return tuple(prefix + kind.encode() + b'"' for kind in kinds for prefix in _PREFIXES)


AUDIO_HEADS: Final = _heads(AUDIO_DELTA)
"""First bytes of a frame with the model's audio."""
TEXT_HEADS: Final = _heads(*TEXT_DELTAS)
"""First bytes of a frame with a piece of the model's text."""

_APPEND_HEADS: Final = _heads(APPEND)
_APPEND_HEAD_BYTES: Final = max(map(len, _APPEND_HEADS))
_APPEND_ENVELOPE: Final = len('{"type": "input_audio_buffer.append", "audio": ""}') + 1
"""An `append` no longer than this beside its audio has no room for another key."""
_DELTA_KEY: Final = b'"delta":'
_ITEM_KEY: Final = b'"item_id":'
_SERVER_CODES: Final = frozenset(
    {
        *("server_error", "engine_closed", "engine_timed_out", "no_provider_key"),
        *("service_restart", "auth_unavailable"),
    }
)


class BadEvent(Exception):  # noqa: N818 - an answer to the client, not a fault of the relay
    """A client's frame that is refused; the client gets it as an `error` event.

    `code` and `param` are those of OpenAI, `event_id` is the client's own id if it was readable.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.event_id = event_id


class Append(msgspec.Struct, tag=APPEND, tag_field="type", omit_defaults=True):
    """`input_audio_buffer.append`, the only client event with a type of its own: the hot one."""

    audio: str
    event_id: str | None = None


class _NoAppend(msgspec.Struct, tag="", tag_field="type"):
    """An event without a type; beside it the type of an `Append` has to be there."""


class TextDelta(msgspec.Struct):
    """The fields of a text delta that the transcript reads."""

    type: str
    item_id: str
    delta: str
    content_index: int = 0


class _Typed(msgspec.Struct):
    type: str


class _AudioDelta(msgspec.Struct):
    item_id: str
    delta: str


class _AnyAudio(msgspec.Struct):
    audio: str = ""  # of the client's `append`
    delta: str = ""  # of the model's audio


_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode
_decode_append = msgspec.json.Decoder(Append | _NoAppend).decode
_decode_text = msgspec.json.Decoder(TextDelta).decode
_decode_type = msgspec.json.Decoder(_Typed).decode
_decode_audio_delta = msgspec.json.Decoder(_AudioDelta).decode
_decode_any_audio = msgspec.json.Decoder(_AnyAudio).decode

encode = msgspec.json.Encoder().encode
"""An event as a frame."""


def decode(frame: Frame) -> Event:
    """A frame as plain values with a string `type`; all its fields are kept. Raises BadEvent."""
    try:
        event = _decode(frame)
    except _DECODE_ERRORS:
        raise BadEvent("The message is not valid JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise BadEvent("The message must be a JSON object.", code="invalid_event")
    event_id = event.get("event_id")
    if event_id is not None and not isinstance(event_id, str):
        raise BadEvent("Invalid type for 'event_id'.", code="invalid_type", param="event_id")
    if not isinstance(event.get("type"), str):
        raise BadEvent(
            "Missing required parameter: 'type'.",
            code="missing_required_parameter",
            param="type",
            event_id=event_id,
        )
    return event


def read(frame: Frame) -> tuple[Event, Frame]:
    """Decode a frame, repaired where it has to be; returns its event, and a frame that says it.

    Halves of surrogate pairs, which strict JSON refuses, become U+FFFD. Raises BadEvent.
    """
    try:
        return decode(frame), frame
    except BadEvent:
        repaired = _repaired(frame) if b"\\u" in bytes(frame[:MOST_REPAIRED_BYTES]) else None
        if repaired is None:
            raise
        return decode(repaired), repaired


def _repaired(frame: Frame) -> bytes | None:
    if len(frame) > MOST_REPAIRED_BYTES:
        return None
    try:
        text = json.dumps(json.loads(bytes(frame)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def sniff(frame: Frame) -> str:
    """The `type` of an engine's frame, from its first bytes where they show it (PROTOCOL §0).

    Servers write `type` first; where one does not, the frame is parsed. Empty if it has none.
    """
    head = bytes(frame[:96])
    for prefix in _PREFIXES:
        if head.startswith(prefix):
            end = head.find(b'"', len(prefix))
            if end > 0:
                return head[len(prefix) : end].decode("utf-8", "replace")
    try:
        return _decode_type(frame).type
    except _DECODE_ERRORS:
        return ""


def error(
    message: str,
    *,
    code: str | None,
    param: str | None = None,
    client_event_id: str | None = None,
    event_id: str,
) -> Event:
    """An `error` event in OpenAI's shape; `client_event_id` names the client's offending event."""
    return {
        "type": "error",
        "event_id": event_id,
        "error": {
            "type": "server_error" if code in _SERVER_CODES else "invalid_request_error",
            "code": code,
            "message": message,
            "param": param,
            "event_id": client_event_id,
        },
    }


def forwardable_append(frame: Frame) -> Frame | None:
    """A client's `append` as it may be forwarded, or None if the frame is another event.

    It is decoded and encoded anew, so that nothing hides in a duplicate key; a frame that has no
    room for one is forwarded as it is. Raises BadEvent.
    """
    try:  # first: nearly every frame is one, and to look at its beginning costs a fortieth of it
        event = _decode_append(frame)
    except _DECODE_ERRORS as error:
        if not bytes(frame[:_APPEND_HEAD_BYTES]).startswith(_APPEND_HEADS):
            return None
        raise _malformed_append(frame, error) from None
    if type(event) is _NoAppend:
        return None
    _check_audio(event)
    return frame if len(frame) - len(event.audio) <= _APPEND_ENVELOPE else encode(event)


def _check_audio(event: Append) -> None:
    """Raise BadEvent unless its audio can be base64 at all."""
    if len(event.audio) & 3 or not event.audio.isascii():
        raise BadEvent(
            "Invalid 'audio'. Expected base64-encoded audio bytes.",
            code="invalid_value",
            param="audio",
            event_id=event.event_id,
        )


def _malformed_append(frame: Frame, error: Exception) -> BadEvent:
    """Tell JSON that cannot be read from JSON of the wrong shape."""
    try:
        event = decode(frame)
    except BadEvent as bad:
        return bad
    event_id = event.get("event_id")
    if isinstance(error, msgspec.ValidationError) and not isinstance(event.get("audio"), str):
        return BadEvent(
            "Missing or invalid required parameter: 'audio'.",
            code="missing_required_parameter" if "audio" not in event else "invalid_type",
            param="audio",
            event_id=event_id if isinstance(event_id, str) else None,
        )
    return BadEvent("Invalid 'type': given twice.", code="invalid_value", param="type")


def audio_length(head: bytes, size: int) -> tuple[str, int]:
    """Item id and base64 characters of a `response.output_audio.delta`, without decoding it.

    `head` is the frame's first HEAD_BYTES, `size` its length in bytes. Returns ("", 0) if the ids
    do not stand before the `delta`. `ReportedSession` knows how long so many characters last.
    """
    item = _string_after(head, _ITEM_KEY)
    start = head.find(_DELTA_KEY)
    if item is None or start < 0:
        return "", 0
    envelope = start + len(_DELTA_KEY) + 3  # two quotes and the closing brace
    return item, max(0, size - envelope)


def _string_after(head: bytes, key: bytes) -> str | None:
    start = head.find(key)
    if start < 0:
        return None
    opening = head.find(b'"', start + len(key))
    closing = head.find(b'"', opening + 1)
    if opening < 0 or closing < 0:
        return None
    try:
        return head[opening + 1 : closing].decode()
    except UnicodeDecodeError:
        return None


def decoded_audio_length(frame: Frame) -> tuple[str, int]:
    """The same for a frame with its keys in another order, which has to be decoded."""
    try:
        delta = _decode_audio_delta(frame)
    except _DECODE_ERRORS:
        return "", 0
    return delta.item_id, len(delta.delta)


def text_delta(frame: Frame) -> TextDelta | None:
    """What the transcript reads of a text delta; None if the frame has another shape."""
    try:
        return _decode_text(frame)
    except _DECODE_ERRORS:
        return None


def audio_bytes(frame: Frame) -> bytes:
    """The audio bytes of a client's `append` or a model's delta; empty if none are readable."""
    try:
        found = _decode_any_audio(frame)
        return a2b_base64(found.audio or found.delta)
    except (msgspec.DecodeError, UnicodeDecodeError, Error, ValueError):
        return b""


def locked_fields(removed: Sequence[str]) -> Event:
    """`relay.warning`: these fields of an event are the server's and were not forwarded."""
    message = f"Set by the server, and so not forwarded: {', '.join(removed)}."
    return {"type": "relay.warning", "code": "locked_fields", "message": message}


def budget(left: int) -> Event:
    """`relay.budget`: how many micro-dollars the session may still spend."""
    return {"type": "relay.budget", "left": max(0, left)}


def truncate(item_id: str, ms: int) -> Event:
    """`conversation.item.truncate`, for a client that cannot say how much it played."""
    kind = "conversation.item.truncate"
    return {"type": kind, "item_id": item_id, "content_index": 0, "audio_end_ms": ms}


@dataclass(frozen=True, slots=True)
class PlaybackReport:
    """`relay.playback`: the client has played so many milliseconds of an item."""

    item_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class TokenRenewal:
    """`relay.token`: the client asks to continue with this token."""

    token: str


def relay_message(event: Event) -> PlaybackReport | TokenRenewal | None:
    """The message of an aware client to the relay itself; None for an event of the API.

    Raises BadEvent for a message in a wrong shape.
    """
    if event["type"] == "relay.token":
        token = event.get("token")
        if not isinstance(token, str):
            raise _wrong_type("token", "a string", event)
        return TokenRenewal(token)
    if event["type"] == "relay.playback":
        item_id, played = event.get("item_id"), event.get("played_ms")
        if not isinstance(item_id, str):
            raise _wrong_type("item_id", "a string", event)
        if not isinstance(played, int) or isinstance(played, bool):
            raise _wrong_type("played_ms", "an integer", event)
        return PlaybackReport(item_id, played)
    return None


def _wrong_type(name: str, expected: str, event: Event) -> BadEvent:
    return BadEvent(
        f"Invalid '{name}': expected {expected}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )
