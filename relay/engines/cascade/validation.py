"""Validates client events: JSON against shapes, small checks combined into large ones.

A value that does not fit is refused in OpenAI's words and with OpenAI's codes. `check_event` knows
the shapes of client events; those of sessions, responses and items are in `settings` and `items`.
"""

import binascii
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from relay.engines.cascade.effects import Event, RequestRefused
from relay.interfaces import Frame

Shape = Callable[[Any, str], Any]
"""Given a value and its path, return the value to go on with, or raise `RequestRefused`."""

MAX_LIST = 1024  # entries of any list a client may send

MAX_TEXT = 1 << 20  # characters of any one text a client may send

_SHOWN = 64  # characters of a wrong value that an error repeats


def anything(value: Any, path: str) -> Any:  # noqa: ARG001 - it is a Shape
    """Accept any value."""
    return value


def nullable(shape: Shape) -> Shape:
    """Accept null, or what `shape` accepts."""
    return lambda value, path: None if value is None else shape(value, path)


def text(most: int = MAX_TEXT) -> Shape:
    """Accept a string of at most `most` characters."""

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(path, "a string")
        if len(value) > most:
            raise too_long(path, most, len(value))
        return value

    return check


def boolean(value: Any, path: str) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean")
    return value


def integer(least: int, most: int) -> Shape:
    """Accept a whole number between the two, both included."""

    def check(value: Any, path: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(path, "an integer")
        _within(value, path, least, most)
        return value

    return check


def number(least: float, most: float) -> Shape:
    """Accept a number between the two, both included."""

    def check(value: Any, path: str) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(path, "a number")
        _within(value, path, least, most)
        return value

    return check


def one_of(*supported: str) -> Shape:
    """Accept one of these words."""

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in supported:
            raise wrong_value(path, value, supported)
        return value

    return check


def either(first: Shape, second: Shape) -> Shape:
    """Accept what the first accepts, else what the second accepts."""

    def check(value: Any, path: str) -> Any:
        try:
            return first(value, path)
        except RequestRefused:
            return second(value, path)

    return check


def array(of: Shape, most: int = MAX_LIST) -> Shape:
    """Accept a list of at most `most` of these."""

    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type(path, "an array")
        if len(value) > most:
            raise too_large(f"{path}.length", most, len(value))
        return [of(entry, f"{path}[{index}]") for index, entry in enumerate(value)]

    return check


def json_object(value: Any, path: str) -> dict[str, Any]:
    """Accept any object."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object")
    return value


def record(fields: Mapping[str, Shape], required: Collection[str] = ()) -> Shape:
    """Accept an object with these fields and no others."""

    def check(value: Any, path: str) -> dict[str, Any]:
        prefix = f"{path}." if path else ""
        for name in json_object(value, path):
            if name not in fields:
                raise unknown_parameter(f"{prefix}{name[:64]}")
        for name in required:
            if name not in value:
                raise missing_parameter(f"{prefix}{name}")
        return {name: fields[name](value[name], f"{prefix}{name}") for name in value}

    return check


def tagged(kinds: Mapping[str, Shape], tag: str = "type") -> Shape:
    """Accept an object whose `tag` says which of these it is."""
    check_tag = one_of(*kinds)

    def check(value: Any, path: str) -> Any:
        if tag not in json_object(value, path):
            raise missing_parameter(f"{path}.{tag}")
        return kinds[check_tag(value[tag], f"{path}.{tag}")](value, path)

    return check


def _within(value: float, path: str, least: float, most: float) -> None:
    if value < least:
        raise too_small(path, least, value)
    if value > most:
        raise too_large(path, most, value)


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
"""Events that OpenAI's server says it supports (recording p02); two are a translation session's."""

_ID = text(128)


def _event(required: dict[str, Shape] | None = None, **optional: Shape) -> Shape:
    fields = {"type": anything, "event_id": nullable(text(512)), **(required or {}), **optional}
    return record(fields, required=tuple(required or ()))


_SHAPES = {
    "session.update": _event({"session": json_object}),
    "input_audio_buffer.append": _event({"audio": text(MAX_AUDIO * 4 // 3 + 4)}),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event({"item": json_object}, previous_item_id=nullable(_ID)),
    "conversation.item.truncate": _event(
        {"item_id": _ID, "content_index": integer(0, 0), "audio_end_ms": integer(0, 1 << 31)}
    ),
    "conversation.item.delete": _event({"item_id": _ID}),
    "conversation.item.retrieve": _event({"item_id": _ID}),
    "response.create": _event(response=nullable(json_object)),
    "response.cancel": _event(response_id=nullable(_ID)),
}


def decode_event(frame: Frame) -> Any:
    """Return the JSON of a frame; raises `RequestRefused`."""
    try:
        return msgspec.json.decode(frame)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(
            "invalid_json", "Invalid event: failed to parse JSON value."
        ) from error


def check_event(event: Any) -> Event:
    """Return an event that is one of OpenAI's and has its fields; raises `RequestRefused`."""
    if not isinstance(event, dict):
        raise RequestRefused("invalid_event", "Invalid event: expected a JSON object.")
    if "type" not in event:
        raise missing_parameter("type")
    kind = event["type"]
    if not isinstance(kind, str) or kind not in _SUPPORTED:
        raise wrong_value("type", kind, _SUPPORTED)
    if kind not in _SHAPES:
        message = f"The event '{kind}' belongs to translation sessions, which are not implemented."
        raise RequestRefused("invalid_value", message, "type")
    checked: Event = _SHAPES[kind](event, "")
    return checked


def event_id_of(event: Any) -> str | None:
    """Return the id that the client gave its event, None where it cannot be read."""
    given = event.get("event_id") if isinstance(event, dict) else None
    return given if isinstance(given, str) else None


def audio_of(event: Event) -> bytes:
    """Return the audio of an `append`; raises `RequestRefused`."""
    try:
        return binascii.a2b_base64(event["audio"], strict_mode=True)
    except ValueError as error:
        message = "Invalid 'audio': expected base64-encoded audio bytes."
        raise RequestRefused("invalid_value", message, "audio") from error


def unknown_parameter(path: str) -> RequestRefused:
    """Return the refusal of a field that does not exist."""
    return RequestRefused("unknown_parameter", f"Unknown parameter: '{path}'.", path)


def missing_parameter(path: str) -> RequestRefused:
    """Return the refusal of an event without a required field."""
    return RequestRefused(
        "missing_required_parameter", f"Missing required parameter: '{path}'.", path
    )


def wrong_type(path: str, wanted: str) -> RequestRefused:
    """Return the refusal of a value of the wrong JSON type."""
    return RequestRefused("invalid_type", f"Invalid type for '{path}': expected {wanted}.", path)


def wrong_value(path: str, got: object, supported: Iterable[str]) -> RequestRefused:
    """Return the refusal of a value that is not in the list."""
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    shown = str(got)[:_SHOWN]
    return RequestRefused(
        "invalid_value", f"Invalid value: '{shown}'. Supported values are: {listed}.", path
    )


def too_small(path: str, least: float, got: float) -> RequestRefused:
    """Return the refusal of a number below its minimum."""
    return RequestRefused(
        "integer_below_min_value",
        f"Invalid '{path}': integer below minimum value. "
        f"Expected a value >= {least}, but got {got} instead.",
        path,
    )


def too_large(path: str, most: float, got: float) -> RequestRefused:
    """Return the refusal of a number above its maximum."""
    return RequestRefused(
        "integer_above_max_value",
        f"Invalid '{path}': integer above maximum value. "
        f"Expected a value <= {most}, but got {got} instead.",
        path,
    )


def too_long(path: str, most: int, got: int) -> RequestRefused:
    """Return the refusal of a string above its maximum length."""
    return RequestRefused(
        "string_above_max_length",
        f"Invalid '{path}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {got} instead.",
        path,
    )
