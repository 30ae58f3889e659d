"""Events as bytes and as plain values: sniffing, decoding, encoding, errors in OpenAI's shape."""

from binascii import Error, a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

Event = dict[str, Any]
Frame = bytes | bytearray | memoryview

APPEND: Final = "input_audio_buffer.append"
AUDIO_DELTA: Final = "response.output_audio.delta"
SPEECH_STARTED: Final = "input_audio_buffer.speech_started"
TEXT_DELTAS: Final = ("response.output_audio_transcript.delta", "response.output_text.delta")

HEAD_BYTES: Final = 256
"""Enough of a frame for the ids before its `delta`, in every recorded frame (WIRE §2)."""

_PREFIXES = (b'{"type":"', b'{"type": "')


def _heads(*kinds: str) -> tuple[bytes, ...]:
    return tuple(prefix + kind.encode() + b'"' for kind in kinds for prefix in _PREFIXES)


AUDIO_HEADS: Final = _heads(AUDIO_DELTA)
"""How a frame of the model's audio begins."""

TEXT_HEADS: Final = _heads(*TEXT_DELTAS)
"""How a frame with a word of the model's begins."""

_APPEND_HEADS = _heads(APPEND)
_APPEND_HEAD_BYTES = max(map(len, _APPEND_HEADS))
_DELTA_KEY = b'"delta":'
_ITEM_KEY = b'"item_id":'
_APPEND_ENVELOPE = len('{"type": "input_audio_buffer.append", "audio": ""}') + 1
"""An `append` no longer than this beside its audio has no room for another key."""

BASE64_PER_MS: Final = 64  # PCM16 mono 24 kHz: 48 bytes a millisecond, 4 characters for 3 bytes


class Append(msgspec.Struct, tag=APPEND, tag_field="type", omit_defaults=True):
    """`input_audio_buffer.append`, the one client event that is typed: it is the hot one."""

    audio: str
    event_id: str | None = None


class TextDelta(msgspec.Struct):
    """What is read of `response.output_audio_transcript.delta` and `response.output_text.delta`."""

    type: str
    item_id: str
    delta: str
    content_index: int = 0


class _Typed(msgspec.Struct):
    type: str


class BadEvent(Exception):  # noqa: N818 - an answer for the client, not a fault of ours
    """A client's frame that is not an event; told to the client as an `error` event.

    `code` and `param` are OpenAI's words, `event_id` the client's own id where it was readable.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.event_id = event_id


_decode = msgspec.json.Decoder().decode
_decode_append = msgspec.json.Decoder(Append).decode
_decode_text = msgspec.json.Decoder(TextDelta).decode
_decode_type = msgspec.json.Decoder(_Typed).decode
_encoder = msgspec.json.Encoder()
encode = _encoder.encode


class _Sound(msgspec.Struct):
    item_id: str
    delta: str


_decode_sound = msgspec.json.Decoder(_Sound).decode
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def sniff(frame: Frame) -> str:
    """The `type` of an upstream frame, from its first bytes where they show it (PROTOCOL §0).

    Servers write `type` first; where one does not, the frame is parsed. Empty when there is none.
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


def audio_of(head: bytes, size: int) -> tuple[str, int]:
    """Item id and whole milliseconds of a `response.output_audio.delta`, without decoding it.

    `head` is the frame's first HEAD_BYTES, `size` its length. Returns ("", 0) for a frame whose ids
    do not stand before its `delta`.
    """
    item = _string_after(head, _ITEM_KEY)
    start = head.find(_DELTA_KEY)
    if item is None or start < 0:
        return "", 0
    envelope = start + len(_DELTA_KEY) + 3  # two quotes and the closing brace
    return item, max(0, size - envelope) // BASE64_PER_MS


def sound_of(frame: Frame) -> tuple[str, int]:
    """What `audio_of` says, of a frame whose keys stand in another order: it has to be decoded."""
    try:
        sound = _decode_sound(frame)
    except _DECODE_ERRORS:
        return "", 0
    return sound.item_id, len(sound.delta) // BASE64_PER_MS


def text_of(frame: Frame) -> TextDelta | None:
    """A text delta with nothing decoded but what the transcript reads; None for what is none."""
    try:
        return _decode_text(frame)
    except _DECODE_ERRORS:
        return None


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


