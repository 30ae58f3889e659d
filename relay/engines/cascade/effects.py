"""The effects of a session's machine: events for the client, work for the parts, and the end.

Also what every effect needs: ids as OpenAI makes them, and `error` events in OpenAI's shape.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]

NewId = Callable[[str], str]
"""Given a prefix ("item"), return a fresh id ("item_" + 21 characters)."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Send this event to the client."""

    event: Event


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Have this audio transcribed; answer with `Machine.transcribed`."""

    item_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Have this text of one output of a response spoken; answer with `Machine.synthesized`."""

    response_id: str
    output: int
    text: str
    voice: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; nothing comes after it."""

    code: int
    reason: str


Effect = Emit | Transcribe | Synthesize | Close


class RequestRefused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The client's event is refused as a whole; the session goes on (WIRE §5)."""

    def __init__(self, code: str | None, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param


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

    def do(self, effect: Transcribe | Synthesize | Close) -> None:
        """Add work for the parts, or the end."""
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        """Return the collected effects and start anew."""
        effects, self._effects = self._effects, []
        return effects


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


_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EPOCH = 1_576_800_000  # Unix seconds at which the ids' own clock starts (recordings/INDEX)
_TIME_CHARACTERS = 5
_RANDOM_CHARACTERS = 16
_AS_DIGIT = bytes(_DIGITS[byte % len(_DIGITS)] for byte in range(256))


def random_ids(unix: Callable[[], int]) -> NewId:
    """Return a generator of unguessable ids; `unix` returns the time in Unix seconds.

    The first five of the 21 characters after the prefix encode the time, as in OpenAI's ids.
    """

    def new_id(prefix: str) -> str:
        random_part = secrets.token_bytes(_RANDOM_CHARACTERS).translate(_AS_DIGIT)
        return f"{prefix}_{_encoded_time(unix())}{random_part.decode()}"

    return new_id


def unix() -> int:
    """Return Unix seconds."""
    return time.time_ns() // 1_000_000_000


def padding(delta: str) -> str:
    """Return the random `obfuscation` that makes every token delta equally long."""
    length = _RANDOM_CHARACTERS - len(delta) % _RANDOM_CHARACTERS
    return secrets.token_bytes(length).translate(_AS_DIGIT).decode()


def _encoded_time(unix: int) -> str:
    rest = max(unix - _EPOCH, 0)
    digits = bytearray()
    for _ in range(_TIME_CHARACTERS):
        rest, digit = divmod(rest, len(_DIGITS))
        digits.append(_DIGITS[digit])
    digits.reverse()
    return digits.decode()
