"""When a fault happens: in which session, turn or response, and how often."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Unit = Literal["session", "turn", "response", "event"]
"""What a fault happens to as a whole: chance decides once for each of them."""

Number = Annotated[int, Meta(ge=1)]
Numbers = Number | list[Number]
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class Only(Struct, frozen=True, forbid_unknown_fields=True):
    """The sessions, turns and responses that a fault is limited to, all counted from 1.

    `probability` is that of each thing the fault may happen to; the same seed chooses the same.
    """

    session: Numbers | None = None
    turn: Numbers | None = None
    response: Numbers | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0


ALWAYS = Only()


def mode(class_name: str) -> str:
    """Return how a fault is called in a script: `TranscriptionLate` is `transcription_late`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


FAULT: dict[str, Any] = {
    "frozen": True,
    "forbid_unknown_fields": True,
    "tag_field": "mode",
    "tag": mode,
}
"""How every fault's shape is read from a script."""


@dataclass(frozen=True, slots=True)
class Luck:
    """The dice of one fault in one session: the same seed throws the same, in any order."""

    seed: int
    fault: int
    session: int

    def throw(self, number: int) -> float:
        """Return what was thrown for the n-th thing, from 0 up to but not including 1."""
        thrown = hashlib.blake2b(
            f"{self.seed}/{self.fault}/{self.session}/{number}".encode(), digest_size=6
        )
        return int.from_bytes(thrown.digest(), "big") / (1 << 48)


def among(numbers: Numbers | None, number: int | None) -> bool:
    """Tell whether a number is one of those asked for; None asks for all."""
    if numbers is None:
        return True
    return number in (numbers if isinstance(numbers, Sequence) else (numbers,))
