"""One live call: a client's seat and an engine's, both directions, and the one teardown."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Protocol

import structlog

from relay.interfaces import Connection, Engine, EngineRequest
from relay.metrics import Metrics
from relay.realtime import endings
from relay.realtime.billing.budget import BudgetHold, Charge
from relay.realtime.billing.pricing import Prices
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import UNANSWERED_PINGS
from relay.realtime.dialects.client import ClientDialect
from relay.realtime.effects import (
    CallTool,
    ChargeBudget,
    ControlEffect,
    Effect,
    End,
    EngineRefused,
    Flush,
    Ping,
    PlayCoachAudio,
    RecordUsage,
    RecordUtterance,
    ToClient,
    ToEngine,
    ToolCall,
    TranscribeCoachAudio,
    VerifyToken,
)
from relay.realtime.endings import Ending, SessionRefused
from relay.realtime.events import encode
from relay.realtime.grant import Caller, Grant
from relay.session.billing import SessionBilling
from relay.session.coach_bridge import BridgeDeps, CoachBridge
from relay.session.handle import CommandHandler, SessionHandle
from relay.session.links import ClientLink, CloseObserver, EngineLink, OutputSwitch
from relay.session.output import client_output
from relay.session.recorder import Recorder
from relay.tasks import Tasks, where

# ---- Who sits in a session, and what every session of a process shares.


class ToolRunner(Protocol):
    """Where one session's server-side tools are carried out."""

    async def run(self, call: ToolCall) -> str:
        """What the model is told, a failure included."""


ToolRunnerFactory = Callable[[Grant, str, str], ToolRunner | None]
"""Given the grant, the session's and the conversation's id; None where the grant has no tools."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every session of one process shares. `clock` gives Unix seconds that never go back.

    `prices` is None for a voice that costs nothing, whatever model it is asked for.
    """

    engine: Engine
    metrics: Metrics
    clock: Callable[[], float]
    verify: Callable[[str], Awaitable[Caller]]
    prices: Prices | None = field(default_factory=Prices)
    tools: ToolRunnerFactory = lambda *_: None


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Who sits in this session and how they are spoken to; `pace_ms` is None for all at once."""

    client: Connection
    view: ClientDialect
    call: EngineRequest
    caller: Caller
    door: str = ""
    pace_ms: int | None = None
    tools: ToolRunner | None = None
    purse: BudgetHold | None = None


# ---- Waits for an engine as long as its session lasts, and no longer.


async def open_engine(
    opening: Coroutine[Any, Any, Connection], ended: asyncio.Future[Any], tasks: Tasks
) -> Connection | None:
    """The engine that was opened, None where the session ended first; raises what `open` does."""
    reaching = tasks.start(opening, "engine.open")
    both: set[asyncio.Future[Any]] = {reaching, ended}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not reaching.done():
        reaching.cancel()
        await asyncio.wait({reaching})
    return None if reaching.cancelled() else reaching.result()


# ---- The one timer of a session, moved rather than made anew.


class DeadlineTimer:
    """Calls `due` when `next()` has come, by `clock`; late wake-ups cost nothing but a look."""

    def __init__(
        self, clock: Callable[[], float], next_at: Callable[[], float], due: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._next_at = next_at
        self._due = due
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self) -> None:
        """Make sure that it wakes up in time for the next deadline."""
        at = self._next_at()
        if at == inf:
            return  # stopped, or nothing is due
        if self._handle is not None:
            if self._at <= at:
                return
            self._handle.cancel()
        self._at = at
        delay = max(0.0, at - self._clock())
        self._handle = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._handle = None
        if self._clock() >= self._next_at():
            self._due()
        else:
            self.arm()

    def stop(self) -> None:
        """No more wake-ups."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._next_at = lambda: inf


CLOSE_SECONDS: Final = 2.0  # peers end by themselves within a second; this only bounds a fault
log = structlog.get_logger(__name__)


