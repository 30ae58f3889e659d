"""How the events that a client may send must look, and how their bytes are read."""

import binascii
from typing import Any

import msgspec

from relay.engines.offline import refusals
from relay.engines.offline.refusals import Event, Refusal
from relay.engines.offline.shapes import Shape, anything, integer, nullable, record, text, thing
from relay.interfaces import Frame

MAX_AUDIO = 15 << 20
"""Bytes of PCM in one `append`, as OpenAI has it."""

_SUPPORTED = (
    "session.update",
    "session.close",
    "input_audio_buffer.append",
    "session.input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "response.create",
    "response.cancel",
)
"""What OpenAI's server says it supports (recording p02); two are a translation session's."""

_ID = text(128)


def _event(required: dict[str, Shape] | None = None, **optional: Shape) -> Shape:
    fields = {"type": anything, "event_id": nullable(text(512)), **(required or {}), **optional}
    return record(fields, required=tuple(required or ()))


_SHAPES = {
    "session.update": _event({"session": thing}),
    "input_audio_buffer.append": _event({"audio": text(MAX_AUDIO * 4 // 3 + 4)}),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event({"item": thing}, previous_item_id=nullable(_ID)),
    "conversation.item.truncate": _event(
        {"item_id": _ID, "content_index": integer(0, 0), "audio_end_ms": integer(0, 1 << 31)}
    ),
    "conversation.item.delete": _event({"item_id": _ID}),
    "conversation.item.retrieve": _event({"item_id": _ID}),
    "response.create": _event(response=nullable(thing)),
    "response.cancel": _event(response_id=nullable(_ID)),
}


def decode(frame: Frame) -> Any:
    """Return the JSON of a frame; raises `Refusal`."""
    try:
        return msgspec.json.decode(frame)
    except (ValueError, RecursionError) as error:
        raise Refusal("invalid_json", "Invalid event: failed to parse JSON value.") from error


def check(event: Any) -> Event:
    """Return an event that is one of OpenAI's and has its fields; raises `Refusal`."""
    if not isinstance(event, dict):
        raise Refusal("invalid_event", "Invalid event: expected a JSON object.")
    if "type" not in event:
        raise refusals.missing_parameter("type")
    kind = event["type"]
    if not isinstance(kind, str) or kind not in _SUPPORTED:
        raise refusals.wrong_value("type", kind, _SUPPORTED)
    if kind not in _SHAPES:
        message = f"The event '{kind}' belongs to translation sessions, which are not built."
        raise Refusal("invalid_value", message, "type")
    checked: Event = _SHAPES[kind](event, "")
    return checked


def event_id(event: Any) -> str | None:
    """Return the id that the client gave its event, None where it cannot be read."""
    given = event.get("event_id") if isinstance(event, dict) else None
    return given if isinstance(given, str) else None


def pcm(event: Event) -> bytes:
    """Return the audio of an `append`; raises `Refusal`."""
    try:
        return binascii.a2b_base64(event["audio"], strict_mode=True)
    except ValueError as error:
        message = "Invalid 'audio': expected base64-encoded audio bytes."
        raise Refusal("invalid_value", message, "audio") from error
