"""The coaches on a session's line: they listen, one may speak, and an ear writes that down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from relay.feed.voice import REPLACED, NoLine
from relay.interfaces import Call, Engine, Frame
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.effects import Action, Dictate, Sound
from relay.realtime.endings import Ending
from relay.realtime.events import PCM, Event, sound_in
from relay.session.ear import Ear
from relay.session.line import Line
from relay.session.outlet import Outlet
from relay.session.sides import Shell
from relay.session.taps import Tap
from relay.tasks import Tasks

GRACE_SECONDS: Final = 5.0
"""How long a coach who has the word may be off the line before it goes back to the model."""
LAST_SECONDS: Final = 2.0
"""How long a session that ends waits for what a coach said last."""
SLOW_SECONDS: Final = 10.0
"""The same, when the last coach hangs up."""
MOST_LINES: Final = 8
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wires:
    """What a booth moves in its session.

    `call` names the session to the engine, `listen` puts a tap in, and takes it out; `outlet` is
    the way down past every tap and mute.
    """

    engine: Engine
    call: Call
    outlet: Outlet
    listen: Callable[[Tap | None], None]
    obey: Callable[[Command], Outcome]


class Booth:
    """Costs nothing until the first line is opened. It is the `Tap` of its session."""

    def __init__(self, shell: Shell, wires: Wires) -> None:
        self._shell = shell
        self._wires = wires
        self._lines: dict[str, Line] = {}
        self._ear: Ear | None = None
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._is_over = False
        self._tasks = Tasks(_report)

    def open(self, coach: str) -> Line | NoLine:
        """A line for this coach; an earlier one of theirs is closed."""
        if self._is_over:
            return "over"
        if self._shell.conversation.formats.heard != PCM:
            return "format"
        if coach not in self._lines and len(self._lines) >= MOST_LINES:
            return "busy"
        said, left = partial(self._said, coach), partial(self._left, coach)
        before, line = self._lines.get(coach), Line(self._shell.clock, said, left)
        self._lines[coach] = line
        if coach in self._graces:
            self._graces.pop(coach).cancel()
        if before is not None:
            before.close(REPLACED)
        elif len(self._lines) == 1:
            self._wires.listen(self)
            self._act(self._shell.conversation.coaching.listens(True))
        return line

    def act(self, action: Sound | Dictate) -> None:
        """Carry out what the rules want done with a coach's voice."""
        if isinstance(action, Sound):
            now = self._shell.clock()
            self._wires.outlet.sound(action.frame, action.item_id, action.ms, now)
            return
        if self._ear is None:
            transcription = self._shell.conversation.setup.transcription
            self._ear = Ear(transcription, self._heard, self._billed)
            self._ear.open(self._wires.engine, self._wires.call)
        self._ear.hear(action.turn, action.pcm)

    async def aclose(self, ending: Ending) -> None:
        """The session has ended: nobody listens any more, and what was said last is waited for."""
        self._is_over = True
        for line in list(self._lines.values()):
            line.close(Ending(ending.name, 1000, ending.name))
        for grace in self._graces.values():
            grace.cancel()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._tasks.done()
        except TimeoutError:
            log.warning("a coach's last words did not come")
        finally:
            await self._tasks.aclose()

    def learner(self, frame: Frame) -> None:
        """The learner speaks."""
        if self._shell.conversation.formats.spoken == PCM and (pcm := sound_in(frame)):
            for line in self._lines.values():
                line.learner(pcm)

    def model(self, frame: Frame) -> None:
        """The model speaks."""
        if self._shell.conversation.formats.heard == PCM and (pcm := sound_in(frame)):
            for line in self._lines.values():
                line.model(pcm)

    def flush(self) -> None:
        """The learner does not hear the rest."""
        for line in self._lines.values():
            line.flush()

    def _said(self, coach: str, pcm: bytes) -> None:
        self._act(self._shell.conversation.coach_says(coach, pcm, self._shell.clock()))

    def _left(self, coach: str, line: Line) -> None:
        """A line was closed: a coach who has the word may come back, but not for ever."""
        if self._lines.get(coach) is not line:
            return
        del self._lines[coach]
        speaks = self._shell.conversation.control.speaker == coach
        if speaks and not self._is_over:
            loop = asyncio.get_running_loop()
            self._graces[coach] = loop.call_later(GRACE_SECONDS, self._release, coach)
        if not self._lines:
            self._wires.listen(None)
            if not self._is_over:
                self._act(self._shell.conversation.coaching.listens(False))
            self._act(self._shell.conversation.voice.stop(self._shell.clock()))
            if self._ear is not None:
                self._tasks.run(_retired(self._ear), "ear.retire")
                self._ear = None

    def _release(self, coach: str) -> None:
        self._graces.pop(coach, None)
        if coach not in self._lines:
            self._wires.obey(Command("release", coach))

    def _heard(self, turn: int, text: str | None) -> None:
        now = self._shell.clock()
        self._act(self._shell.conversation.voice.words(turn, text, now))

    def _billed(self, event: Event) -> None:
        self._act(self._shell.conversation.metered(event, self._shell.clock()))

    def _act(self, actions: list[Action]) -> None:
        if actions:
            self._shell.act(actions)
        self._shell.rearm()


async def _retired(ear: Ear) -> None:
    """Let it write down what was said, then let it go."""
    try:
        await ear.settle(SLOW_SECONDS)
    finally:
        await ear.aclose()


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)