class Session:
    """`run` lives as long as the call does. `end` may come from anywhere; the first ending wins."""

    def __init__(
        self, seats: SessionContext, conversation: SessionCore, recorder: Recorder, shared: Services
    ) -> None:
        self.id = seats.call.session_id
        self._seats = seats
        self._client = seats.client
        self._recorder = recorder
        self._shared = shared
        self.conversation = conversation
        self.clock = shared.clock
        self.traffic = shared.metrics.traffic
        self._account = SessionBilling(conversation.spending, seats.purse)
        self._engine: Connection | None = None
        self._opened_at = shared.clock()
        self._up = ClientLink(self, seats.client)
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._sides = 1  # peers that are not closed yet
        outlet = client_output(seats.client, conversation.playout, seats.pace_ms, shared.clock)
        self._spout = OutputSwitch(outlet, self._up)
        self._coached = CommandHandler(self, recorder, self._spout.silence, self._ended)
        wires = BridgeDeps(
            shared.engine, seats.call, outlet, self._spout.listen, self._coached.obey
        )
        self._booth = CoachBridge(self, wires)
        self._timer = DeadlineTimer(shared.clock, self._next, self._due)
        self._tasks = Tasks(self._task_failed)
        self._log = log.bind(session_id=self.id)

    async def run(self) -> Ending:
        """Reach the engine, relay until somebody ends it, close both sides; returns why."""
        self._timer.arm()
        self._client.attach(CloseObserver(self._up, self._side_gone))
        try:
            await self._reach()
            await asyncio.shield(self._ended)
        except SessionRefused as refused:
            self._shared.metrics.engine_refused(refused.ending.name)
            self.end(refused.ending)
        except Exception as error:  # noqa: BLE001 - whatever set-up raised, the client is told 1011
            self.fault(error)
        finally:
            self.end(endings.SERVICE_RESTART)  # only when this task itself was cancelled
            await self._teardown(self._ended.result())
        return self._ended.result()

    def live_call(self) -> SessionHandle:
        """What a feed may ask of this session."""
        door, engine, rules = self._seats.door, self._shared.engine.name, self.conversation
        return SessionHandle(self._recorder.head, door, engine, rules, self._coached, self._booth)

    async def _reach(self) -> None:
        """Open the engine unless the session ends first; its first event comes by `EngineLink`."""
        opening = self._shared.engine.open(self._seats.call)
        self._engine = await open_engine(opening, self._ended, self._tasks)
        if self._engine is None:
            return
        self._sides += 1
        down = EngineLink(self, self._client, self._spout.outlet, self._seats.view)
        self._spout.lead(down)
        self._engine.attach(CloseObserver(down, self._side_gone))

    def end(self, ending: Ending) -> None:
        """End the session; what came first is why it ended."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def fault(self, error: BaseException) -> None:
        """A fault of ours: logged by where it was raised, never with what a frame said."""
        self._log.error("fault", error=type(error).__name__, where=where(error))
        self.end(endings.INTERNAL_ERROR)

    def _task_failed(self, name: str, error: BaseException) -> None:
        if not isinstance(error, SessionRefused):  # a refusal is handled by who waits for the task
            self.fault(error)

    def act(self, actions: list[Effect]) -> None:
        """Carry out what the rules answered, in order."""
        for action in actions:
            if isinstance(action, ToClient):
                self._spout.outlet.other(action.frame)
            elif isinstance(action, ToEngine):
                if self._engine is not None:
                    self._engine.send(action.frame)
            elif isinstance(action, RecordUtterance | RecordUsage):
                self._recorder.take(action)
            elif isinstance(action, PlayCoachAudio | TranscribeCoachAudio):
                self._booth.act(action)
            else:
                self._act_apart(action)
        self._go_on()

    def _go_on(self) -> None:
        if self.conversation.transcript.is_playing:
            self._timer.arm()  # for paced sound too: it waits only for an answer that plays
        if self.conversation.engine_ready and self._up.engine is None and self._engine is not None:
            self._begin(self._engine)

    def _act_apart(self, action: ControlEffect) -> None:
        """The actions that are not frames."""
        match action:
            case Flush():
                self._spout.outlet.flush()
            case ChargeBudget(bill):
                self._settle(bill)
            case EngineRefused(code):
                self._shared.metrics.engine_refused("engine_closed")
                self._log.warning("engine refused", code=code)
            case CallTool(call):
                self._tasks.run(self._call_tool(call), "tool.call")
            case VerifyToken(token):
                self._tasks.run(self._renew(token), "token.renew")
            case Ping():
                self._ping()
            case End(ending):
                self.end(ending)

    def _begin(self, engine: Connection) -> None:
        """The engine greeted and was told what it must know: now the client is let through."""
        seconds, name = self.clock() - self._opened_at, self._shared.engine.name
        self._shared.metrics.engine_connected(seconds)
        self._log.info("session started", engine=name, seconds=round(seconds, 3))
        self._recorder.began(self._seats.door, name)
        self._up.open(engine)

    def _settle(self, bill: Charge) -> None:
        """Pay; what is left says how the session goes on."""
        now = self.clock()
        standing = self._account.settle(bill, now)
        if standing is not None:
            self.act(self.conversation.on_balance(standing, now))
            self._timer.arm()

    async def _call_tool(self, call: ToolCall) -> None:
        if self._seats.tools is not None:
            output = await self._seats.tools.run(call)
            self.act(self.conversation.tool_result(call.call_id, output))

    async def _renew(self, token: str) -> None:
        """A token for the same caller moves the expiry; any other changes nothing."""
        try:
            caller = await self._shared.verify(token)
        except SessionRefused:
            self._log.info("token refused")
            return
        if caller.sub == self._seats.caller.sub:
            self.conversation.renew_token(caller.expires_at)
            self.rearm()

    def rearm(self) -> None:
        """A deadline may have come nearer."""
        self._timer.arm()

    def _next(self) -> float:
        return min(self.conversation.next_deadline(), self._spout.outlet.next())

    def _due(self) -> None:
        self._spout.outlet.due(self.clock())
        self.act(self.conversation.on_deadline(self.clock()))
        if not self._ended.done():
            self._timer.arm()

    def _ping(self) -> None:
        if self._client.ping() >= UNANSWERED_PINGS:
            self.end(endings.CONNECTION_LOST)

    def _side_gone(self) -> None:
        self._sides -= 1
        if not self._sides:
            self._gone.set()

    async def _teardown(self, ending: Ending) -> None:
        """Close both sides once, settle what is open, and wait until both are gone."""
        self._timer.stop()
        farewell = self._seats.view.farewell(ending)
        for event in farewell.events:
            self._client.send(encode(event))
        self._client.close(farewell.code, farewell.reason)
        if self._engine is not None:
            self._engine.close(1000, "Client disconnected")
        try:
            await self._booth.aclose(ending)
        finally:
            self._settle_last(ending)
        await self._tasks.aclose()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self._log.error("a peer did not close", sides=self._sides)

    def _settle_last(self, ending: Ending) -> None:
        """What is still open is written down, and paid for."""
        for utterance in self.conversation.finish(self.clock()):
            self._recorder.record(utterance)
        self._recorder.ended(ending.name, self.clock())
        self._account.close(self.clock())
        self._account.report(self._shared.metrics, self._log)
