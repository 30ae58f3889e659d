"""How a client's JSON must look: small checks that are put together to large ones."""

import binascii
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from relay.engines.cascade import effects as refusals
from relay.engines.cascade.effects import Event, RequestRefused
from relay.interfaces import Frame

Shape = Callable[[Any, str], Any]
"""Given a value and its path, return the value to go on with, or raise `RequestRefused`."""

MAX_LIST = 1024  # entries of any list a client may send

MAX_TEXT = 1 << 20  # characters of any one text a client may send


def anything(value: Any, path: str) -> Any:  # noqa: ARG001 - it is a Shape
    """Accept whatever is there."""
    return value


def nullable(shape: Shape) -> Shape:
    """Accept null, or what `shape` accepts."""
    return lambda value, path: None if value is None else shape(value, path)


def text(most: int = MAX_TEXT) -> Shape:
    """Accept a string of at most `most` characters."""

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise refusals.wrong_type(path, "a string")
        if len(value) > most:
            raise refusals.too_long(path, most, len(value))
        return value

    return check


def boolean(value: Any, path: str) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise refusals.wrong_type(path, "a boolean")
    return value


def integer(least: int, most: int) -> Shape:
    """Accept a whole number between the two, both included."""

    def check(value: Any, path: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise refusals.wrong_type(path, "an integer")
        _within(value, path, least, most)
        return value

    return check


def number(least: float, most: float) -> Shape:
    """Accept a number between the two, both included."""

    def check(value: Any, path: str) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise refusals.wrong_type(path, "a number")
        _within(value, path, least, most)
        return value

    return check


def one_of(*supported: str) -> Shape:
    """Accept one of these words."""

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in supported:
            raise refusals.wrong_value(path, value, supported)
        return value

    return check


def either(first: Shape, second: Shape) -> Shape:
    """Accept what the first accepts, else what the second accepts."""

    def check(value: Any, path: str) -> Any:
        try:
            return first(value, path)
        except refusals.RequestRefused:
            return second(value, path)

    return check


def array(of: Shape, most: int = MAX_LIST) -> Shape:
    """Accept a list of at most `most` of these."""

    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise refusals.wrong_type(path, "an array")
        if len(value) > most:
            raise refusals.too_large(f"{path}.length", most, len(value))
        return [of(entry, f"{path}[{index}]") for index, entry in enumerate(value)]

    return check


def thing(value: Any, path: str) -> dict[str, Any]:
    """Accept any object."""
    if not isinstance(value, dict):
        raise refusals.wrong_type(path, "an object")
    return value


def record(fields: Mapping[str, Shape], required: Collection[str] = ()) -> Shape:
    """Accept an object with these fields and no others."""

    def check(value: Any, path: str) -> dict[str, Any]:
        prefix = f"{path}." if path else ""
        for name in thing(value, path):
            if name not in fields:
                raise refusals.unknown_parameter(f"{prefix}{name[:64]}")
        for name in required:
            if name not in value:
                raise refusals.missing_parameter(f"{prefix}{name}")
        return {name: fields[name](value[name], f"{prefix}{name}") for name in value}

    return check


def tagged(kinds: Mapping[str, Shape], tag: str = "type") -> Shape:
    """Accept an object whose `tag` says which of these it is."""
    check_tag = one_of(*kinds)

    def check(value: Any, path: str) -> Any:
        if tag not in thing(value, path):
            raise refusals.missing_parameter(f"{path}.{tag}")
        return kinds[check_tag(value[tag], f"{path}.{tag}")](value, path)

    return check


def _within(value: float, path: str, least: float, most: float) -> None:
    if value < least:
        raise refusals.too_small(path, least, value)
    if value > most:
        raise refusals.too_large(path, most, value)


# ---- How the events that a client may send must look, and how their bytes are read.

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
    """Return the JSON of a frame; raises `RequestRefused`."""
    try:
        return msgspec.json.decode(frame)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(
            "invalid_json", "Invalid event: failed to parse JSON value."
        ) from error


def check(event: Any) -> Event:
    """Return an event that is one of OpenAI's and has its fields; raises `RequestRefused`."""
    if not isinstance(event, dict):
        raise RequestRefused("invalid_event", "Invalid event: expected a JSON object.")
    if "type" not in event:
        raise refusals.missing_parameter("type")
    kind = event["type"]
    if not isinstance(kind, str) or kind not in _SUPPORTED:
        raise refusals.wrong_value("type", kind, _SUPPORTED)
    if kind not in _SHAPES:
        message = f"The event '{kind}' belongs to translation sessions, which are not built."
        raise RequestRefused("invalid_value", message, "type")
    checked: Event = _SHAPES[kind](event, "")
    return checked


def event_id(event: Any) -> str | None:
    """Return the id that the client gave its event, None where it cannot be read."""
    given = event.get("event_id") if isinstance(event, dict) else None
    return given if isinstance(given, str) else None


def pcm(event: Event) -> bytes:
    """Return the audio of an `append`; raises `RequestRefused`."""
    try:
        return binascii.a2b_base64(event["audio"], strict_mode=True)
    except ValueError as error:
        message = "Invalid 'audio': expected base64-encoded audio bytes."
        raise RequestRefused("invalid_value", message, "audio") from error
