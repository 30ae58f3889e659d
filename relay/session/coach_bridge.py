"""The coaches on a session's line: they listen, one may speak, and an ear writes that down."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

import structlog

from relay.feed.live_session import REPLACED, NoLine
from relay.interfaces import Engine, EngineRequest, Frame
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.effects import Effect, PlayCoachAudio, TranscribeCoachAudio
from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.events import PCM, Event, audio_bytes
from relay.session.coach_transcriber import CoachTranscriber
from relay.session.links import SessionShell
from relay.session.output import AudioMonitor, ClientOutput
from relay.tasks import Tasks

# ---- What one coach hears of a call: the learner at once, the model as fast as it is heard; pure.

LEARNER: Final = b"\x00"
"""First byte of a frame of the learner's sound."""
MODEL: Final = b"\x01"
"""First byte of a frame of the model's. 2 is kept for later use."""
LEAD_SECONDS: Final = 0.2
"""How far ahead of what is heard the model's sound goes out; it comes several times faster."""
BYTES_PER_SECOND: Final = 48_000
LEARNER_BYTES: Final = 5 * BYTES_PER_SECOND  # what waits for a slow coach; the oldest is dropped
MODEL_BYTES: Final = 120 * BYTES_PER_SECOND  # an answer of two minutes that came at once


class _Queue:
    """Sound that waits, at most so many bytes of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._pieces: deque[bytes] = deque()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, pcm: bytes) -> None:
        self._pieces.append(pcm)
        self._bytes += len(pcm)
        while self._bytes > self._most and len(self._pieces) > 1:
            self.take()

    def take(self) -> bytes:
        pcm = self._pieces.popleft()
        self._bytes -= len(pcm)
        return pcm

    def clear(self) -> None:
        self._pieces.clear()
        self._bytes = 0


class MonitorBuffer:
    """Times are seconds of one clock."""

    def __init__(self) -> None:
        self._learner = _Queue(LEARNER_BYTES)
        self._model = _Queue(MODEL_BYTES)
        self._heard_until = 0.0

    def learner(self, pcm: bytes) -> None:
        """The learner said this."""
        self._learner.put(pcm)

    def model(self, pcm: bytes) -> None:
        """Sound came from the model; it may be heard later."""
        self._model.put(pcm)

    def flush(self) -> None:
        """The learner's player was flushed: what waits of the model is heard by nobody."""
        self._model.clear()
        self._heard_until = 0.0

    def take(self, now: float) -> bytes | None:
        """The next frame for the coach, None when nothing may go out yet."""
        if self._learner:
            return LEARNER + self._learner.take()
        if now < self.next():
            return None
        pcm = self._model.take()
        self._heard_until = max(self._heard_until, now) + len(pcm) / BYTES_PER_SECOND
        return MODEL + pcm

    def next(self) -> float:
        """When something may go out; infinity when nothing waits."""
        if self._learner:
            return 0.0
        return self._heard_until - LEAD_SECONDS if self._model else inf


# ---- One coach's line into a call: what the coach hears, and what of their voice comes in.

MOST_PER_SECOND: Final = 2 * BYTES_PER_SECOND
"""Bytes of a coach's sound that are taken, on and on."""
MOST_AHEAD: Final = 20 * BYTES_PER_SECOND
"""… and at once, for a page that sends what it recorded."""


class CoachStream:
    """A `relay.feed.voice.Line`. `said` takes the coach's sound, `left` is called once."""

    def __init__(
        self,
        clock: Callable[[], float],
        said: Callable[[bytes], None],
        left: Callable[["CoachStream"], None],
    ) -> None:
        self._clock = clock
        self._said = said
        self._left = left
        self._listening = MonitorBuffer()
        self._woken = asyncio.Event()
        self._room, self._fed_at = float(MOST_AHEAD), clock()
        self.ending: Ending | None = None

    def hear(self, pcm: bytes) -> None:
        """Sound of the coach's: PCM16 mono 24 kHz, heard while this coach has the word.

        What comes much faster than it can be heard is dropped.
        """
        now = self._clock()
        more = (now - self._fed_at) * MOST_PER_SECOND
        self._room, self._fed_at = min(MOST_AHEAD, self._room + more), now
        if self.ending is None and len(pcm) <= self._room:
            self._room -= len(pcm)
            self._said(pcm)

    async def next(self) -> bytes | None:
        """The next frame for the coach, None when the line was closed."""
        while self.ending is None:
            now = self._clock()
            frame = self._listening.take(now)
            if frame is not None:
                return frame
            self._woken.clear()
            wait = self._listening.next() - now
            try:
                async with asyncio.timeout(None if wait == inf else max(wait, 0.001)):
                    await self._woken.wait()
            except TimeoutError:
                continue
        return None

    def learner(self, pcm: bytes) -> None:
        """The learner said this."""
        self._listening.learner(pcm)
        self._woken.set()

    def model(self, pcm: bytes) -> None:
        """The model said this."""
        self._listening.model(pcm)
        self._woken.set()

    def flush(self) -> None:
        """The learner does not hear the rest."""
        self._listening.flush()

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """The coach leaves, or has to; the first ending counts."""
        if self.ending is None:
            self.ending = ending
            self._woken.set()
            self._left(self)


