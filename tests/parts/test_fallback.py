"""A second part does what a first one failed at, and only that."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay.parts.fallback import FallbackResponder, FallbackSynthesizer, FallbackTranscriber
from relay.parts.interfaces import (
    FailureCode,
    FunctionCall,
    PartFailed,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    StartOver,
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


async def test_nobody_takes_over_a_voice_in_the_middle() -> None:
    second = Player(b"\2\0")
    part = FallbackSynthesizer(Player(b"", b"\1\0", code="failed"), second)
    received: list[bytes] = []
    with pytest.raises(PartFailed, match="responder failed"):
        await take(part.synthesize(SynthesisRequest("x")), received)

    assert received == [b"\1\0"]
    assert second.asked == 0


async def test_half_a_transcript_is_nobody_s() -> None:
    part = FallbackTranscriber(Player("I would ", "like", code="failed"), Player("All of it."))
    pieces = [piece async for piece in part.transcribe(TranscriptionRequest(b""))]
    assert pieces == ["All of it."]


async def answer_of(
    *pieces: ReplyPiece, code: FailureCode | None = "failed", is_unsent: bool | None = None
) -> list[ReplyPiece]:
    """What comes of an answer that breaks off after these pieces; another one is "Hi."."""
    told = None if is_unsent is None else (lambda: is_unsent)
    part = FallbackResponder(Player(*pieces, code=code), Player(ReplyDelta("Hi."), name="second"))
    return [piece async for piece in part.respond(replace(asked("Hello"), is_unsent=told))]


async def test_an_answer_that_breaks_off_in_its_first_sentence_begins_anew() -> None:
    pieces = await answer_of(ReplyDelta("Good mor"), ReplyDelta("ning"))
    assert pieces == [StartOver("second", len("Good morning")), ReplyDelta("Hi.")]


async def test_one_that_breaks_off_later_does_so_while_nothing_of_it_was_sent() -> None:
    begun = (ReplyDelta("Good morning. "), ReplyDelta("How are"))
    assert await answer_of(*begun, is_unsent=True) == [
        *begun, StartOver("second"), ReplyDelta("Hi.")
    ]  # fmt: skip
    for is_unsent in (False, None):
        with pytest.raises(PartFailed, match="responder failed"):
            await answer_of(*begun, is_unsent=is_unsent)


async def test_a_call_of_a_function_is_more_than_a_beginning() -> None:
    call = FunctionCall("weather")
    with pytest.raises(PartFailed):
        await answer_of(ReplyDelta("Let me"), call)
    assert await answer_of(ReplyDelta("Let me"), call, code=None) == [ReplyDelta("Let me"), call]


async def test_what_is_held_back_is_no_more_than_a_voice_waits_for() -> None:
    written = ["Good", " morning", ".", " How", " are", " you", "?"]
    given = await answer_of(*map(ReplyDelta, written), code=None)
    assert given == [ReplyDelta("Good morning. How"), *map(ReplyDelta, (" are", " you", "?"))]
    assert await answer_of(ReplyDelta("Good"), ReplyDelta(""), code=None) == [ReplyDelta("Good")]


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


async def test_a_count_of_tokens_is_told_before_another_begins() -> None:
    counted = TokenUsage(1, 0)
    assert await answer_of(counted) == [counted, StartOver("second"), ReplyDelta("Hi.")]


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
