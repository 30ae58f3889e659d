"""A simulator with parts whose work a test can see, and the `openai` client before it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from relay.parts.interfaces import (
    PartFailed,
    Parts,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    SynthesisRequest,
    TranscriptionRequest,
)
from relay.parts.simple import LoudnessDetector, tone
from relay.simulator import Simulator, SimulatorOptions, parse, simulate

SOUND = tone(200)


class Part:
    """What all three fakes do: nothing to prepare, and they tell when they were stopped."""

    name = "fake"
    languages = ("en",)

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.requests: list[Any] = []
        self.stopped = asyncio.Event()

    async def prepare(self) -> None:
        """Nothing takes time."""

    async def aclose(self) -> None:
        """Nothing is held."""

    async def work(self, request: Any) -> AsyncIterator[Any]:
        """Yield the pieces; an exception among them is raised, and `...` stands for ever."""
        self.requests.append(request)
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                if piece is ...:
                    await asyncio.Event().wait()
                yield piece
        finally:
            self.stopped.set()


class Hearing(Part):
    def transcribe(self, request: TranscriptionRequest) -> AsyncIterator[str]:
        return self.work(request)


class Thinking(Part):
    def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        return self.work(request)


class Speaking(Part):
    def synthesize(self, request: SynthesisRequest) -> AsyncIterator[bytes]:
        return self.work(request)


class Twin:
    """A running simulator, its parts and a client of it."""

    def __init__(
        self, simulator: Simulator, client: AsyncOpenAI, fakes: tuple[Hearing, Thinking, Speaking]
    ) -> None:
        self.simulator = simulator
        self.client = client
        self.hearing, self.thinking, self.speaking = fakes


@asynccontextmanager
async def a_twin(
    *,
    hears: Sequence[Any] = ("Good", " morning."),
    answers: Sequence[Any] = (ReplyDelta("Good morning"), ReplyDelta(" to you.")),
    speaks: Sequence[Any] = (SOUND, SOUND),
    script: str = "",
    key: str = "sk-good",
    **options: Any,
) -> AsyncIterator[Twin]:
    fakes = Hearing(*hears), Thinking(*answers), Speaking(*speaks)
    hearing, thinking, speaking = fakes
    parts = Parts(LoudnessDetector, hearing, lambda: thinking, speaking, "fakes")
    faults = parse(script).faults
    async with (
        asyncio.timeout(60),
        await simulate(SimulatorOptions(parts, faults=faults, **options)) as simulator,
        AsyncOpenAI(base_url=simulator.base_url, api_key=key, max_retries=0) as client,
    ):
        yield Twin(simulator, client, fakes)


BUSY = PartFailed("transcriber", "busy")
