"""A second part takes over an answer that broke off: nothing of the first one is ever told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from relay.engines.cascade.engine import CascadeEngine
from relay.engines.cascade.outputs import Pace
from relay.interfaces import EngineRequest
from relay.parts.fallback import FallbackResponder
from relay.parts.interfaces import (
    Message,
    PartFailed,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    SynthesisRequest,
    TokenUsage,
)
from relay.parts.simple import ToneSynthesizer, scripted_parts
from tests.engines.cascade.driving import TEXT, Talk
from tests.engines.cascade.listening import Listener

FIRST, SECOND = "first-model", "second-model"


class Breaking:
    """A responder that writes, and fails once it `may_fail`."""

    name = FIRST

    def __init__(self, *pieces: ReplyPiece) -> None:
        self.pieces = pieces
        self.may_fail = asyncio.Event()
        self.may_fail.set()

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        for piece in self.pieces:
            yield piece
        await self.may_fail.wait()
        raise PartFailed("responder", "failed", "cut")


class Steady:
    """A responder that answers, counts its tokens, and notes what it was asked."""

    name = SECOND

    def __init__(self) -> None:
        self.asked: list[ReplyRequest] = []

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        self.asked.append(request)
        yield ReplyDelta("Here I am. ")
        yield ReplyDelta("What is it?")
        yield TokenUsage(50, 7)


class SlowVoice(ToneSynthesizer):
    """A voice that says nothing until it `may_speak`, and notes what it was asked to say."""

    def __init__(self) -> None:
        self.may_speak = asyncio.Event()
        self.texts: list[str] = []

    async def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        self.texts.append(request.text)
        await self.may_speak.wait()
        async for pcm in super().synthesize(request):
            yield pcm


def talk_with(*pieces: ReplyPiece) -> tuple[Talk, Steady]:
    """A session whose first responder breaks off after these pieces, and the second one."""
    second = Steady()
    both = FallbackResponder(Breaking(*pieces), second)
    parts = replace(
        scripted_parts(), make_responder=lambda: both, billed=frozenset({FIRST, SECOND})
    )
    return Talk(parts), second


def tokens(talk: Talk) -> dict[str, int]:
    """The tokens that the last answer tells, by model."""
    used = talk.last("response.done")["response"]["usage"]["parts"]
    return {one["model"]: one["output_tokens"] for one in used if "output_tokens" in one}


@pytest.mark.parametrize("session", [{"type": "realtime"}, TEXT], ids=["spoken", "text"])
def test_of_an_answer_that_broke_off_in_its_first_sentence_nothing_is_left(session: Any):
    talk, second = talk_with(ReplyDelta("Zebras run over"), ReplyDelta(" the"))
    talk.say("session.update", session=session)
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()
    talk.type("And then?")
    talk.say("response.create")
    talk.finish()

    for done in talk.of("response.done"):
        (item,) = done["response"]["output"]
        (content,) = item["content"]
        assert done["response"]["status"] == "completed"
        assert content.get("transcript", content.get("text")) == "Here I am. What is it?"
    assert b"ebra" not in msgspec.json.encode(talk.events)
    told = [entry.text for entry in second.asked[1].history if isinstance(entry, Message)]
    assert told == ["Hello", "Here I am. What is it?", "And then?"]
    assert talk.of("error") == []


def test_what_both_used_is_counted():
    talk, _ = talk_with(ReplyDelta("Zebras run over the"))
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert tokens(talk) == {FIRST: 5, SECOND: 7}, "of 19 characters that nobody counted, and 7"
    usage = talk.last("response.done")["response"]["usage"]
    assert usage["output_token_details"]["text_tokens"] == 5 + 7
    assert usage["input_tokens"] > 50


def test_what_the_first_had_counted_counts():
    talk, _ = talk_with(ReplyDelta("Zebras"), TokenUsage(30, 3))
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()

    assert tokens(talk) == {FIRST: 3, SECOND: 7}
    assert talk.last("response.done")["response"]["usage"]["input_tokens"] == 30 + 50


def test_a_first_that_failed_at_once_used_nothing():
    talk, _ = talk_with()
    talk.type("Hello")
    talk.say("response.create")
    talk.finish()
    assert tokens(talk) == {SECOND: 7}


async def test_one_that_breaks_off_while_its_first_sentence_is_made_is_taken_over_too():
    first, second, voice = Breaking(ReplyDelta("Zebras run. They also")), Steady(), SlowVoice()
    first.may_fail.clear()
    async with listening(first, second, voice) as listener:
        await reached(lambda: voice.texts == ["Zebras run."])
        first.may_fail.set()
        await reached(lambda: "Here I am." in voice.texts)
        voice.may_speak.set()
        done = await listener.hears("response.done")

    (item,) = done["response"]["output"]
    assert item["content"][0]["transcript"] == "Here I am. What is it?"
    assert b"ebra" not in msgspec.json.encode(listener.events)


async def test_what_was_heard_is_not_taken_back():
    first, second, voice = Breaking(ReplyDelta("Zebras run. They also")), Steady(), SlowVoice()
    first.may_fail.clear()
    voice.may_speak.set()
    async with listening(first, second, voice) as listener:
        await listener.hears("response.output_audio.delta")
        first.may_fail.set()
        done = await listener.hears("response.done")

    assert done["response"]["status"] == "failed"
    assert second.asked == []


@asynccontextmanager
async def listening(first: Breaking, second: Steady, voice: SlowVoice) -> AsyncIterator[Listener]:
    """A session that asks for an answer, over a connection of the engine."""
    both = FallbackResponder(first, second)
    parts = replace(scripted_parts(), make_responder=lambda: both, synthesizer=voice)
    engine = CascadeEngine(parts, Pace(burst=1000))
    listener = Listener(await engine.open(EngineRequest("s", "gpt-realtime", "u")))
    listener.connection.attach(listener)
    listener.say("response.create", response={"input": []})
    yield listener
    await engine.aclose()


async def reached(there: Callable[[], bool]) -> None:
    """Let the loop go round until something is true."""
    async with asyncio.timeout(5):
        while not there():
            await asyncio.sleep(0)
