"""What the rules of the offline voice answer with: events to send and work for its parts."""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

# ---- Ids as OpenAI makes them: a prefix, then 21 characters, the first five of which tell the
# time.

NewId = Callable[[str], str]
"""Given a prefix ("item"), return a fresh id ("item_" + 21 characters)."""

_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EPOCH = 1_576_800_000  # Unix seconds at which the ids' own clock starts (recordings/INDEX)
_TIME_CHARACTERS = 5
_RANDOM_CHARACTERS = 16
_AS_DIGIT = bytes(_DIGITS[byte % len(_DIGITS)] for byte in range(256))


def at_random(unix: Callable[[], int]) -> NewId:
    """Return a generator of unguessable ids that asks `unix` for the time in seconds."""

    def new_id(prefix: str) -> str:
        chance = secrets.token_bytes(_RANDOM_CHARACTERS).translate(_AS_DIGIT)
        return f"{prefix}_{_clock(unix())}{chance.decode()}"

    return new_id


def unix() -> int:
    """Return Unix seconds, for the shells."""
    return time.time_ns() // 1_000_000_000


def padding(delta: str) -> str:
    """Return the random `obfuscation` that makes every token delta equally long."""
    length = _RANDOM_CHARACTERS - len(delta) % _RANDOM_CHARACTERS
    return secrets.token_bytes(length).translate(_AS_DIGIT).decode()


def _clock(unix: int) -> str:
    rest = max(unix - _EPOCH, 0)
    digits = bytearray()
    for _ in range(_TIME_CHARACTERS):
        rest, digit = divmod(rest, len(_DIGITS))
        digits.append(_DIGITS[digit])
    digits.reverse()
    return digits.decode()


# ---- What is said to a client whose event cannot be carried out, in OpenAI's words and codes.

Event = dict[str, Any]


class RequestRefused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The client's event is refused as a whole; the session goes on (WIRE §5)."""

    def __init__(self, code: str | None, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param


def error(refusal: RequestRefused, client_event_id: str | None, event_id: str) -> Event:
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


def unknown_parameter(path: str) -> RequestRefused:
    """Return the answer to a field that does not exist."""
    return RequestRefused("unknown_parameter", f"Unknown parameter: '{path}'.", path)


def missing_parameter(path: str) -> RequestRefused:
    """Return the answer to a field that must be there."""
    return RequestRefused(
        "missing_required_parameter", f"Missing required parameter: '{path}'.", path
    )


def wrong_type(path: str, wanted: str) -> RequestRefused:
    """Return the answer to a field of another JSON type."""
    return RequestRefused("invalid_type", f"Invalid type for '{path}': expected {wanted}.", path)


def wrong_value(path: str, got: object, supported: Iterable[str]) -> RequestRefused:
    """Return the answer to a value that is not in the list."""
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    shown = str(got)[:_SHOWN]
    return RequestRefused(
        "invalid_value", f"Invalid value: '{shown}'. Supported values are: {listed}.", path
    )


def too_small(path: str, least: float, got: float) -> RequestRefused:
    """Return the answer to a number below its minimum."""
    return RequestRefused(
        "integer_below_min_value",
        f"Invalid '{path}': integer below minimum value. "
        f"Expected a value >= {least}, but got {got} instead.",
        path,
    )


def too_large(path: str, most: float, got: float) -> RequestRefused:
    """Return the answer to a number above its maximum."""
    return RequestRefused(
        "integer_above_max_value",
        f"Invalid '{path}': integer above maximum value. "
        f"Expected a value <= {most}, but got {got} instead.",
        path,
    )


def too_long(path: str, most: int, got: int) -> RequestRefused:
    """Return the answer to a string above its maximum length."""
    return RequestRefused(
        "string_above_max_length",
        f"Invalid '{path}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {got} instead.",
        path,
    )


_SHOWN = 64
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Send this event to the client."""

    event: Event


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Have this audio written down; answer with `Machine.transcribed`."""

    item_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Speak:
    """Have this text spoken, one of an answer's outputs; answer with `Machine.spoken`."""

    response_id: str
    output: int
    text: str
    voice: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; nothing comes after it."""

    code: int
    reason: str


Effect = Emit | Transcribe | Speak | Close


class EffectBuffer:
    """Collects the effects of one step, in order."""

    def __init__(self, new_id: NewId) -> None:
        self.new_id = new_id
        self._effects: list[Effect] = []

    def emit(self, kind: str, **fields: Any) -> None:
        """Add an event; its keys stand in OpenAI's order: `type`, `event_id`, the rest."""
        self._effects.append(Emit({"type": kind, "event_id": self.new_id("event"), **fields}))

    def refuse(self, refusal: RequestRefused, client_event_id: str | None) -> None:
        """Add an `error` event."""
        self._effects.append(Emit(error(refusal, client_event_id, self.new_id("event"))))

    def do(self, effect: Transcribe | Speak | Close) -> None:
        """Add work for the shell."""
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        """Return what was collected and start anew."""
        effects, self._effects = self._effects, []
        return effects
