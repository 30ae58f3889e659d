"""A call by turns through a whole relay, and what its door is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from relay.agents.agent import AgentDefaults
from relay.calls.door import CallDoor, CallSetup
from relay.calls.turns import Answer, TurnClient
from relay.interfaces import ConnectRequest
from relay.realtime.endings import Ending
from relay.realtime.grant import Caller
from tests.scenarios.stage import Stage

LASTING = 4_000_000_000.0


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard = ""
        self.text = ""
        self.audio = b""
        self.answers: list[Answer] = []
        self.pauses: list[bool] = []
        self.flushes = 0
        self.endings: list[Ending] = []

    def heard_text(self, delta: str) -> None:
        self.heard += delta

    def answer_text(self, response_id: str, delta: str) -> None:
        self.text += delta

    def answer_audio(self, response_id: str, pcm: bytes) -> None:
        self.audio += pcm

    def answer_done(self, answer: Answer) -> None:
        self.answers.append(answer)

    def paused(self, is_paused: bool) -> None:
        self.pauses.append(is_paused)

    def flushed(self) -> None:
        self.flushes += 1

    def ended(self, ending: Ending) -> None:
        self.endings.append(ending)


@asynccontextmanager
async def calling(
    here: Stage, told: Told | None = None, sub: str = "ada", **setup: Any
) -> AsyncIterator[TurnClient]:
    """A call of this user at a door by turns."""
    door = CallDoor(
        "turns",
        Caller(sub, "learner", LASTING),
        CallSetup(**setup),
        AgentDefaults("default", "gpt-realtime"),
        {"model": "whisper-1"},
    )
    listener = told or Told()
    client = await TurnClient.open(here.app.server.accept, ConnectRequest("/turns"), door, listener)
    try:
        yield client
    finally:
        await client.close()