GRACE_SECONDS: Final = 5.0
"""How long a coach who has the word may be off the line before it goes back to the model."""
LAST_SECONDS: Final = 2.0
"""How long a session that ends waits for what a coach said last."""
SLOW_SECONDS: Final = 10.0
"""The same, when the last coach hangs up."""
MOST_LINES: Final = 8
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeDeps:
    """What a booth moves in its session.

    `call` names the session to the engine, `listen` puts a tap in, and takes it out; `outlet` is
    the way down past every tap and mute.
    """

    engine: Engine
    call: EngineRequest
    outlet: ClientOutput
    listen: Callable[[AudioMonitor | None], None]
    obey: Callable[[Command], Outcome]


class CoachBridge:
    """Costs nothing until the first line is opened. It is the `AudioMonitor` of its session."""

    def __init__(self, shell: SessionShell, wires: BridgeDeps) -> None:
        self._shell = shell
        self._wires = wires
        self._lines: dict[str, CoachStream] = {}
        self._ear: CoachTranscriber | None = None
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._is_over = False
        self._tasks = Tasks(_report)

    def open(self, coach: str) -> CoachStream | NoLine:
        """A line for this coach; an earlier one of theirs is closed."""
        if self._is_over:
            return "over"
        if self._shell.conversation.formats.heard != PCM:
            return "format"
        if coach not in self._lines and len(self._lines) >= MOST_LINES:
            return "busy"
        said, left = partial(self._said, coach), partial(self._left, coach)
        before, line = self._lines.get(coach), CoachStream(self._shell.clock, said, left)
        self._lines[coach] = line
        if coach in self._graces:
            self._graces.pop(coach).cancel()
        if before is not None:
            before.close(REPLACED)
        elif len(self._lines) == 1:
            self._wires.listen(self)
            self._act(self._shell.conversation.commands.set_listening(True))
        return line

    def act(self, action: PlayCoachAudio | TranscribeCoachAudio) -> None:
        """Carry out what the rules want done with a coach's voice."""
        if isinstance(action, PlayCoachAudio):
            now = self._shell.clock()
            self._wires.outlet.sound(action.frame, action.item_id, action.ms, now)
            return
        if self._ear is None:
            transcription = self._shell.conversation.setup.transcription
            self._ear = CoachTranscriber(transcription, self._heard, self._billed)
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
        if self._shell.conversation.formats.spoken == PCM and (pcm := audio_bytes(frame)):
            for line in self._lines.values():
                line.learner(pcm)

    def model(self, frame: Frame) -> None:
        """The model speaks."""
        if self._shell.conversation.formats.heard == PCM and (pcm := audio_bytes(frame)):
            for line in self._lines.values():
                line.model(pcm)

    def flush(self) -> None:
        """The learner does not hear the rest."""
        for line in self._lines.values():
            line.flush()

    def _said(self, coach: str, pcm: bytes) -> None:
        self._act(self._shell.conversation.coach_audio(coach, pcm, self._shell.clock()))

    def _left(self, coach: str, line: CoachStream) -> None:
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
                self._act(self._shell.conversation.commands.set_listening(False))
            self._act(self._shell.conversation.coach_speech.stop(self._shell.clock()))
            if self._ear is not None:
                self._tasks.run(_retired(self._ear), "ear.retire")
                self._ear = None

    def _release(self, coach: str) -> None:
        self._graces.pop(coach, None)
        if coach not in self._lines:
            self._wires.obey(Command("release", coach))

    def _heard(self, turn: int, text: str | None) -> None:
        now = self._shell.clock()
        self._act(self._shell.conversation.coach_speech.transcribed(turn, text, now))

    def _billed(self, event: Event) -> None:
        self._act(self._shell.conversation.observe_usage(event, self._shell.clock()))

    def _act(self, actions: list[Effect]) -> None:
        if actions:
            self._shell.act(actions)
        self._shell.rearm()


async def _retired(ear: CoachTranscriber) -> None:
    """Let it write down what was said, then let it go."""
    try:
        await ear.settle(SLOW_SECONDS)
    finally:
        await ear.aclose()


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)