def append_again(frame: Frame) -> Frame | None:
    """A client's audio frame decoded and written anew, or None when it is another event.

    What is forwarded is only what was read, so nothing hides in a duplicate key: a frame that has
    no room for one is forwarded as it is. Raises BadEvent.
    """
    head = bytes(frame[:_APPEND_HEAD_BYTES])
    if not head.startswith(_APPEND_HEADS):
        return None
    try:
        event = _decode_append(frame)
    except _DECODE_ERRORS as error:
        raise _malformed(frame, error) from None
    checked(event)
    return frame if len(frame) - len(event.audio) <= _APPEND_ENVELOPE else encode(event)


def checked(event: Append) -> None:
    """Raise BadEvent unless its audio can be base64 at all."""
    if len(event.audio) & 3 or not event.audio.isascii():
        raise BadEvent(
            "Invalid 'audio'. Expected base64-encoded audio bytes.",
            code="invalid_value",
            param="audio",
            event_id=event.event_id,
        )


def _malformed(frame: Frame, error: Exception) -> BadEvent:
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


_SERVER_CODES = frozenset(
    {"server_error", "engine_closed", "engine_timed_out", "no_provider_key", "service_restart"}
)

# ---- The sound in a frame of either direction, for who listens along.


class _Frame(msgspec.Struct):
    audio: str = ""  # of the client's `append`
    delta: str = ""  # of the model's


_decode_frame_sound = msgspec.json.Decoder(_Frame).decode


def sound_in(frame: Frame) -> bytes:
    """The bytes of sound; none where the frame has no readable ones."""
    try:
        found = _decode_frame_sound(frame)
        return a2b_base64(found.audio or found.delta)
    except (msgspec.DecodeError, UnicodeDecodeError, Error, ValueError):
        return b""


# ---- What sound a session's client speaks and hears, as the engine says it; pure.

PCM: Final = "audio/pcm"
"""PCM16 mono 24 kHz: what a session has unless it asked for another one."""


class Formats:
    """The audio formats of the session, as its `session.created` and `.updated` events say."""

    def __init__(self) -> None:
        self.spoken = PCM  # by the client
        self.heard = PCM

    def observe(self, event: Event, now: float) -> None:
        """Take the formats of a session event; any other event changes nothing."""
        if event["type"] in ("session.created", "session.updated"):
            self.spoken = _format(event, "input") or self.spoken
            self.heard = _format(event, "output") or self.heard


def _format(event: Event, side: str) -> str | None:
    value: Any = event
    for name in ("session", "audio", side, "format", "type"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


# ---- The events of the relay's own making, for aware clients and for the engine.


def locked_fields(removed: Sequence[str]) -> Event:
    """`relay.warning`: what of an event was the server's, and so was not forwarded."""
    message = f"Set by the server, and so not forwarded: {', '.join(removed)}."
    return {"type": "relay.warning", "code": "locked_fields", "message": message}


def budget(left: int) -> Event:
    """`relay.budget`: how many micro-dollars the session may still spend."""
    return {"type": "relay.budget", "left": max(0, left)}


def truncate(item_id: str, ms: int) -> Event:
    """`conversation.item.truncate` for a client that cannot say how much it played."""
    kind = "conversation.item.truncate"
    return {"type": kind, "item_id": item_id, "content_index": 0, "audio_end_ms": ms}


@dataclass(frozen=True, slots=True)
class PlaybackReport:
    """A client says how much of an item it has played."""

    item_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class TokenRenewal:
    """A client means to go on with this token."""

    token: str


def read_own(event: Event) -> PlaybackReport | TokenRenewal | None:
    """What a relay-aware client has for the relay itself; None for an event of the API.

    Raises BadEvent for one in a wrong shape.
    """
    if event["type"] == "relay.token":
        token = event.get("token")
        if not isinstance(token, str):
            raise _wants("token", "a string", event)
        return TokenRenewal(token)
    if event["type"] == "relay.playback":
        item_id, played = event.get("item_id"), event.get("played_ms")
        if not isinstance(item_id, str):
            raise _wants("item_id", "a string", event)
        if not isinstance(played, int) or isinstance(played, bool):
            raise _wants("played_ms", "an integer", event)
        return PlaybackReport(item_id, played)
    return None


def _wants(name: str, what: str, event: Event) -> BadEvent:
    """The refusal of an event for the relay itself that lacks something."""
    return BadEvent(
        f"Invalid '{name}': expected {what}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )
