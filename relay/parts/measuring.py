"""Measures the work of parts: how long it takes, how much is under way, and what fails."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Literal, Protocol, TypeVar

from relay.parts.interfaces import FailureCode, PartFailed, PartKind, as_generator

T = TypeVar("T")

Outcome = Literal["ok", "cancelled"] | FailureCode


class PartObserver(Protocol):
    """Takes measurements; `model` is the part's name, seconds count from the request."""

    def part_started(self, part: PartKind) -> None:
        """Note that a piece of work was given to a part, which may still let it wait."""

    def part_answered(self, part: PartKind, model: str, seconds: float) -> None:
        """Note the first piece of a result."""

    def part_ended(self, part: PartKind, model: str, seconds: float, outcome: Outcome) -> None:
        """Note the end of a piece of work."""


async def measured(
    stream: AsyncIterator[T], part: PartKind, model: str, observer: PartObserver
) -> AsyncGenerator[T]:
    """Yield what a part yields, and tell the observer; closes the stream, however it ends."""
    began = time.monotonic()
    outcome: Outcome = "cancelled"
    answered = False
    observer.part_started(part)
    try:
        async with aclosing(as_generator(stream)) as pieces:
            async for piece in pieces:
                if not answered:
                    answered = True
                    observer.part_answered(part, model, time.monotonic() - began)
                yield piece
        outcome = "ok"
    except PartFailed as failure:
        outcome = failure.code
        raise
    except Exception:  # a part raises what its library does; it is counted and goes on
        outcome = "failed"
        raise
    finally:
        observer.part_ended(part, model, time.monotonic() - began, outcome)
