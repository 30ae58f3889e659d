"""A second part does what a first one failed at, and only that."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay.parts.fallback import FallbackResponder, FallbackSynthesizer, FallbackTranscriber
from relay.parts.interfaces import (
    FailureCode,
    PartFailed,
    ReplyDelta,
    ReplyRequest,
    SynthesisRequest,
    TokenUsage,
    TranscriptionRequest,
)
from tests.parts.conformance import joined, take
from tests.parts.doubles.double import Fault
from tests.parts.subjects import asked, elevenlabs_synthesizer, openai_synthesizer


class Player:
    """Any part: yields `pieces`, then fails with `code` if there is one."""

    name = "player"
    languages = ("en",)

    def __init__(self, *pieces: Any, code: FailureCode | None = None, name: str = "player") -> None:
        self.name = name
        self.pieces = pieces
        self.code = code
        self.asked = 0
        self.broken = False
        self.closed = False

    async def work(self, request: Any) -> AsyncGenerator[Any]:
        self.asked += 1
        for piece in self.pieces:
            yield piece
        if self.code:
            raise PartFailed("responder", self.code, "503 overloaded")

    transcribe = respond = synthesize = work

    async def prepare(self) -> None:
        if self.broken:
            raise OSError("no such model")

    async def aclose(self) -> None:
        self.closed = True


COMBINED = [
    (FallbackTranscriber, "transcribe", TranscriptionRequest(b""), ("", "Hel", "lo")),
    (FallbackResponder, "respond", ReplyRequest(), (ReplyDelta(""), ReplyDelta("Hello"))),
    (FallbackSynthesizer, "synthesize", SynthesisRequest("x"), (b"", b"\1\0")),
]


@pytest.mark.parametrize(("combine", "method", "request_", "pieces"), COMBINED)
@pytest.mark.parametrize("code", ["busy", "timeout", "unauthorized", "failed"])
async def test_the_second_does_what_the_first_could_not(
    combine: Any, method: str, request_: Any, pieces: Sequence[Any], code: FailureCode
) -> None:
    empty = pieces[0]
    first, second = Player(empty, code=code, name="first"), Player(*pieces, name="second")
    part = combine(first, second)
    with capture_logs() as logs:
        received = [piece async for piece in getattr(part, method)(request_)]

    assert [piece for piece in received if piece != empty] == list(pieces[1:])
    assert part.name == "first"
    told = [(entry["part"], entry["code"], entry["detail"]) for entry in logs]
    assert told == [("responder", code, "503 overloaded")]


@pytest.mark.parametrize(("combine", "method", "request_", "pieces"), COMBINED)
async def test_nobody_takes_over_in_the_middle(
    combine: Any, method: str, request_: Any, pieces: Sequence[Any]
) -> None:
    second = Player(*pieces)
    part = combine(Player(*pieces, code="failed"), second)
    received: list[Any] = []
    with pytest.raises(PartFailed, match="responder failed"):
        await take(getattr(part, method)(request_), received)

    assert received == list(pieces[1:])
    assert second.asked == 0


@pytest.mark.parametrize(("combine", "method", "request_", "pieces"), COMBINED)
async def test_an_empty_answer_is_an_answer(
    combine: Any, method: str, request_: Any, pieces: Sequence[Any]
) -> None:
    second = Player(*pieces)
    part = combine(Player(pieces[0]), second)

    assert [piece async for piece in getattr(part, method)(request_)] == []
    assert second.asked == 0


async def test_when_both_fail_it_is_the_second_that_is_told() -> None:
    part = FallbackResponder(Player(code="timeout"), Player(code="busy"))

    with pytest.raises(PartFailed, match="responder busy"):
        [piece async for piece in part.respond(asked("Hi"))]


async def test_a_count_of_tokens_is_more_than_nothing() -> None:
    part = FallbackResponder(Player(TokenUsage(1, 0), code="failed"), Player(ReplyDelta("Hi")))

    with pytest.raises(PartFailed):
        [piece async for piece in part.respond(asked("Hi"))]


@pytest.mark.parametrize("combine", [FallbackTranscriber, FallbackSynthesizer])
async def test_one_that_cannot_start_does_not_keep_the_other_from_it(combine: Any) -> None:
    first, second = Player(), Player()
    part = combine(first, second)
    first.broken = True
    with capture_logs() as logs:
        await part.prepare()
    assert [entry["reason"] for entry in logs] == ["OSError"]

    second.broken = True
    with pytest.raises(OSError, match="no such model"):
        await part.prepare()

    await part.aclose()
    assert first.closed
    assert second.closed


async def test_a_provider_that_is_down_is_replaced_by_one_that_is_not() -> None:
    async with elevenlabs_synthesizer() as usual, openai_synthesizer() as other:
        part = FallbackSynthesizer(usual.part, other.part)
        usual.far_end.faults.extend([Fault(status=503), Fault(drop=True)])
        speech = [pcm async for pcm in part.synthesize(usual.known[0].request)]

    assert other.known[0].answered(speech)
    assert len(joined(speech)) % 2 == 0
    assert (len(usual.far_end.headers), len(other.far_end.headers)) == (2, 1)


@pytest.mark.parametrize(("combine", "method", "request_", "pieces"), COMBINED)
async def test_who_asks_is_told_who_does_the_work(
    combine: Any, method: str, request_: Any, pieces: Sequence[Any]
) -> None:
    told: list[str] = []
    asked = replace(request_, taken_over=told.append)
    first, second = Player(*pieces, name="first"), Player(*pieces, name="second")
    assert [piece async for piece in getattr(combine(first, second), method)(asked)]
    assert told == []

    failing = Player(code="busy", name="failing")
    assert [piece async for piece in getattr(combine(failing, second), method)(asked)]
    assert told == ["second"]
    assert asked == request_, "it changes nothing of what is asked"
