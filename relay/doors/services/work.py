"""What one call has the parts do: hear, answer with the agent's tools, speak; timed and metered."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from relay.doors.services.models import ToolUsage
from relay.parts.interfaces import (
    SAMPLE_RATE,
    CallOutput,
    FunctionCall,
    FunctionTool,
    MadeCall,
    PartFailed,
    PartKind,
    Parts,
    Reply,
    ReplyDelta,
    ReplyEnding,
    ReplyPiece,
    ReplyRequest,
    Responder,
    SpokenMessage,
    SynthesisRequest,
    TokenUsage,
    TranscriptionRequest,
    as_json,
)
from relay.parts.measuring import PartObserver, measured
from relay.parts.simple import LoudnessDetector
from relay.realtime.effects import ToolCall
from relay.realtime.grant import Grant

MAX_ROUNDS: Final = 4
"""Times that the model may call tools for one answer; then it has to answer without."""
MAX_CALLS: Final = 16
"""Tools called for one answer."""
MAX_SPEECH_BYTES: Final = 10 * 60 * SAMPLE_RATE * 2
"""Of one text that is spoken: ten minutes."""
MAX_WAIT: Final = 30.0
"""Predicted seconds of waiting for a part above which a call is refused: nobody hears silence."""
_CHARACTERS_PER_TOKEN: Final = 4
_PIECE_BYTES: Final = SAMPLE_RATE * 2

RunTool = Callable[[ToolCall], Awaitable[str]]
"""Runs one call of a server-side tool and returns its output, also of a failure."""
Used = dict[str, Any]
"""What a model used, as `relay.realtime.billing.usage.of_parts` reads it."""


@dataclass(slots=True)
class PartWork:
    """The parts at work for one call, and what that took.

    `seconds` are those of each part, `used` what each model used, `model` who answered.
    """

    parts: Parts
    grant: Grant
    run_tool: RunTool | None
    observer: PartObserver
    seconds: dict[PartKind, float] = field(default_factory=dict)
    used: list[Used] = field(default_factory=list)
    tools: list[ToolUsage] = field(default_factory=list)
    model: str = ""

    async def hear(self, pcm: bytes, language: str | None = None) -> str:
        """Return what was said, "" for silence, which no transcriber is asked about."""
        if not await asyncio.to_thread(_has_sound, pcm):
            return ""
        part = self.parts.transcriber
        models = [part.name]
        request = TranscriptionRequest(pcm, language, max_wait=MAX_WAIT, taken_over=models.append)
        with self._timed("transcriber"):
            heard = measured(part.transcribe(request), "transcriber", part.name, self.observer)
            async with aclosing(heard) as pieces:
                words = "".join([piece async for piece in pieces])
        self.used.append({"model": models[-1], "seconds": len(pcm) / 2 / SAMPLE_RATE})
        return words.strip()

    async def reply(self, request: ReplyRequest) -> str:
        """Return the answer to what the request ends with."""
        return "".join([piece async for piece in self.answer(request)]).strip()

    async def answer(self, request: ReplyRequest) -> AsyncGenerator[str]:
        """Yield the answer as it is written; the model may call the agent's tools before."""
        asked = replace(request, tools=self._offered(), max_wait=MAX_WAIT)
        responder, text, sent = self.parts.make_responder(), "", 0
        for left in range(MAX_ROUNDS, -1, -1):
            asked = asked if left else replace(asked, tool_choice="none")
            calls: list[FunctionCall] = []
            async with aclosing(self._round(responder, asked, calls)) as pieces:
                async for piece in pieces:
                    text += piece
                    within = first_words(text, request.max_tokens)
                    if len(within) > sent:
                        yield within[sent:]
                    sent = len(within)
            if not calls or not left:
                return
            asked = replace(asked, history=(*asked.history, *(await self._call(calls))))

    def _offered(self) -> tuple[FunctionTool, ...]:
        tools = self.grant.server_tools if self.run_tool else ()
        return tuple(FunctionTool(tool.name, tool.description, tool.parameters) for tool in tools)

    async def _round(
        self, responder: Responder, request: ReplyRequest, calls: list[FunctionCall]
    ) -> AsyncGenerator[str]:
        """Yield the text of one answer of the model's, and note its calls and usage."""
        models, counted, received = [responder.name], TokenUsage(0, 0), 0
        request = replace(request, taken_over=models.append)
        answer = measured(responder.respond(request), "responder", responder.name, self.observer)
        try:
            with self._timed("responder"):
                async with aclosing(_flat(answer)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, FunctionCall):
                            calls.append(piece)
                        elif isinstance(piece, TokenUsage):
                            counted += piece
                        else:
                            received += len(piece)
                            yield piece
        finally:
            self.model = models[-1]
            if not counted.input and received:
                counted = _estimated(request, received)
            tokens = {"input_tokens": counted.input, "output_tokens": counted.output}
            self.used.append({"model": models[-1], **tokens, "cached_tokens": counted.cached})

    async def _call(self, calls: list[FunctionCall]) -> list[MadeCall | CallOutput]:
        """Run what the model called, one after another, and return calls and outputs."""
        told: list[MadeCall | CallOutput] = []
        run, known = self.run_tool, self.grant.server_tool_names
        for number, call in enumerate(calls, len(self.tools)):
            made = MadeCall(f"call_{number}", call.name, as_json(call.arguments))
            output, success = _NO_TOOL, False
            if run is not None and call.name in known and number < MAX_CALLS:
                output = await run(ToolCall(made.call_id, made.call_id, call.name, made.arguments))
                success = not output.startswith(_FAILED)
            self.tools.append(ToolUsage(name=call.name, success=success, result=output))
            told += [made, CallOutput(made.call_id, output)]
        return told

    async def speak(self, text: str, voice: str, speed: float) -> bytes:
        """Return a text as speech: PCM16, 24 kHz."""
        part, speech = self.parts.synthesizer, bytearray()
        models = [part.name]
        request = SynthesisRequest(text, voice, speed, max_wait=MAX_WAIT, taken_over=models.append)
        with self._timed("synthesizer"):
            spoken = measured(part.synthesize(request), "synthesizer", part.name, self.observer)
            async with aclosing(spoken) as pieces:
                async for pcm in pieces:
                    speech += pcm
                    if len(speech) >= MAX_SPEECH_BYTES:
                        break
        seconds = len(speech) / 2 / SAMPLE_RATE
        self.used.append({"model": models[-1], "characters": len(text), "seconds": seconds})
        return bytes(speech)

    @contextmanager
    def _timed(self, part: PartKind) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began


