"""Lets a second part do the work that a first one failed at before any of it was sent."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import structlog

from relay.parts.interfaces import (
    PartFailed,
    ReplyDelta,
    ReplyEnding,
    ReplyPiece,
    ReplyRequest,
    Resource,
    Responder,
    StartOver,
    SynthesisRequest,
    Synthesizer,
    TokenUsage,
    Transcriber,
    TranscriptionRequest,
    as_generator,
    probe,
)
from relay.parts.sentences import SentenceSplitter

log = structlog.get_logger(__name__)

T = TypeVar("T")
Part = TypeVar("Part", Transcriber, Responder, Synthesizer)


class FallbackTranscriber:
    """A `Transcriber` whose second part listens to a turn that the first could not write down.

    `name` is the first one's. Its words come when all of them are there: half of a turn is never
    the first's and half the second's.
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

    async def probe(self) -> None:
        """Ask the first, and if it would not work the second; raises `PartFailed`."""
        await _probe(self._first, self._second)

    async def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[str]:
        """Yield the words of the one that understood the turn."""
        words = _either(
            lambda: _whole(self._first.transcribe(request)),
            lambda: _taken_over(request, self._second).transcribe(request),
        )
        async with aclosing(words):
            async for piece in words:
                yield piece


class FallbackResponder:
    """A `Responder` whose second part answers what the first could not; `name` is the first's.

    The first sentence is held back until it is complete, as long as a voice waits for it anyway;
    until something was sent, a second part may still answer from the beginning (`StartOver`).
    """

    def __init__(self, first: Responder, second: Responder) -> None:
        self._first = first
        self._second = second

    @property
    def name(self) -> str:
        """The first model's."""
        return self._first.name

    async def probe(self) -> None:
        """Ask the first, and if it would not work the second; raises `PartFailed`."""
        await _probe(self._first, self._second)

    async def respond(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield the answer of the one that gave a whole one, or whose answer was already sent."""
        beginning = _Beginning()
        try:
            async with aclosing(as_generator(self._first.respond(request))) as pieces:
                async for piece in pieces:
                    for ready in beginning.take(piece):
                        yield ready
        except PartFailed as failure:
            if beginning.given and not (request.is_unsent and request.is_unsent()):
                raise
            _log_takeover(failure)
            rest = self._anew(request, beginning)
        else:
            rest = beginning.rest()
        async with aclosing(rest):
            async for piece in rest:
                yield piece

    async def _anew(
        self, request: ReplyRequest, before: "_Beginning"
    ) -> AsyncGenerator[ReplyPiece]:
        if before.anything:
            yield StartOver(self._second.name, len(before.held))
        answer = _taken_over(request, self._second).respond(request)
        async with aclosing(as_generator(answer)) as pieces:
            async for piece in pieces:
                yield piece


class _Beginning:
    """The beginning of an answer, held back until its first sentence or clause can be spoken.

    `given` tells whether any of the answer itself was let go, `anything` whether there was any
    piece of it at all.
    """

    def __init__(self) -> None:
        self.held = ""
        self.given = False
        self.anything = False
        self._splitter = SentenceSplitter()

    def take(self, piece: ReplyPiece) -> list[ReplyPiece]:
        """Take the next piece; return what may go on."""
        match piece:
            case ReplyDelta(""):
                return []
            case ReplyDelta(text) if not self.given:
                self.anything = True
                self.held += text
                return self._release() if self._splitter.feed(text) else []
            case TokenUsage() | ReplyEnding():
                self.anything = True
                return [piece]
            case _:
                held = self._release()
                self.given = self.anything = True
                return [*held, piece]

    async def rest(self) -> AsyncGenerator[ReplyPiece]:
        """Yield what is still held back once the answer is complete."""
        for piece in self._release():
            yield piece

    def _release(self) -> list[ReplyPiece]:
        held, self.held = self.held, ""
        self.given = self.given or bool(held)
        return [ReplyDelta(held)] if held else []


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
                if piece:
                    yielded = True
                    yield piece
    except PartFailed as failure:
        if yielded:
            raise
        _log_takeover(failure)
    else:
        return
    async with aclosing(as_generator(second())) as pieces:
        async for piece in pieces:
            yield piece


async def _whole(words: AsyncIterator[str]) -> AsyncGenerator[str]:
    async with aclosing(as_generator(words)) as pieces:
        gathered = [piece async for piece in pieces]
    for piece in gathered:
        yield piece


def _log_takeover(failure: PartFailed) -> None:
    log.warning(
        "part failed; using its fallback",
        part=failure.part,
        code=failure.code,
        detail=failure.detail,
    )


async def _probe(first: object, second: object) -> None:
    try:
        await probe(first)
    except PartFailed:
        await probe(second)


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
