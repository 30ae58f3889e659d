"""What is said to a client whose event cannot be carried out, in OpenAI's words and codes."""

from collections.abc import Iterable
from typing import Any

Event = dict[str, Any]


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """The client's event is refused as a whole; the session goes on (WIRE §5)."""

    def __init__(self, code: str | None, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param


def error(refusal: Refusal, client_event_id: str | None, event_id: str) -> Event:
    """Return the `error` event; the inner `event_id` is that of the client's event, or None."""
    return {
        "type": "error",
        "event_id": event_id,
        "error": {
            "type": "invalid_request_error",
            "code": refusal.code,
            "message": refusal.message,
            "param": refusal.param,
            "event_id": client_event_id,
        },
    }


def unknown_parameter(path: str) -> Refusal:
    """Return the answer to a field that does not exist."""
    return Refusal("unknown_parameter", f"Unknown parameter: '{path}'.", path)


def missing_parameter(path: str) -> Refusal:
    """Return the answer to a field that must be there."""
    return Refusal("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def wrong_type(path: str, wanted: str) -> Refusal:
    """Return the answer to a field of another JSON type."""
    return Refusal("invalid_type", f"Invalid type for '{path}': expected {wanted}.", path)


def wrong_value(path: str, got: object, supported: Iterable[str]) -> Refusal:
    """Return the answer to a value that is not in the list."""
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    shown = str(got)[:_SHOWN]
    return Refusal(
        "invalid_value", f"Invalid value: '{shown}'. Supported values are: {listed}.", path
    )


def too_small(path: str, least: float, got: float) -> Refusal:
    """Return the answer to a number below its minimum."""
    return Refusal(
        "integer_below_min_value",
        f"Invalid '{path}': integer below minimum value. "
        f"Expected a value >= {least}, but got {got} instead.",
        path,
    )


def too_large(path: str, most: float, got: float) -> Refusal:
    """Return the answer to a number above its maximum."""
    return Refusal(
        "integer_above_max_value",
        f"Invalid '{path}': integer above maximum value. "
        f"Expected a value <= {most}, but got {got} instead.",
        path,
    )


def too_long(path: str, most: int, got: int) -> Refusal:
    """Return the answer to a string above its maximum length."""
    return Refusal(
        "string_above_max_length",
        f"Invalid '{path}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {got} instead.",
        path,
    )


_SHOWN = 64
"""Characters of a wrong value that an error repeats."""
