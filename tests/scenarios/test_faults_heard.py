"""How much of an interrupted answer was heard: 40 players behind one whole relay.

Sockets, relay and provider are real; only the time is the test's, so that a busy machine cannot
put a player and the relay at odds. Network and buffers take the time that chance gives them.
"""

import heapq
import itertools
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.parts.simple import Script
from relay.realtime.records import Utterance
from tests.scenarios.faulty import Bad, Caller, bad_day
from tests.scenarios.stage import SILENCE, SPEECH

CALLS, CUTS = 20, 5
ANSWER = "One tells a long story here, unless somebody interrupts it."
SOUND_MS = len(ANSWER) * 60
REPORT_SECONDS = 0.5
TURN = SPEECH[: 200 * 48] + SILENCE[: 600 * 48]
STARTED = "input_audio_buffer.speech_started"
AT_ONCE = 5000.0
ONE_WAY = 0.03
"""Seconds to the relay or back at most. What a player has said is older by one, and it falls silent
later by another: the relay cannot be nearer to the truth than the round trip."""


@dataclass(slots=True)
class Clock:
    """The relay's time, in Unix seconds, and what is planned in it."""

    now: float = field(default_factory=time.time)
    plan: list[tuple[float, int, Callable[[], Any]]] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def after(self, seconds: float, work: Callable[[], Any]) -> None:
        """Plan it."""
        heapq.heappush(self.plan, (self.now + seconds, next(self.numbers), work))

    async def run(self) -> None:
        """Do what is planned, one after another, each at its time."""
        while self.plan:
            self.now, _, work = heapq.heappop(self.plan)
            await work()


@dataclass(slots=True)
class Listener:
    """A caller whose player begins `delay` seconds late and who interrupts `cuts` times.

    What it says takes `travel` seconds to the relay, and so does the way back.
    """

    caller: Caller
    clock: Clock
    chance: random.Random
    tells: bool
    cuts: int = CUTS
    delay: float = 0.0
    travel: float = 0.0
    item: str = ""
    began: float = 0.0
    got_ms: int = 0
    truth: dict[str, int] = field(default_factory=dict)

    def played(self, at: float) -> int:
        """Milliseconds of the present answer by then."""
        return round(min(max(0.0, at - self.began) * 1000, self.got_ms))

    async def speaks(self) -> None:
        """Say something, over the answer that plays if one does, and hear the answer to it."""
        before = self.caller.counts
        await self.caller.line.speak(TURN)
        await self.caller.hears(lambda: self.caller.counts[STARTED] > before[STARTED])
        if self.item:
            self.truth[self.item] = self.played(self.clock.now + self.travel)
        done = "response.done"
        await self.caller.hears(lambda: self.caller.counts[done] > before[done])
        self._plays()

    def _plays(self) -> None:
        deltas = self.caller.of("response.output_audio.delta")
        self.item = deltas[-1]["item_id"]
        self.got_ms = sum(len(e["delta"]) // 64 for e in deltas if e["item_id"] == self.item)
        self.caller.events.clear()
        self.delay, self.travel = (
            self.chance.uniform(0.02, 0.2),
            self.chance.uniform(0.005, ONE_WAY),
        )
        self.began = self.clock.now + self.delay
        self._plans()

    def _plans(self) -> None:
        self.cuts -= 1
        if self.cuts < 0:
            return
        cut = self.chance.uniform(0.5, SOUND_MS / 1000)
        self.clock.after(cut, self.speaks)
        if self.tells:
            at = self.delay + self.chance.uniform(0, 0.1)
            while at + self.travel < cut:
                played_ms = round(min((at - self.delay) * 1000, self.got_ms))
                self.clock.after(at + self.travel, partial(self.tells_of, self.item, played_ms))
                at += REPORT_SECONDS

    async def tells_of(self, item: str, played_ms: int) -> None:
        """`relay.playback`, and the relay has read it."""
        told = {"type": "relay.playback", "item_id": item, "played_ms": played_ms}
        await self.caller.line.send(told)
        await self.caller.at_rest()


@pytest.mark.slow
async def test_of_200_interruptions_those_told_are_within_60_ms_and_the_estimates_within_300(
    tmp_path: Path,
) -> None:
    clock = Clock()
    day = bad_day(tmp_path, script=Script(replies=(ANSWER,)), burst=AT_ONCE, clock=clock)
    async with day as here, AsyncExitStack() as calls:
        listeners = []
        for number in range(2 * CALLS):
            caller = await calls.enter_async_context(here.call(f"ada{number}"))
            chance = random.Random(number)
            listeners.append(Listener(caller, clock, chance, tells=number < CALLS))
            clock.after(chance.uniform(0, 3), listeners[-1].speaks)
        await clock.run()
    told = [cut for one in listeners[:CALLS] for cut in cuts_of(here, one)]
    guessed = [cut for one in listeners[CALLS:] for cut in cuts_of(here, one)]
    assert len(told) == len(guessed) == 100
    assert max(off(told)) <= 60
    assert sorted(off(guessed))[94] <= 300, "p95"


def cuts_of(here: Bad, listener: Listener) -> list[tuple[Utterance, int]]:
    """What the store has of the answers that were cut, each with how far the player came."""
    said = {u.item_id: u for u in here.utterances(listener.caller)}
    cuts = [(said[item], ms) for item, ms in listener.truth.items()]
    for utterance, _ in cuts:
        assert (utterance.state, utterance.text) == ("interrupted", ANSWER)
        assert utterance.heard_text != ANSWER
        assert ANSWER.startswith(utterance.heard_text)
        assert utterance.heard_estimated is not listener.tells
    return cuts


def off(cuts: list[tuple[Utterance, int]]) -> list[int]:
    """By how many milliseconds the store is wrong."""
    return [abs((utterance.heard_ms or 0) - truth) for utterance, truth in cuts]
