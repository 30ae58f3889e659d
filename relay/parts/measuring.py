"""Measures the work of parts: how long it takes, how much is under way, and what fails."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Literal, Protocol, TypeVar, cast

from relay.parts.interfaces import FailureCode, PartFailed, PartKind

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
) -> AsyncIterator[T]:
    """Yield what a part yields, and tell the observer; closes the stream, however it ends."""
    began = time.monotonic()
    outcome: Outcome = "cancelled"
    answered = False
    observer.part_started(part)
    try:
        async with aclosing(_closable(stream)):
            async for piece in stream:
                if not answered:
                    answered = True
                    observer.part_answered(part, model, time.monotonic() - began)
                yield piece
        outcome = "ok"
    except PartFailed as failure:
        outcome = failure.code
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        observer.part_ended(part, model, time.monotonic() - began, outcome)


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class _NothingToClose:
    async def aclose(self) -> None:
        """Do nothing."""


def _closable(stream: AsyncIterator[T]) -> _Closable:
    return cast(_Closable, stream) if hasattr(stream, "aclose") else _NothingToClose()
