"""What every transcriber, responder and synthesizer must do, however it does it.

A part is brought as a `Subject`; `CHECKS` are run over it (tests/parts/test_conformance.py). The
three kinds differ in what they are asked and what they yield, and in nothing that is checked here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import pytest

from relay.parts.interfaces import (
    FunctionCall,
    PartFailed,
    PartKind,
    Reply,
    ReplyDelta,
    ReplyEnding,
    TokenUsage,
)
from tests.own_time import own_time

STOP_SECONDS = 1.0
"""A cancelled part has given up what it was doing after so long."""
HANG_SECONDS = 60.0
"""Of a check in all; a part that takes longer hangs."""

Pieces = list[Any]


@dataclass(frozen=True)
class Known:
    """A request, and whether what a part yields for it is right."""

    request: Any
    answered: Callable[[Pieces], bool]


async def _at_rest() -> None:
    """Nothing is known to be under way."""


def _nothing() -> None:
    """Leave the part as it is."""


@dataclass(frozen=True)
class Subject:
    """A part to be checked.

    `known` are at least two requests with different answers. `long` is one whose answer has several
    pieces, where `streams`. `empty` is one without sound, words or history. `slow_down` makes the
    next request stop after its first piece, or so slow that it can be cancelled; `begun` waits
    until a request is under way and `rest` until none is, at the far end too. `break_down` makes
    the next request fail; None where nothing can.
    """

    kind: PartKind
    part: Any
    known: Sequence[Known]
    long: Any
    empty: Any
    streams: bool = True
    slow_down: Callable[[], None] = _nothing
    begun: Callable[[], Awaitable[None]] = _at_rest
    rest: Callable[[], Awaitable[None]] = _at_rest
    break_down: Callable[[], None] | None = None
    far_end: Any = None
    """The double of a remote part's provider."""

    def work(self, request: Any) -> AsyncGenerator[Any]:
        """Ask the part."""
        methods = {"transcriber": "transcribe", "responder": "respond", "synthesizer": "synthesize"}
        pieces: AsyncIterator[Any] = getattr(self.part, methods[self.kind])(request)
        return cast("AsyncGenerator[Any]", pieces)

    async def answer(self, request: Any) -> Pieces:
        """Ask the part and take all that it yields."""
        async with aclosing(self.work(request)) as pieces:
            return [piece async for piece in pieces]


def joined(pieces: Pieces) -> Any:
    """Return the whole of an answer: a transcript, an answer's text, or sound."""
    if pieces and isinstance(pieces[0], bytes):
        return b"".join(pieces)
    return "".join(
        piece.text if isinstance(piece, ReplyDelta) else piece
        for piece in pieces
        if isinstance(piece, str | ReplyDelta)
    )


async def take(pieces: AsyncIterator[Any], into: Pieces) -> None:
    """Take what comes; `into` has it also when that ends in a failure."""
    async for piece in pieces:
        into.append(piece)


async def has_a_name(subject: Subject) -> None:
    assert subject.part.name
    assert isinstance(subject.part.name, str)


async def answers(subject: Subject) -> None:
    for known in subject.known:
        pieces = await subject.answer(known.request)
        assert known.answered(pieces), pieces
        for piece in pieces:
            _check_piece(subject.kind, piece)


def _check_piece(kind: PartKind, piece: Any) -> None:
    if kind == "transcriber":
        assert isinstance(piece, str)
    elif kind == "synthesizer":
        assert isinstance(piece, bytes)
        assert len(piece) % 2 == 0, "half a sample"
    else:
        assert isinstance(piece, ReplyDelta | FunctionCall | TokenUsage | ReplyEnding | Reply)


async def streams_what_it_makes(subject: Subject) -> None:
    if not subject.streams:
        return
    pieces = await subject.answer(subject.long)
    assert len([piece for piece in pieces if joined([piece])]) > 1


async def takes_nothing_for_nothing(subject: Subject) -> None:
    pieces = await subject.answer(subject.empty)
    if subject.kind != "responder":  # one may well begin a conversation
        assert not joined(pieces)


async def keeps_requests_apart(subject: Subject) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            (known, group.create_task(subject.answer(known.request)))
            for known in [*subject.known, *subject.known]
        ]
    for known, task in tasks:
        assert known.answered(task.result()), task.result()


async def stops_when_its_task_is_cancelled(subject: Subject) -> None:
    subject.slow_down()
    task = asyncio.get_running_loop().create_task(subject.answer(subject.long))
    await subject.begun()
    await _stops(subject, lambda: _cancel(task))
    await answers(subject)


async def _cancel(task: asyncio.Task[Pieces]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or not task.exception()


async def stops_when_nobody_listens_any_more(subject: Subject) -> None:
    if subject.streams:
        subject.slow_down()
    pieces = subject.work(subject.long)
    await anext(pieces)
    await _stops(subject, pieces.aclose)
    await answers(subject)


async def _stops(subject: Subject, stop: Callable[[], Awaitable[None]]) -> None:
    began = own_time()
    await stop()
    await subject.rest()
    assert own_time() - began < STOP_SECONDS


async def fails_as_the_part_it_is(subject: Subject) -> None:
    if subject.break_down is None:
        return
    subject.break_down()
    with pytest.raises(PartFailed) as failure:
        await subject.answer(subject.long)
    assert failure.value.part == subject.kind
    await answers(subject)


async def is_busy_before_it_makes_anybody_wait(subject: Subject) -> None:
    """Nobody waits who is not ready to; who need not wait is served."""
    known = subject.known[0]
    try:
        pieces = await subject.answer(_impatient(known.request))
    except PartFailed as failure:
        code = failure.code
    else:
        code = "busy"
        assert known.answered(pieces)
    assert code == "busy"


def _impatient(request: Any) -> Any:
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return type(request)(**fields | {"max_wait": 0.0})


async def closes_twice(subject: Subject) -> None:
    if subject.kind == "responder":  # what it shares with others is closed elsewhere
        return
    await subject.part.prepare()
    await subject.part.prepare()
    await subject.part.aclose()
    await subject.part.aclose()


async def ends_what_is_under_way_when_it_closes(subject: Subject) -> None:
    if subject.kind == "responder":
        return
    subject.slow_down()
    task = asyncio.get_running_loop().create_task(subject.answer(subject.long))
    await subject.begun()
    began = own_time()
    await subject.part.aclose()
    await asyncio.wait([task])
    assert own_time() - began < STOP_SECONDS
    failure = None if task.cancelled() else task.exception()
    assert failure is None or (isinstance(failure, PartFailed) and failure.part == subject.kind)
    await subject.rest()


CHECKS: Sequence[Callable[[Subject], Awaitable[None]]] = (
    has_a_name,
    answers,
    streams_what_it_makes,
    takes_nothing_for_nothing,
    keeps_requests_apart,
    stops_when_its_task_is_cancelled,
    stops_when_nobody_listens_any_more,
    fails_as_the_part_it_is,
    is_busy_before_it_makes_anybody_wait,
    closes_twice,
    ends_what_is_under_way_when_it_closes,
)


async def conform(check: Callable[[Subject], Awaitable[None]], subject: Subject) -> None:
    """Run a check; a part that hangs fails it."""
    async with asyncio.timeout(HANG_SECONDS):
        await check(subject)