_FAILED: Final = '{"error":'
_NO_TOOL: Final = '{"error":{"code":"not_there","message":"There is no such tool."}}'


async def _flat(
    answer: AsyncGenerator[ReplyPiece],
) -> AsyncGenerator[str | FunctionCall | TokenUsage]:
    """Yield texts, calls and usage, those of a whole `Reply` too; raises what it failed with."""
    async with aclosing(answer):
        async for piece in answer:
            match piece:
                case ReplyEnding("failed") | Reply(ending=ReplyEnding("failed")):
                    raise PartFailed("responder", "failed", "answer failed")
                case Reply(outputs):
                    parts: Sequence[object] = outputs
                case _:
                    parts = (piece,)
            for part in parts:
                if isinstance(part, ReplyDelta | SpokenMessage):
                    yield part.text
                elif isinstance(part, FunctionCall | TokenUsage):
                    yield part


def _estimated(request: ReplyRequest, received: int) -> TokenUsage:
    """Return what an answer of so many characters used, where nobody counted."""
    asked = len(request.instructions) + sum(len(str(entry)) for entry in request.history)
    return TokenUsage(*(-(-size // _CHARACTERS_PER_TOKEN) for size in (asked, received)))


def first_words(text: str, most: int | None) -> str:
    """Return as many words as an answer may have, since a part may not heed its bound.

    A token is a word or less, so a model that does is never cut.
    """
    if most is None or len(text) < most:
        return text
    end = next(itertools.islice(_WORD_ENDS.finditer(text), most - 1, None), None)
    return text[: end.end()] if end else text


_WORD_ENDS: Final = re.compile(r"\S+")


def _has_sound(pcm: bytes) -> bool:
    """Whether any of it is as loud as a voice."""
    detector = LoudnessDetector()
    starts = itertools.count(0, _PIECE_BYTES)
    pieces = (pcm[start : start + _PIECE_BYTES] for start in starts)
    return any(detector.detect(piece) for piece in itertools.takewhile(bool, pieces))
