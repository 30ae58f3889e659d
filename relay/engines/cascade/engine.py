"""The offline voice as an engine: whoever opens it gets a peer that listens and speaks."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Protocol

import msgspec
import structlog

from relay.engines.cascade.effects import Close, Effect, Emit, Speak, Transcribe, at_random, unix
from relay.engines.cascade.machine import Machine, Opening
from relay.engines.cascade.outputs import Pace
from relay.interfaces import Connection, EngineRequest, Frame, Receiver
from relay.parts.interfaces import Parts
from relay.realtime.endings import AT_CAPACITY, SessionRefused
from relay.tasks import Tasks

# ---- The offline voice as one end of a session: its rules, their timer, and the work of its parts.

HIGH_BYTES = 1 << 20
"""Bytes of events waiting for the receiver above which nothing more is produced."""

MAX_INBOX_BYTES = 32 << 20
"""Bytes of client events waiting meanwhile; a sender that minds `writable` never gets there."""

MAX_EVENTS_A_TURN = 64
"""Client events carried out before the loop gets to do something else."""

log = structlog.get_logger(__name__)


class MachineFactory(Protocol):
    """What a session does, pure: a `machine.Machine`, or one whose events are altered.

    Every method returns what to do next; nothing is asked of it after a `Close`.
    """

    def begin(self, now: float) -> Sequence[Effect]:
        """Open the session."""

    def receive(self, frame: Frame, now: float) -> Sequence[Effect]:
        """Carry out one client event."""

    def transcribed(self, item_id: str, text: str | None, now: float) -> Sequence[Effect]:
        """Take what was understood of an item, None when that failed."""

    def spoken(
        self, response_id: str, output: int, pcm: bytes | None, now: float
    ) -> Sequence[Effect]:
        """Take the sound of one output of an answer, None when that failed."""

    def tick(self, now: float) -> Sequence[Effect]:
        """Do what has come due."""

    def deadline(self, now: float) -> float:
        """Return when `tick` wants to be called next."""


class CascadeConnection:
    """A `relay.interfaces.Peer` that answers from within the process.

    Nothing is pushed from within `send`: events leave by the loop's next turn. While the receiver
    is paused, or there is none yet, at most `HIGH_BYTES` and one step's events wait for it.
    """

    def __init__(self, machine: MachineFactory, parts: Parts, tasks: Tasks) -> None:
        self._machine = machine
        self._parts = parts
        self._all_tasks = tasks
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: tuple[int, str] | None = None
        self._told = False
        self.on_closed: Callable[[CascadeConnection], None] = lambda _: None
        self._perform(machine.begin(self._loop.time()))

    def attach(self, receiver: Receiver) -> None:
        """Push everything to this receiver from now on."""
        self._receiver = receiver
        self._soon()

    def send(self, frame: Frame) -> None:
        """Take one client event."""
        if self._ending is not None:
            return
        self._inbox.append(bytes(frame))
        self._inbox_bytes += len(frame)
        if self._inbox_bytes > MAX_INBOX_BYTES:
            self.close(1013, "Too much waiting")
        self._soon()

    def pause(self) -> None:
        """Stop pushing events."""
        self._paused = True

    def resume(self) -> None:
        """Push events again."""
        self._paused = False
        self._soon()

    def ping(self) -> int:
        """Return 0: what lives in the process is alive."""
        return 0

    def close(self, code: int, reason: str) -> None:
        """End the session; the receiver hears of it in the loop's next turn."""
        if self._ending is None:
            self._outbox.clear()
            self._outbox_bytes = 0
            self._paused = False
            self._end(code, reason)

    def _soon(self) -> None:
        if self._turn is None and not self._told:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        try:
            self._push()
            self._work_off()
        finally:
            if (self._outbox and self._pushes) or (self._inbox and not self._crowded):
                self._soon()
            self._set_timer()

    @property
    def _pushes(self) -> bool:
        return self._receiver is not None and not self._paused

    @property
    def _crowded(self) -> bool:
        return self._outbox_bytes >= HIGH_BYTES

    def _push(self) -> None:
        while self._receiver is not None and self._outbox and self._pushes:
            frame = self._outbox.popleft()
            self._outbox_bytes -= len(frame)
            self._receiver.frame(frame)
        if self._receiver is not None and self._ending and self._pushes and not self._told:
            self._told = True
            self._receiver.closed(*self._ending)

    def _work_off(self) -> None:
        for _ in range(MAX_EVENTS_A_TURN):
            if not self._inbox or self._crowded or self._ending is not None:
                break
            frame = self._inbox.popleft()
            self._inbox_bytes -= len(frame)
            self._perform(self._machine.receive(frame, self._loop.time()))
        writable = self._inbox_bytes < HIGH_BYTES
        if self._receiver is not None and self._ending is None and writable != self._writable:
            self._writable = writable
            self._receiver.writable(writable)

    def _set_timer(self) -> None:
        asleep = self._ending is not None or self._crowded
        due = math.inf if asleep else self._machine.deadline(self._loop.time())
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
                case Transcribe():
                    self._start(self._transcribe(effect), "transcribe")
                case Speak():
                    self._start(self._speak(effect), "speak")
                case Close(code, reason):
                    self._end(code, reason)
        if self._outbox:
            self._soon()
        self._set_timer()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._all_tasks.start(work, f"{self._parts.name} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _transcribe(self, effect: Transcribe) -> None:
        text: str | None = None
        try:
            text = await self._parts.recogniser.transcribe(effect.pcm)
        except Exception as error:  # noqa: BLE001 - a part's fault fails one turn, not the session
            log.warning("the recogniser failed", error=type(error).__name__)
        if self._ending is None:
            self._perform(self._machine.transcribed(effect.item_id, text, self._loop.time()))

    async def _speak(self, effect: Speak) -> None:
        pcm: bytes | None = None
        try:
            pcm = await self._parts.mouth.speak(effect.text, effect.voice)
        except Exception as error:  # noqa: BLE001 - a part's fault fails one turn, not the session
            log.warning("the mouth failed", error=type(error).__name__)
        if self._ending is None:
            now = self._loop.time()
            self._perform(self._machine.spoken(effect.response_id, effect.output, pcm, now))

    def _end(self, code: int, reason: str) -> None:
        self._ending = (code, reason)
        self.on_closed(self)
        self._inbox.clear()
        self._inbox_bytes = 0
        for task in self._tasks:
            task.cancel()
        self._set_timer()
        self._soon()


MAX_SESSIONS = 1000
"""Sessions of one engine that may be open at once."""


class CascadeEngine:
    """A `relay.interfaces.Engine` made of `Parts`; it owns them and lets go of them."""

    def __init__(self, parts: Parts, pace: Pace | None = None) -> None:
        self.name = parts.name
        self._parts = parts
        self._pace = pace or Pace()
        self._tasks = Tasks(_fault)
        self._peers: set[CascadeConnection] = set()

    async def open(self, call: EngineRequest) -> Connection:
        """Return a new session's peer; raises `SessionRefused` when there are too many."""
        return self.host(self.rules(self.opening(call.model)))

    def opening(self, model: str) -> Opening:
        """Return how a session that asks for this model begins."""
        return Opening(model, unix(), self._pace, servers=self._parts.servers)

    def rules(self, opening: Opening) -> Machine:
        """Return a session's rules, with an ear and a brain of its own."""
        parts = self._parts
        return Machine(opening, parts.make_ear(), parts.make_brain(), at_random(unix))

    def host(self, rules: MachineFactory) -> Connection:
        """Return the peer of a session with these rules; raises `SessionRefused`."""
        if len(self._peers) >= MAX_SESSIONS:
            raise SessionRefused(AT_CAPACITY)
        peer = CascadeConnection(rules, self._parts, self._tasks)
        peer.on_closed = self._peers.discard
        self._peers.add(peer)
        return peer

    async def aclose(self) -> None:
        """Close the open peers, wait for the work that they had begun, and let go of the parts."""
        for peer in list(self._peers):
            peer.close(1001, "Going away")
        await self._tasks.aclose()
        await self._parts.recogniser.aclose()
        await self._parts.mouth.aclose()


def _fault(name: str, fault: BaseException) -> None:
    log.error("a task of the offline voice failed", task=name, error=type(fault).__name__)
