"""The cascade engine: a Realtime server within the process, built from four parts.

`CascadeEngine` opens sessions. Each is a `CascadeConnection`: a queue in, a queue out, one timer,
and the work of the parts around a session's machine (`machine`), which decides everything.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

import msgspec
import structlog

from relay.engines.cascade.effects import (
    CancelWork,
    Close,
    Effect,
    Emit,
    StartWork,
    WorkRequest,
    random_ids,
    unix,
)
from relay.engines.cascade.machine import Machine, Opening
from relay.engines.cascade.outputs import Pace
from relay.engines.cascade.part_usage import PartModels, ServedBy
from relay.interfaces import Connection, EngineCapabilities, EngineRequest, Frame, Receiver
from relay.parts.interfaces import (
    PartFailed,
    PartKind,
    Parts,
    ReplyRequest,
    Resource,
    Responder,
    SynthesisRequest,
    TranscriptionRequest,
)
from relay.parts.measuring import Outcome, PartObserver, measured
from relay.realtime.endings import AT_CAPACITY, OUT_OF_MEMORY, Ending, SessionRefused
from relay.tasks import Tasks, where

MAX_SESSIONS = 1000
"""Sessions of one engine that may be open at once."""

HIGH_BYTES = 1 << 20
"""Bytes of events waiting for the receiver above which nothing more is produced."""

MAX_INBOX_BYTES = 32 << 20
"""Bytes of client events waiting meanwhile; a sender that minds `writable` never gets there."""

MAX_EVENTS_A_TURN = 64
"""Client events carried out before the event loop gets to do something else."""

MAX_BYTES_A_TURN = 128 << 10
"""Bytes of client events carried out likewise, about two seconds of audio; one always is."""

log = structlog.get_logger(__name__)


class CascadeEngine:
    """A `relay.interfaces.Engine` made of `Parts`, which it owns, prepares and closes."""

    def __init__(
        self, parts: Parts, pace: Pace | None = None, observer: PartObserver | None = None
    ) -> None:
        self.name = parts.name
        self.capabilities = EngineCapabilities(
            bool(parts.billed), billed_models=tuple(sorted(parts.billed))
        )
        self.parts = parts
        self._pace = pace or Pace()
        self._observer = observer or Unobserved()
        self._tasks = Tasks(_log_fault)
        self._connections: set[CascadeConnection] = set()

    @property
    def languages(self) -> Sequence[str]:
        """Return the codes of the languages that it understands, () where it knows many."""
        return self.parts.transcriber.languages

    @property
    def responder(self) -> str:
        """Return the name of what answers."""
        return self.parts.make_responder().name

    def prepare(self) -> None:
        """Start and warm up the parts in the background, so that the first turn need not wait."""
        for resource in self.parts.everything:
            self._tasks.run(_prepare(resource), "cascade prepare")

    async def open(self, request: EngineRequest) -> Connection:
        """Return the connection of a new session; raises `SessionRefused` at capacity."""
        return self.connect(self.machine(self.opening(request.model)))

    def opening(self, model: str) -> Opening:
        """Return the inputs of a session that asks for this model."""
        parts = self.parts
        return Opening(
            model,
            unix(),
            self._pace,
            servers=parts.servers,
            instructions=parts.instructions,
            models=PartModels(
                parts.transcriber.name,
                parts.make_responder().name,
                parts.synthesizer.name,
                parts.billed,
            ),
        )

    def machine(self, opening: Opening) -> Machine:
        """Return the machine of a new session, with its own speech detector."""
        return Machine(opening, self.parts.make_speech_detector(), random_ids(unix))

    def connect(self, machine: "SessionMachine") -> Connection:
        """Return the connection of a session with this machine; raises `SessionRefused`."""
        if len(self._connections) >= MAX_SESSIONS:
            raise SessionRefused(AT_CAPACITY)
        worker = PartsWorker(self.parts, self.parts.make_responder(), self._observer)
        connection = CascadeConnection(machine, worker, self._tasks)
        connection.on_closed = self._connections.discard
        self._connections.add(connection)
        return connection

    async def aclose(self) -> None:
        """Close the sessions, stop the work that they have begun, and close the parts."""
        for connection in list(self._connections):
            connection.close(1001, "Going away")
        await self._tasks.aclose()
        await self.parts.aclose()


class SessionMachine(Protocol):
    """A `machine.Machine`, or one whose events are altered (the simulator's faults).

    Every method returns its effects in order; nothing is called after a `Close`.
    """

    def begin(self, now: float) -> Sequence[Effect]:
        """Open the session."""

    def receive(self, frame: Frame, now: float) -> Sequence[Effect]:
        """Carry out one client event."""

    def progress(self, work: int, piece: Any, now: float) -> Sequence[Effect]:
        """Take a piece of the result of some work."""

    def finish(self, work: int, failure: PartFailed | None, now: float) -> Sequence[Effect]:
        """Take the end of some work, None where it succeeded."""

    def tick(self, now: float) -> Sequence[Effect]:
        """Do what has come due."""

    def deadline(self, now: float) -> float:
        """Return when `tick` wants to be called next."""


class CascadeConnection:
    """A `relay.interfaces.Connection` to a session within the process.

    Nothing is pushed from within `send`: events leave at the loop's next turn. While the receiver
    is paused, or there is none yet, at most `HIGH_BYTES` and one step's events wait for it.
    """

    def __init__(self, machine: SessionMachine, worker: "PartsWorker", engine_tasks: Tasks) -> None:
        self._machine = machine
        self._worker = worker
        self._engine_tasks = engine_tasks
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._paused = False
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._writable = True
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._work: dict[int, asyncio.Task[None]] = {}
        self._ending: tuple[int, str] | None = None
        self._ending_reported = False
        self.fault: Ending | None = None
        self.on_closed: Callable[[CascadeConnection], None] = lambda _: None
        self._perform(machine.begin(self._loop.time()))

    def attach(self, receiver: Receiver) -> None:
        """Push everything to this receiver from now on."""
        self._receiver = receiver
        self._schedule_turn()

    def send(self, frame: Frame) -> None:
        """Take one client event."""
        if self._ending is not None:
            return
        self._inbox.append(bytes(frame))
        self._inbox_bytes += len(frame)
        if self._inbox_bytes > MAX_INBOX_BYTES:
            self.fault = OUT_OF_MEMORY
            self.close(1013, "Too much waiting")
        self._schedule_turn()

    def pause(self) -> None:
        """Stop pushing events."""
        self._paused = True

    def resume(self) -> None:
        """Push events again."""
        self._paused = False
        self._schedule_turn()

    def ping(self) -> int:
        """Return 0: a connection within the process is alive."""
        return 0

    def close(self, code: int, reason: str) -> None:
        """End the session; the receiver is told at the loop's next turn."""
        if self._ending is None:
            self._outbox.clear()
            self._outbox_bytes = 0
            self._paused = False
            self._end(code, reason)

    def _schedule_turn(self) -> None:
        if self._turn is None and not self._ending_reported:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        try:
            self._push()
            self._receive()
        finally:
            if (self._outbox and self._can_push) or (self._inbox and not self._outbox_full):
                self._schedule_turn()
            self._set_timer()

    @property
    def _can_push(self) -> bool:
        return self._receiver is not None and not self._paused

    @property
    def _outbox_full(self) -> bool:
        return self._outbox_bytes >= HIGH_BYTES

    def _push(self) -> None:
        """Push waiting events to the receiver, which may pause or replace itself meanwhile."""
        while self._receiver is not None and self._outbox and self._can_push:
            frame = self._outbox.popleft()
            self._outbox_bytes -= len(frame)
            self._receiver.frame(frame)
        if self._ending is None or self._ending_reported:
            return
        if self._receiver is not None and self._can_push:
            self._ending_reported = True
            self._receiver.closed(*self._ending)

    def _receive(self) -> None:
        """Carry out waiting client events, and tell the receiver when the inbox fills or drains."""
        taken = 0
        for _ in range(MAX_EVENTS_A_TURN):
            if not self._inbox or self._outbox_full or self._ending is not None:
                break
            if taken >= MAX_BYTES_A_TURN:
                break
            frame = self._inbox.popleft()
            taken += len(frame)
            self._inbox_bytes -= len(frame)
            self._perform(self._machine.receive(frame, self._loop.time()))
        writable = self._inbox_bytes < HIGH_BYTES
        if self._receiver is not None and self._ending is None and writable != self._writable:
            self._writable = writable
            self._receiver.writable(writable)

    def _set_timer(self) -> None:
        stopped = self._ending is not None or self._outbox_full
        due = math.inf if stopped else self._machine.deadline(self._loop.time())
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick) if due < math.inf else None
        self._due = due

    def _tick(self) -> None:
        self._timer = None
        self._due = math.inf
        self._perform(self._machine.tick(self._loop.time()))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Emit(event):
                    frame = msgspec.json.encode(event)
                    self._outbox.append(frame)
                    self._outbox_bytes += len(frame)
                case StartWork():
                    self._start(effect)
                case CancelWork(number):
                    if (task := self._work.get(number)) is not None:
                        task.cancel()
                case Close(code, reason):
                    self._end(code, reason)
        if self._outbox:
            self._schedule_turn()
        self._set_timer()

    def _start(self, effect: StartWork) -> None:
        kind = type(effect.request).__name__
        task = self._engine_tasks.start(self._run(effect), f"cascade {kind}")
        self._work[effect.id] = task
        task.add_done_callback(lambda _: self._work.pop(effect.id, None))

    async def _run(self, effect: StartWork) -> None:
        """Have a part do its work, and hand the machine what comes of it.

        A fault of the machine ends its session: what it would do next is not known.
        """
        failure: PartFailed | None = None
        try:
            async with aclosing(self._worker.run(effect.request)) as pieces:
                async for piece in pieces:
                    if self._ending is not None:
                        return
                    now = self._loop.time()
                    self._perform(self._machine.progress(effect.id, piece, now))
        except PartFailed as failed:
            failure = failed
            log.warning("part failed", part=failed.part, code=failed.code, detail=failed.detail)
        except Exception:  # the machine's own fault: the tasks' owner logs it
            self.close(1011, "Internal server error")
            raise
        if self._ending is None:
            self._perform(self._machine.finish(effect.id, failure, self._loop.time()))

    def _end(self, code: int, reason: str) -> None:
        self._ending = (code, reason)
        self.on_closed(self)
        self._inbox.clear()
        self._inbox_bytes = 0
        for task in list(self._work.values()):
            task.cancel()
        self._set_timer()
        self._schedule_turn()


