"""Connects coaches to a live session: they listen, one may speak and is transcribed."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

import structlog

from relay.interfaces import Engine, EngineRequest, Frame, StreamRefusal
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.effects import Effect, TranscribeCoachAudio
from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.events import PCM, Event, audio_bytes, decoded_audio_length
from relay.session.coach_transcriber import CoachTranscriber
from relay.session.links import SessionCallbacks
from relay.session.output import AudioMonitor
from relay.tasks import Tasks

MAX_STREAMS: Final = 8
"""Coaches who may listen to one session at once."""
GRACE_SECONDS: Final = 5.0
"""Seconds a coach who has the floor may be disconnected before the model gets it back."""
LAST_SECONDS: Final = 2.0
"""Seconds a session that ends waits for the transcript of a coach's last turn."""
RETIRE_SECONDS: Final = 10.0
"""Seconds a transcriber may take to finish once the last coach has left."""
REPLACED: Final = Ending("replaced", 4009, "Replaced")
"""The same coach opened another stream."""

LEARNER: Final = b"\x00"
"""First byte of a frame of the learner's audio."""
MODEL: Final = b"\x01"
"""First byte of a frame of the model's audio. 2 is reserved."""
LEAD_SECONDS: Final = 0.2
"""Seconds the model's audio is sent ahead of playback; it arrives several times faster."""
BYTES_PER_SECOND: Final = 48_000
LEARNER_BYTES: Final = 5 * BYTES_PER_SECOND  # queued for a slow coach; the oldest is dropped
MODEL_BYTES: Final = 120 * BYTES_PER_SECOND  # an answer of two minutes that arrived at once
MAX_BYTES_PER_SECOND: Final = 2 * BYTES_PER_SECOND
"""Bytes of a coach's audio that are taken continuously."""
MAX_BURST_BYTES: Final = 20 * BYTES_PER_SECOND
"""Bytes that are taken at once, for a page that sends what it recorded."""

log = structlog.get_logger(__name__)


class CoachBridge:
    """Connects coaches to one session and is its `AudioMonitor`.

    It costs nothing until the first stream is opened.

    `monitor` puts an `AudioMonitor` into both directions of the session, or takes it out;
    `execute` carries out a coach's command. `request` names the session to the engine that
    transcribes.
    """

    def __init__(
        self,
        session: SessionCallbacks,
        engine: Engine,
        request: EngineRequest,
        monitor: Callable[[AudioMonitor | None], None],
        execute: Callable[[Command], Outcome],
    ) -> None:
        self._session = session
        self._core = session.core
        self._engine = engine
        self._request = request
        self._monitor = monitor
        self._execute = execute
        self._streams: dict[str, CoachStream] = {}
        self._transcriber: CoachTranscriber | None = None
        self._grace_timers: dict[str, asyncio.TimerHandle] = {}
        self._is_over = False
        self._tasks = Tasks(_report)

    def open(self, coach: str) -> "CoachStream | StreamRefusal":
        """A stream for this coach; an earlier one of theirs is closed."""
        if self._is_over:
            return "over"
        if self._core.reported.heard != PCM:
            return "format"
        if coach not in self._streams and len(self._streams) >= MAX_STREAMS:
            return "busy"
        said, closed = partial(self._said, coach), partial(self._closed, coach)
        replaced = self._streams.get(coach)
        stream = self._streams[coach] = CoachStream(self._session.clock, said, closed)
        if coach in self._grace_timers:
            self._grace_timers.pop(coach).cancel()
        if replaced is not None:
            replaced.close(REPLACED)
        elif len(self._streams) == 1:
            self._monitor(self)
            self._perform(self._core.commands.set_listening(True))
        return stream

    def transcribe(self, effect: TranscribeCoachAudio) -> None:
        """Have a piece of a coach's turn transcribed; opens the transcriber for the first one."""
        if self._transcriber is None:
            transcription = self._core.setup.transcription
            self._transcriber = CoachTranscriber(transcription, self._transcribed, self._billed)
            self._transcriber.open(self._engine, self._request)
        self._transcriber.take_audio(effect.turn, effect.pcm)

    async def aclose(self, ending: Ending) -> None:
        """The session has ended: close the streams, and wait for the last transcript."""
        self._is_over = True
        for stream in list(self._streams.values()):
            stream.close(Ending(ending.name, 1000, ending.name))
        for timer in self._grace_timers.values():
            timer.cancel()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._tasks.done()
        except TimeoutError:
            log.warning("no transcript of the coach's last turn")
        finally:
            await self._tasks.aclose()

    def learner(self, frame: Frame) -> None:
        """The learner speaks."""
        if self._core.reported.spoken == PCM and (pcm := audio_bytes(frame)):
            for stream in self._streams.values():
                stream.learner(pcm)

    def model(self, frame: Frame) -> None:
        """The model speaks."""
        reported = self._core.reported
        item_id = decoded_audio_length(frame)[0] if reported.own_formats else ""
        if reported.format_of(item_id) == PCM and (pcm := audio_bytes(frame)):
            for stream in self._streams.values():
                stream.model(pcm)

    def flush(self) -> None:
        """The learner does not hear the rest."""
        for stream in self._streams.values():
            stream.flush()

    def _said(self, coach: str, pcm: bytes) -> None:
        self._perform(self._core.coach_audio(coach, pcm, self._session.clock()))

    def _closed(self, coach: str, stream: "CoachStream") -> None:
        """A stream was closed: a coach who has the floor may come back within the grace period."""
        if self._streams.get(coach) is not stream:
            return
        del self._streams[coach]
        speaks = self._core.control.speaker == coach
        if speaks and not self._is_over:
            loop = asyncio.get_running_loop()
            self._grace_timers[coach] = loop.call_later(GRACE_SECONDS, self._release, coach)
        if not self._streams:
            self._last_closed()

    def _last_closed(self) -> None:
        """No coach listens any more."""
        self._monitor(None)
        if not self._is_over:
            self._perform(self._core.commands.set_listening(False))
        self._perform(self._core.coach_speech.stop(self._session.clock()))
        if self._transcriber is not None:
            self._tasks.run(_retire(self._transcriber), "coach_transcriber.retire")
            self._transcriber = None

    def _release(self, coach: str) -> None:
        self._grace_timers.pop(coach, None)
        if coach not in self._streams:
            self._execute(Command("release", coach))

    def _transcribed(self, turn: int, text: str | None) -> None:
        self._perform(self._core.coach_speech.transcribed(turn, text, self._session.clock()))

    def _billed(self, event: Event) -> None:
        self._perform(self._core.observe_usage(event, self._session.clock()))

    def _perform(self, effects: list[Effect]) -> None:
        if effects:
            self._session.perform(effects)
        self._session.rearm()


