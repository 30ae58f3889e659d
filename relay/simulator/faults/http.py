"""Faults of HTTP requests, and the choice of those that happen to one of them."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from relay.simulator.faults.tracking import (
    ALWAYS,
    FAULT,
    Condition,
    Count,
    Dice,
    Number,
    Seconds,
    Unit,
    among,
)

HttpPath = Literal[
    "/v1/audio/transcriptions",
    "/v1/audio/speech",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/models",
]
"""The endpoints; a single model's address counts as `/v1/models`."""

ErrorStatus = Annotated[int, Meta(ge=400, le=599)]

_ONLY_REQUEST = 0  # the dice of a request are thrown for no session


class HttpFailed(Struct, **FAULT):
    """A request is answered with this status and an error; `retry_after` is in seconds."""

    unit: ClassVar[Unit] = "request"
    status: ErrorStatus
    message: str = "A fault of the script."
    type: str = "server_error"
    code: str | None = None
    retry_after: Count | None = None
    path: HttpPath | None = None
    every: Number = 1
    only: Condition = ALWAYS


class HttpLate(Struct, **FAULT):
    """The first byte of an answer comes no sooner than so many seconds after the request."""

    unit: ClassVar[Unit] = "request"
    seconds: Seconds = 0.3
    path: HttpPath | None = None
    every: Number = 1
    only: Condition = ALWAYS


class HttpCut(Struct, **FAULT):
    """The connection drops after so many pieces of an answer's body."""

    unit: ClassVar[Unit] = "request"
    after_pieces: Count = 1
    path: HttpPath | None = None
    every: Number = 1
    only: Condition = ALWAYS


class HttpStalled(Struct, **FAULT):
    """Nothing comes after so many pieces of an answer's body; the connection stays open."""

    unit: ClassVar[Unit] = "request"
    after_pieces: Count = 1
    path: HttpPath | None = None
    every: Number = 1
    only: Condition = ALWAYS


class HttpSlow(Struct, **FAULT):
    """So many seconds pass before every piece of an answer's body but the first."""

    unit: ClassVar[Unit] = "request"
    seconds: Seconds = 0.1
    path: HttpPath | None = None
    every: Number = 1
    only: Condition = ALWAYS


HttpFault = HttpFailed | HttpLate | HttpCut | HttpStalled | HttpSlow
"""Faults of HTTP requests, which belong to no session."""


class HttpFaults:
    """The faults of HTTP requests, and how many requests each has counted.

    A fault counts the requests for its `path`, all where it has none.
    """

    def __init__(self, chosen: Sequence[tuple[int, HttpFault]], seed: int) -> None:
        self._chosen = chosen
        self._seed = seed
        self._counts: Counter[str | None] = Counter()

    def next(self, path: str) -> "RequestFaults":
        """Count one more request for a path and return what happens to it."""
        self._counts[None] += 1
        self._counts[path] += 1
        return RequestFaults(
            tuple(
                fault
                for index, fault in self._chosen
                if fault.path in (None, path) and self._happens(fault, index)
            )
        )

    def _happens(self, fault: HttpFault, index: int) -> bool:
        number = self._counts[fault.path]
        dice = Dice(self._seed, index, _ONLY_REQUEST)
        return (
            number % fault.every == 0
            and among(fault.only.request, number)
            and dice.throw(number) < fault.only.probability
        )


class RequestFaults:
    """What happens to one request, by kind."""

    def __init__(self, faults: Sequence[HttpFault]) -> None:
        self.failed = next((f for f in faults if isinstance(f, HttpFailed)), None)
        self.late_seconds = sum(f.seconds for f in faults if isinstance(f, HttpLate))
        self.slow_seconds = sum(f.seconds for f in faults if isinstance(f, HttpSlow))
        self.cut_after = min(
            (f.after_pieces for f in faults if isinstance(f, HttpCut)), default=None
        )
        self.stalled_after = min(
            (f.after_pieces for f in faults if isinstance(f, HttpStalled)), default=None
        )

    @property
    def ends_early(self) -> bool:
        """Return whether the answer may not come whole."""
        return self.cut_after is not None or self.stalled_after is not None


NO_REQUEST_FAULTS = RequestFaults(())
