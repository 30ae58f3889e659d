"""Ids as OpenAI makes them: a prefix, then 21 characters, the first five of which tell the time."""

import secrets
import time
from collections.abc import Callable

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
