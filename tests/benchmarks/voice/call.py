"""One person in a call with a voice agent: speaks recordings in real time and times the answers.

Also runs in the peers' own environments, so that all are driven and timed by the same code.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.voice.sound import Playback

FRAME: Final = 0.02
"""Seconds of audio that the microphone sends at once."""
QUIET: Final = 1.5
"""Seconds without anything to play after which an answer counts as over."""
PATIENCE: Final = 25.0
"""Seconds after the last voiced sample that an answer may take to begin."""
LONGEST_ANSWER: Final = 60.0
_POLL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Saying:
    """A recording to speak: its words, its files of PCM16 by rate, and where its voice ends (s)."""

    name: str
    text: str
    files: dict[str, str]
    voice_end: float
    finished: bool

    def pcm(self, rate: int) -> bytes:
        """The audio at this rate."""
        return Path(self.files[str(rate)]).read_bytes()


@dataclass(frozen=True, slots=True)
class Plan:
    """What an agent is to use and to be asked, alike for all. `whisper` and `piper` are paths."""

    base_url: str
    model: str
    whisper: str
    piper: str
    instructions: str
    silence_ms: int
    warm: Saying
    sayings: tuple[Saying, ...]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> "Plan":
        fields = json.loads(path.read_text())
        fields["warm"] = Saying(**fields["warm"])
        fields["sayings"] = tuple(Saying(**one) for one in fields["sayings"])
        return cls(**fields)


@dataclass(slots=True)
class Turn:
    """What came of one recording.

    `ended` is when its last voiced sample was spoken, by the machine's monotonic clock; `seconds`
    are counted from there: `stopped` (the agent noticed the end), `transcribed`, `audio` (the first
    arrived), `sound` (the first audible sample was played). `early`: the agent, or its last answer,
    was still to be heard before the end.
    """

    name: str
    said: str
    finished: bool
    ended: float
    seconds: dict[str, float] = field(default_factory=dict)
    heard: str = ""
    answer: str = ""
    early: bool = False
    errors: list[str] = field(default_factory=list)


class Call:
    """The microphone and the loudspeaker of one person, and the stop watch.

    The agent's side takes `frames()` and calls `played`, `mark`, `transcribed` and `answered`.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._silence = bytes(int(rate * FRAME) * 2)
        self._waiting = b""
        self._frame = 0
        self._began = clock()
        self._playback = Playback()
        self._turn = Turn("", "", finished=True, ended=0.0)

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield 20 ms after 20 ms, each when its last sample was spoken, with silence between."""
        self._began, self._frame = self._clock(), 0
        while True:
            due = self._began + (self._frame + 1) * FRAME
            await asyncio.sleep(max(0.0, due - self._clock()))
            self._frame += 1
            size = len(self._silence)
            frame, self._waiting = self._waiting[:size], self._waiting[size:]
            yield frame + self._silence[len(frame) :]

    def played(self, pcm: bytes, rate: int) -> float:
        """Take a piece of the answer; return the seconds until it will have been played."""
        now = self._clock()
        if now < self._turn.ended:
            self._turn.early = True
            return len(pcm) / 2 / rate
        self._note("audio", now)
        self._playback.play(pcm, rate, now)
        return self._playback.ends_at - now

    async def play_out(self, pcm: bytes, rate: int) -> None:
        """Take a piece of the answer; return when it begins to play, as a sound card makes wait."""
        left = self.played(pcm, rate)
        await asyncio.sleep(max(0.0, left - len(pcm) / 2 / rate))

    def stopped(self) -> None:
        """The agent has dropped what was not played."""
        self._playback.stop(self._clock())

    def mark(self, name: str) -> None:
        """Note when something happened first in this turn, or again after the person went on."""
        self._note(name, self._clock())

    def transcribed(self, text: str) -> None:
        """Take what the agent understood, or a further part of it."""
        self.mark("transcribed")
        self._turn.heard = f"{self._turn.heard} {text}".strip()

    def answered(self, text: str) -> None:
        """Take a piece of the answer's text."""
        self._turn.answer += text

    def failed(self, error: str) -> None:
        self._turn.errors.append(error)

    async def say(self, saying: Saying) -> Turn:
        """Speak a recording; return when its answer has been played, or none came in time."""
        pcm = saying.pcm(self.rate)
        starts = self._began + self._frame * FRAME
        self._playback = Playback()
        self._turn = turn = Turn(
            saying.name, saying.text, saying.finished, starts + saying.voice_end
        )
        self._waiting = pcm
        while not self._is_over():
            await asyncio.sleep(_POLL)
        if self._playback.first_sound is not None:
            turn.seconds["sound"] = round(self._playback.first_sound - turn.ended, 4)
        return turn

    async def talk(self, sayings: Sequence[Saying]) -> list[Turn]:
        """Speak one recording after the other, each when the answer to the last is over."""
        return [await self.say(saying) for saying in sayings]

    def _is_over(self) -> bool:
        now, turn, playback = self._clock(), self._turn, self._playback
        if playback.first_sound is None:
            return now > turn.ended + PATIENCE
        over = now > playback.ends_at + QUIET and now > turn.ended + QUIET
        return over or now > turn.ended + LONGEST_ANSWER

    def _note(self, name: str, now: float) -> None:
        since = now - self._turn.ended
        if self._turn.seconds.get(name, -1.0) < 0:
            self._turn.seconds[name] = round(since, 4)
