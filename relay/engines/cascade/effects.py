"""The effects of a session's machine: events for the client, work for the parts, and the end.

Also what every effect needs: ids as OpenAI makes them, and `error` events in OpenAI's shape.
"""

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from relay.parts.interfaces import (
    PartFailed,
    ReplyRequest,
    SynthesisRequest,
    TranscriptionRequest,
)

Event = dict[str, Any]

NewId = Callable[[str], str]
"""Given a prefix ("item"), return a fresh id ("item_" + 21 characters)."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Send this event to the client."""

    event: Event


WorkRequest = TranscriptionRequest | ReplyRequest | SynthesisRequest


@dataclass(frozen=True, slots=True)
class StartWork:
    """Have a part do this; answer with `Machine.progress` and `Machine.finish`."""

    id: int
    request: WorkRequest


@dataclass(frozen=True, slots=True)
class CancelWork:
    """Stop this work; nothing of it is wanted any more."""

    id: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; nothing comes after it."""

    code: int
    reason: str


Effect = Emit | StartWork | CancelWork | Close


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

    def emit_failure(self, failure: PartFailed) -> Event:
        """Add an `error` event that names the part which failed; returns the error."""
        fault = part_error(failure)
        event = {"type": "error", "event_id": self.new_id("event")}
        self._effects.append(Emit({**event, "error": {**fault, "param": None, "event_id": None}}))
        return fault

    def refuse(self, refusal: RequestRefused, client_event_id: str | None) -> None:
        """Add an `error` event."""
        self._effects.append(Emit(error(refusal, client_event_id, self.new_id("event"))))

    def do(self, effect: StartWork | CancelWork | Close) -> None:
        """Add work for the parts, its end, or the end of the session."""
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        """Return the collected effects and start anew."""
        effects, self._effects = self._effects, []
        return effects


class Work:
    """The work of parts that is under way for one session, and who takes its results.

    Nothing reaches who cancelled it.
    """

    def __init__(self, out: EffectBuffer) -> None:
        self._out = out
        self._numbers = itertools.count(1)
        self._takers: dict[int, WorkTaker] = {}

    def start(self, request: WorkRequest, taker: "WorkTaker") -> int:
        """Begin work; returns its number."""
        number = next(self._numbers)
        self._takers[number] = taker
        self._out.do(StartWork(number, request))
        return number

    def cancel(self, number: int) -> None:
        """Stop work; work that has ended is left alone."""
        if self._takers.pop(number, None) is not None:
            self._out.do(CancelWork(number))

    def progress(self, number: int, piece: Any, now: float) -> None:
        """Hand over a piece of a result."""
        taker = self._takers.get(number)
        if taker is not None:
            taker.progress(piece, now)

    def finish(self, number: int, failure: PartFailed | None, now: float) -> None:
        """Hand over the end of a result: None for success."""
        taker = self._takers.pop(number, None)
        if taker is not None:
            taker.finish(failure, now)


class WorkTaker(Protocol):
    """Takes the result of one piece of work."""

    def progress(self, piece: Any, now: float) -> None:
        """Take what the part has yielded."""

    def finish(self, failure: PartFailed | None, now: float) -> None:
        """Take the end."""


_PROBLEMS: Final[dict[str, str]] = {
    "busy": "is busy; try again in a moment",
    "rate_limited": "is limited by its provider; try again in a moment",
    "timeout": "took too long",
    "unauthorized": "is not let in by its provider",
    "rejected": "was refused by its provider",
    "unavailable": "cannot be reached",
    "failed": "failed",
}


def part_error(failure: PartFailed) -> Event:
    """Return the error of a part as events have it; what it says is safe for anybody to read."""
    message = f"The {failure.part} {_PROBLEMS[failure.code]}."
    return {"type": "server_error", "code": f"{failure.part}_{failure.code}", "message": message}


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
