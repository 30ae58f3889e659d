"""Lets a second part do the work that a first one failed at before it yielded anything."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import structlog

from relay.parts.interfaces import (
    PartFailed,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    Resource,
    Responder,
    SynthesisRequest,
    Synthesizer,
    Transcriber,
    TranscriptionRequest,
    as_generator,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")
Part = TypeVar("Part", Transcriber, Responder, Synthesizer)


class FallbackTranscriber:
    """A `Transcriber` whose second part listens to a turn that the first could not write down.

    `name` is the first one's.
    """

    def __init__(self, first: Transcriber, second: Transcriber) -> None:
        self._first = first
        self._second = second

    @property
    def name(self) -> str:
        """The first model's."""
        return self._first.name

    @property
    def languages(self) -> Sequence[str]:
        """The first model's."""
        return self._first.languages

    async def prepare(self) -> None:
        """Prepare both; raises only when neither can work."""
        await _prepare(self._first, self._second)

    async def aclose(self) -> None:
        """Close both."""
        await _close(self._first, self._second)

    async def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[str]:
        """Yield the words of the one that understood the turn."""
        words = _either(
            lambda: self._first.transcribe(request),
            lambda: _taken_over(request, self._second).transcribe(request),
        )
        async with aclosing(words):
            async for piece in words:
                yield piece


class FallbackResponder:
    """A `Responder` whose second part answers what the first could not; `name` is the first's."""

    def __init__(self, first: Responder, second: Responder) -> None:
        self._first = first
        self._second = second

    @property
    def name(self) -> str:
        """The first model's."""
        return self._first.name

    async def respond(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield the answer of the one that gave one."""
        answer = _either(
            lambda: self._first.respond(request),
            lambda: _taken_over(request, self._second).respond(request),
        )
        async with aclosing(answer):
            async for piece in answer:
                yield piece


class FallbackSynthesizer:
    """A `Synthesizer` whose second part says what the first could not; `name` is the first's."""

    def __init__(self, first: Synthesizer, second: Synthesizer) -> None:
        self._first = first
        self._second = second

    @property
    def name(self) -> str:
        """The first model's."""
        return self._first.name

    async def prepare(self) -> None:
        """Prepare both; raises only when neither can work."""
        await _prepare(self._first, self._second)

    async def aclose(self) -> None:
        """Close both."""
        await _close(self._first, self._second)

    async def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[bytes]:
        """Yield the speech of the one that spoke."""
        speech = _either(
            lambda: self._first.synthesize(request),
            lambda: _taken_over(request, self._second).synthesize(request),
        )
        async with aclosing(speech):
            async for pcm in speech:
                yield pcm


def _taken_over(
    request: TranscriptionRequest | ReplyRequest | SynthesisRequest, part: Part
) -> Part:
    if request.taken_over is not None:
        request.taken_over(part.name)
    return part


async def _either(
    first: Callable[[], AsyncIterator[T]], second: Callable[[], AsyncIterator[T]]
) -> AsyncGenerator[T]:
    """Yield what the first yields, or the second if the first failed before it yielded anything.

    Empty pieces are nothing and are left out.
    """
    yielded = False
    try:
        async with aclosing(as_generator(first())) as pieces:
            async for piece in pieces:
                if not _is_empty(piece):
                    yielded = True
                    yield piece
    except PartFailed as failure:
        if yielded:
            raise
        log.warning(
            "part failed; using its fallback",
            part=failure.part,
            code=failure.code,
            detail=failure.detail,
        )
    else:
        return
    async with aclosing(as_generator(second())) as pieces:
        async for piece in pieces:
            yield piece


def _is_empty(piece: object) -> bool:
    return not piece or (isinstance(piece, ReplyDelta) and not piece.text)


async def _prepare(first: Resource, second: Resource) -> None:
    """Prepare both; one that cannot work is no reason not to start with the other."""
    failures: list[Exception] = []
    for resource in (first, second):
        try:
            await resource.prepare()
        except Exception as failure:  # noqa: BLE001 - whatever it is, the other may work
            log.warning("part could not start; it has a fallback", reason=type(failure).__name__)
            failures.append(failure)
    if len(failures) == 2:
        raise failures[0]


async def _close(first: Resource, second: Resource) -> None:
    try:
        await first.aclose()
    finally:
        await second.aclose()