class CoachStream:
    """A `CoachAudioStream`. `said` takes the coach's audio, `closed` is called once."""

    def __init__(
        self,
        clock: Callable[[], float],
        said: Callable[[bytes], None],
        closed: Callable[["CoachStream"], None],
    ) -> None:
        self._clock = clock
        self._said = said
        self._closed = closed
        self._buffer = MonitorBuffer()
        self._woken = asyncio.Event()
        self._room, self._fed_at = float(MAX_BURST_BYTES), clock()
        self.ending: Ending | None = None

    def take_audio(self, pcm: bytes) -> None:
        """Take the coach's audio; what arrives much faster than it is spoken is dropped."""
        now = self._clock()
        more = (now - self._fed_at) * MAX_BYTES_PER_SECOND
        self._room, self._fed_at = min(MAX_BURST_BYTES, self._room + more), now
        if self.ending is None and len(pcm) <= self._room:
            self._room -= len(pcm)
            self._said(pcm)

    async def next(self) -> bytes | None:
        """The next frame for the coach, None when the stream was closed."""
        while self.ending is None:
            now = self._clock()
            frame = self._buffer.take(now)
            if frame is not None:
                return frame
            self._woken.clear()
            wait = self._buffer.next() - now
            try:
                async with asyncio.timeout(None if wait == inf else max(wait, 0.001)):
                    await self._woken.wait()
            except TimeoutError:
                continue
        return None

    def learner(self, pcm: bytes) -> None:
        """The learner said this."""
        self._buffer.learner(pcm)
        self._woken.set()

    def model(self, pcm: bytes) -> None:
        """The model said this."""
        self._buffer.model(pcm)
        self._woken.set()

    def flush(self) -> None:
        """The learner does not hear the rest."""
        self._buffer.flush()

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """Close the stream; the first ending wins."""
        if self.ending is None:
            self.ending = ending
            self._woken.set()
            self._closed(self)


class MonitorBuffer:
    """What one coach is to hear: the learner at once, the model as fast as it is played.

    Times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._learner = _AudioQueue(LEARNER_BYTES)
        self._model = _AudioQueue(MODEL_BYTES)
        self._heard_until = 0.0

    def learner(self, pcm: bytes) -> None:
        """The learner said this."""
        self._learner.put(pcm)

    def model(self, pcm: bytes) -> None:
        """The model said this; it may be played later."""
        self._model.put(pcm)

    def flush(self) -> None:
        """The learner's player was flushed: drop what waits of the model's audio."""
        self._model.clear()
        self._heard_until = 0.0

    def take(self, now: float) -> bytes | None:
        """The next frame for the coach, None when nothing may be sent yet."""
        if self._learner:
            return LEARNER + self._learner.take()
        if now < self.next():
            return None
        pcm = self._model.take()
        self._heard_until = max(self._heard_until, now) + len(pcm) / BYTES_PER_SECOND
        return MODEL + pcm

    def next(self) -> float:
        """When something may be sent; infinity when nothing waits."""
        if self._learner:
            return 0.0
        return self._heard_until - LEAD_SECONDS if self._model else inf


class _AudioQueue:
    """Pieces of audio, together at most `limit` bytes; the oldest are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._pieces: deque[bytes] = deque()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, pcm: bytes) -> None:
        self._pieces.append(pcm)
        self._bytes += len(pcm)
        while self._bytes > self._limit and len(self._pieces) > 1:
            self.take()

    def take(self) -> bytes:
        pcm = self._pieces.popleft()
        self._bytes -= len(pcm)
        return pcm

    def clear(self) -> None:
        self._pieces.clear()
        self._bytes = 0


async def _retire(transcriber: CoachTranscriber) -> None:
    """Let it finish its last transcript, then close it."""
    try:
        await transcriber.settle(RETIRE_SECONDS)
    finally:
        await transcriber.aclose()


def _report(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, error=type(error).__name__)