class PartsWorker:
    """Has the parts of one session do their work."""

    def __init__(self, parts: Parts, responder: Responder, observer: PartObserver) -> None:
        self.parts = parts
        self._responder = responder
        self._observer = observer

    async def run(self, request: WorkRequest) -> AsyncGenerator[Any, None]:
        """Yield the pieces of a result; raises `PartFailed`, whatever the part raised.

        `ServedBy` comes before what another model than the part's own has made.
        """
        part, model = self._part(request)
        others: list[str] = []
        begun = self._begin(replace(request, taken_over=others.append))
        try:
            async with aclosing(measured(begun, part, model, self._observer)) as pieces:
                async for piece in pieces:
                    while others:
                        yield ServedBy(others.pop())
                    yield piece
        except PartFailed:
            raise
        except Exception as error:  # a part raises what its library does
            raise PartFailed(part, "failed", where(error)) from error

    def _part(self, request: WorkRequest) -> tuple[PartKind, str]:
        match request:
            case TranscriptionRequest():
                return "transcriber", self.parts.transcriber.name
            case ReplyRequest():
                return "responder", self._responder.name
            case SynthesisRequest():
                return "synthesizer", self.parts.synthesizer.name

    def _begin(self, request: WorkRequest) -> AsyncIterator[Any]:
        match request:
            case TranscriptionRequest():
                return self.parts.transcriber.transcribe(request)
            case ReplyRequest():
                return self._responder.respond(request)
            case SynthesisRequest():
                return self.parts.synthesizer.synthesize(request)


class Unobserved:
    """A `PartObserver` that notes nothing."""

    def part_started(self, part: PartKind) -> None:
        """Do nothing."""

    def part_answered(self, part: PartKind, model: str, seconds: float) -> None:
        """Do nothing."""

    def part_ended(self, part: PartKind, model: str, seconds: float, outcome: Outcome) -> None:
        """Do nothing."""


async def _prepare(resource: Resource) -> None:
    """Warm up one part; what fails here fails again, and is told, when it is asked to work."""
    try:
        await resource.prepare()
    except PartFailed as failed:
        log.warning("part not ready", part=failed.part, code=failed.code, detail=failed.detail)


def _log_fault(name: str, fault: BaseException) -> None:
    log.error("cascade task failed", task=name, error=type(fault).__name__)
