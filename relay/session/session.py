"""Session: one live call between a client and an engine, from its start to its teardown."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Protocol

import structlog

from relay.admission.addresses import AddressLimits
from relay.admission.reconnects import ReconnectLimits
from relay.clock import Clock, MachineClock
from relay.interfaces import (
    CoachAudioStream,
    Connection,
    Engine,
    EngineRequest,
    History,
    Journal,
    SessionDirectory,
    SessionStatus,
    StreamRefusal,
)
from relay.metrics import Metrics
from relay.realtime import endings
from relay.realtime.billing.budget import BudgetHold, Charge
from relay.realtime.billing.pricing import Prices
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.core import SessionCore
from relay.realtime.deadlines import UNANSWERED_PINGS
from relay.realtime.effects import (
    CallTool,
    ChargeBudget,
    ControlEffect,
    CorrectEarlier,
    Effect,
    End,
    EngineEffect,
    EngineRefused,
    EventRepaired,
    Flush,
    ListenForVoice,
    Ping,
    PingEngine,
    PlayCoachAudio,
    RecordUsage,
    RecordUtterance,
    ReportTrouble,
    ToClient,
    ToEngine,
    ToolCall,
    TranscribeCoachAudio,
    VerifyToken,
)
from relay.realtime.endings import Ending, SessionRefused
from relay.realtime.events import BYTES_PER_MS, Event, encode
from relay.realtime.grant import Caller, Grant
from relay.realtime.records import AnyRecord
from relay.realtime.scrubbing import scrub_text
from relay.realtime.transcript import InterimTranscript
from relay.realtime.troubles import close_label
from relay.session.billing import BudgetService, SessionBilling, token_counts
from relay.session.coach_bridge import CoachBridge
from relay.session.last_words import LastWords, LastWordsLimit
from relay.session.links import LOST, ClientLink, EngineLink
from relay.session.output import AudioMonitor, OutputSwitch, plain_output
from relay.session.provider_health import ProviderHealth
from relay.session.recorder import Recorder
from relay.session.renewal import TokenRenewals
from relay.session.troubles import TroubleLog
from relay.session.voice_probe import VoiceProbe
from relay.tasks import Tasks, where

CLOSE_SECONDS: Final = 2.0
"""Connections close by themselves within a second; this bounds a fault."""

_ENGINE_FAILED: Final = frozenset(
    ending.name
    for ending in (endings.ENGINE_CLOSED, endings.ENGINE_TIMED_OUT, endings.NO_PROVIDER_KEY)
)
"""Endings that, before the engine was ready, speak against the provider."""

_AT_ONCE: Final = frozenset(
    ending.name
    for ending in (
        *(endings.ENGINE_CLOSED, endings.ENGINE_TIMED_OUT),
        *(endings.INTERNAL_ERROR, endings.OUT_OF_MEMORY, endings.SERVICE_RESTART),
    )
)
"""Endings that wait for no last words: there is no engine, or the relay itself has to go."""

log = structlog.get_logger(__name__)


class ToolRunner(Protocol):
    """Runs the server-side tools of one session."""

    async def run(self, call: ToolCall) -> str:
        """The output for the model; a failure is described in it, never raised."""


ToolRunnerFactory = Callable[[Grant, str, str], ToolRunner | None]
"""Given the grant, the session's and the conversation's id; None where the grant has no tools."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions of one process share.

    `transcription` is the `audio.input.transcription` of every session. `prices` are for an engine
    that bills its sessions. `show` is given the records of words that are not to be written.
    """

    engine: Engine
    metrics: Metrics
    clock: MachineClock
    verify: Callable[[str], Awaitable[Caller]]
    directory: SessionDirectory
    journal: Journal
    history: History
    budgets: BudgetService
    transcription: dict[str, Any]
    prices: Prices = field(default_factory=Prices)
    tools: ToolRunnerFactory = lambda *_: None
    addresses: AddressLimits = field(default_factory=AddressLimits)
    show: Callable[[Sequence[AnyRecord]], None] = lambda _: None
    health: ProviderHealth = field(default_factory=ProviderHealth)
    reconnects: ReconnectLimits = field(default_factory=ReconnectLimits)
    last_words: LastWordsLimit = field(default_factory=LastWordsLimit)


async def _nothing() -> None:
    """Nothing counts this session."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What one session works with beside its rules; `pace_ms` None sends audio as it comes.

    `clock` is its time in all that it does: Unix seconds when it began, which then pass evenly, so
    that its dates stay in order and its durations true when the machine's clock is set. Events of
    the types `after_playback` are sent when what plays has been heard. `vacate` is called when the
    session goes on without its client, and so counts against no limit. `settled` is called once,
    when everything said in the session was given to the journal. `client_update` counts as the
    client's first event.
    """

    client: Connection
    clock: Clock
    door: str = ""
    pace_ms: int | None = None
    after_playback: Collection[str] = ()
    tools: ToolRunner | None = None
    hold: BudgetHold | None = None
    vacate: Callable[[], Awaitable[None]] = _nothing
    settled: Callable[[], None] = lambda: None
    client_update: Event | None = None


class Session:
    """One live call: a `LiveSession`, and the one owner of its two connections.

    `run` lasts as long as the call. `end` may be called from anywhere; the first ending wins.
    `client_code` is the code with which the client closed, None where it did not end the session.
    """

    def __init__(
        self, context: SessionContext, core: SessionCore, recorder: Recorder, services: Services
    ) -> None:
        self.core = core
        self.head = recorder.head
        self.door = context.door
        self.engine_name = services.engine.name
        self.clock = context.clock
        self.traffic = services.metrics.traffic
        self._context = context
        self._services = services
        self._recorder = recorder
        self._billing = SessionBilling(core.spending, context.hold)
        self._opened_at = context.clock()
        self.client_code: int | None = None
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._output = OutputSwitch(
            plain_output(core.playout, context.pace_ms, context.clock, context.after_playback)
        )
        self._client = ClientLink(self, self._output)
        self._engine = EngineLink(self, self._client, self._output)
        self._request = EngineRequest(self.head.session_id, self.head.model, self.head.user_id)
        self._coach_bridge = CoachBridge(
            self, services.engine, self._request, self._monitor, self.execute
        )
        self._timer = DeadlineTimer(context.clock, self._next_deadline, self._on_deadline)
        self._tasks = Tasks(self._task_failed)
        self._token_ends_at = core.deadlines.expires_at + services.clock.unix() - context.clock()
        self._renewals = TokenRenewals(self._renew_token, self._tasks.run)
        self._engine_ending = endings.ENGINE_CLOSED  # unless it says why it refuses
        self._log = log.bind(session_id=self.head.session_id)
        self._troubles = TroubleLog(services.metrics, self._log)
        self._last_words: LastWords | None = None

    async def run(self) -> Ending:
        """Open the engine, relay until something ends the session, close both sides."""
        self._timer.arm()
        if self._context.client_update is not None:
            self._client.frame(encode(self._context.client_update))
        self._client.attach(self._context.client)
        try:
            await self._open_engine()
            await asyncio.shield(self._ended)
        except SessionRefused as refused:
            self._services.metrics.engine_refused(refused.ending.name)
            self.end(refused.ending)
        except Exception as error:  # noqa: BLE001 - whatever set-up raised, the client is told 1011
            self.fail(error)
        finally:
            self.end(endings.SERVICE_RESTART)  # only when this task itself was cancelled
            await self._teardown(self._ended.result())
        return self._ended.result()

    async def _open_engine(self) -> None:
        """Open the engine unless the session ends first; raises what `Engine.open` does."""
        opening = self._tasks.start(self._services.engine.open(self._request), "engine.open")
        either: set[asyncio.Future[Any]] = {opening, self._ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            await asyncio.wait({opening})
        if not opening.cancelled():
            self._engine.attach(opening.result())

    def end(self, ending: Ending) -> None:
        """End the session; the first ending wins, and a later one may hurry it."""
        if not self._ended.done():
            self._ended.set_result(ending)
        elif self._last_words is not None and ending.name in _AT_ONCE:
            self._last_words.stop()

    def fail(self, error: BaseException) -> None:
        """End the session for a fault of the relay's: logged by its place, never by its text."""
        self._log.error("session failed", error=type(error).__name__, where=where(error))
        self.end(endings.INTERNAL_ERROR)

    def _task_failed(self, name: str, error: BaseException) -> None:
        if not isinstance(error, SessionRefused):  # a refusal is handled by who waits for the task
            self.fail(error)

    # What the rules decide.

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the rules answered, in order."""
        for effect in effects:
            if isinstance(effect, ToClient):
                self._output.other(effect.frame)
            elif isinstance(effect, ToEngine):
                self._engine.send(effect.frame)
            elif isinstance(effect, RecordUtterance | RecordUsage | CorrectEarlier):
                self._recorder.record(effect)
            elif isinstance(effect, PlayCoachAudio):
                self._output.plain.audio(effect.frame, effect.item_id, effect.ms, self.clock())
            elif isinstance(effect, TranscribeCoachAudio):
                self._coach_bridge.transcribe(effect)
            elif isinstance(effect, EngineEffect):
                self._perform_engine(effect)
            else:
                self._perform_control(effect)
        self._after_effects()

    def _after_effects(self) -> None:
        core = self.core
        if core.liveness.has_new_debt:
            core.liveness.start_waiting(self.clock())
            self._timer.arm()
        if core.transcript.is_playing:
            self._timer.arm()  # for paced audio too: it waits only for an answer that plays
        if core.engine_ready and self._client.engine is None and not self._ended.done():
            self._begin()

    def _perform_control(self, effect: ControlEffect) -> None:
        """The effects that carry no frame or record."""
        match effect:
            case Flush():
                self._flush()
            case ChargeBudget(charge):
                self._charge(charge)
            case CallTool(call):
                self._tasks.run(self._call_tool(call), "tool.call")
            case VerifyToken(token):
                self._renewals.offer(token)
            case Ping():
                self._ping()
            case End(ending):
                self.end(ending)

    def _flush(self) -> None:
        withdrawn = self.core.withdrawn()
        if withdrawn is not None:
            self._output.plain.withdraw(withdrawn)
        self._output.current.flush()

    def _perform_engine(self, effect: EngineEffect) -> None:
        """The effects about the engine itself."""
        match effect:
            case EngineRefused(code):
                self._services.metrics.engine_refused("engine_closed")
                self._log.warning("engine refused", code=code)
                self._engine_ending = endings.engine_refused(code)
            case EventRepaired(sender):
                self._services.metrics.event_repaired(sender)
                self._log.warning("event repaired: it had half a surrogate pair", sender=sender)
            case ReportTrouble(trouble):
                self._troubles.report(trouble, self.clock())
            case PingEngine():
                self._ping_engine()
            case ListenForVoice():
                self._listen_for_voice()

    def _begin(self) -> None:
        """The engine is ready and knows its settings: let the client's frames through."""
        seconds, name = self.clock() - self._opened_at, self.engine_name
        self._services.metrics.engine_connected(seconds)
        self._services.health.opened()
        self._log.info("session started", engine=name, seconds=round(seconds, 3))
        self._recorder.began(self.door, name)
        self._client.open(self._engine)

    def _charge(self, charge: Charge) -> None:
        """Charge the budgets; what is left decides how the session goes on."""
        now = self.clock()
        balance = self._billing.charge(charge, self._services.clock.unix())
        if balance is not None:
            self.perform(self.core.on_balance(balance, now))
            self._timer.arm()

    async def _call_tool(self, call: ToolCall) -> None:
        if self._context.tools is not None:
            output = await self._context.tools.run(call)
            self.perform(self.core.tool_result(call.call_id, output))

    async def _renew_token(self, token: str) -> bool:
        """A token of the same caller moves the expiry; any other changes nothing.

        False where it could not be checked now.
        """
        try:
            caller = await self._services.verify(token)
        except SessionRefused as refused:
            cause = str(refused.__cause__ or refused.ending.name)
            self._services.metrics.caller_refused(cause)
            self._log.info("token renewal refused", cause=cause)
            return refused.ending is not endings.AUTH_UNAVAILABLE
        if caller.sub == self.core.setup.grant.caller.sub:
            self._token_ends_at = caller.expires_at
            self._follow_clock()
            self.rearm()
        return True

    def _follow_clock(self) -> None:
        """Have the token end when the machine's clock says so, which may have been set.

        Looked at with each ping, and before a session ends for its token.
        """
        set_by = self._services.clock.unix() - self.clock()
        self.core.renew_token(self._token_ends_at - set_by)

    def _ping(self) -> None:
        self._follow_clock()
        connection = self._client.connection
        if connection is not None and connection.ping() >= UNANSWERED_PINGS:
            self.end(endings.CONNECTION_LOST)

    def _ping_engine(self) -> None:
        connection = self._engine.connection
        if connection is not None:
            self.perform(self.core.engine_pinged(connection.ping(), self.clock()))

    def _listen_for_voice(self) -> None:
        """Look at the next moment of the client's audio, in any format of the API."""
        form = self.core.reported.spoken
        if form in BYTES_PER_MS:
            probe = VoiceProbe(self._voice_heard, lambda: self._client.probe(None), form)
            self._client.probe(probe)

    def _voice_heard(self) -> None:
        self.core.voice_heard(self.clock())
        self._timer.arm()

    def client_left(self, code: int) -> None:
        """The client is gone; whatever its code says, it is not about us."""
        if not self._ended.done():
            self.client_code = code
        self.end(endings.CLIENT_LOST if code == LOST else endings.CLIENT_LEFT)

    def engine_closed(self, code: int, reason: str) -> None:
        """The engine's connection is closed: say how, unless the session closed it itself."""
        if not self._ended.done():
            said = scrub_text(reason, self.core.setup.conceal)
            self._log.warning("engine closed", code=code, reason=said)
            self._services.metrics.engine_trouble("closed", close_label(code))
        self.end(self._engine_ending)

    # What the time decides.

    def rearm(self) -> None:
        """Look at the deadlines again: one may be nearer than before."""
        self._timer.arm()

    def _next_deadline(self) -> float:
        return min(self.core.next_deadline(), self._output.current.next())

    def _on_deadline(self) -> None:
        now, engine = self.clock(), self._engine
        if now >= self.core.deadlines.expires_at:
            self._follow_clock()
        self._output.current.due(now)
        self.core.liveness.look(engine.frames, is_read=engine.is_read, now=now)
        self.perform(self.core.on_deadline(now))
        if not self._ended.done():
            self._timer.arm()

    # What feeds and coaches ask for.

    def status(self) -> SessionStatus:
        """The session as it is now."""
        core, latency = self.core, self.core.transcript.latency
        return SessionStatus(
            seq=core.transcript.last_seq,
            tokens=token_counts(core.spending),
            micro=core.spending.cost().micro,
            answers=latency.count,
            answer_ms=latency.last_ms,
            ending=self._ended.result().name if self._ended.done() else None,
            is_paused=core.control.is_paused,
            speaker=core.control.speaker,
        )

    @property
    def was_used(self) -> bool:
        """Whether the model has answered in it."""
        return self.core.transcript.has_answered

    def interim(self) -> Sequence[InterimTranscript]:
        """The text so far of utterances that are not final."""
        return self.core.transcript.interim()

    def execute(self, command: Command) -> Outcome:
        """Carry out a coach's command, and record what it changed."""
        if self._ended.done():
            return "over"
        core, now = self.core, self.clock()
        result = core.commands.execute(command, now)
        effects = result.effects
        if core.control.speaker is None:
            effects = [*core.coach_speech.stop(now), *effects]
        self._output.mute(core.control.is_muted)
        self.perform(effects)
        self.rearm()
        if result.outcome == "done":
            self._recorder.command(command, now)
            self._log.info("coach command executed", action=command.action)
        return result.outcome

    def open_coach_audio(self, coach: str) -> CoachAudioStream | StreamRefusal:
        """An audio stream for this coach; an earlier one of theirs is closed."""
        return self._coach_bridge.open(coach)

    def _monitor(self, monitor: AudioMonitor | None) -> None:
        """Let this monitor hear both directions; None removes it."""
        self._client.monitor(monitor)
        self._output.monitor(monitor)

    # The end.

    async def _teardown(self, ending: Ending) -> None:
        """Close both sides once, record and charge what is open, and wait until both are closed.

        The engine's side stays open for a moment while the learner's last words are to come.
        """
        self._timer.stop()
        ended_at = self.clock()
        farewell = self.core.setup.dialect.farewell(ending)
        last_frames = [encode(event) for event in farewell.events]
        self._client.close(last_frames, farewell.code, farewell.reason)
        try:
            await self._await_last_words(ending)
        finally:
            self._finish(ending, ended_at)
            self._context.settled()
        await self._tasks.aclose()
        await self._await_close()

    async def _await_last_words(self, ending: Ending) -> None:
        """Wait, within bounds, for what the learner and a coach said last."""
        words = self._last_words = self._awaited_words(ending)
        if words is None:
            self._engine.close(1000, "Client disconnected")
            await self._coach_bridge.aclose(ending)
            return
        try:
            words.begin()
            await self._context.vacate()
            await self._coach_bridge.aclose(ending)
            await words.come()
        finally:
            words.close()

    def _awaited_words(self, ending: Ending) -> LastWords | None:
        """Who waits for the learner's last words; None where there is nothing to wait for."""
        limit = self._services.last_words
        if ending.name in _AT_ONCE or self._engine.gone.is_set() or limit.is_reached:
            return None
        if not self.core.awaits_words(self.clock()) or (engine := self._engine.detach()) is None:
            return None
        return LastWords(self, engine, limit)

    async def _await_close(self) -> None:
        engine_gone = self._last_words.gone if self._last_words else self._engine.gone
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.gone.wait()
                await engine_gone.wait()
        except TimeoutError:
            client, engine = self._client.gone.is_set(), engine_gone.is_set()
            self._log.error("connection did not close", client=client, engine=engine)

    def _finish(self, ending: Ending, ended_at: float) -> None:
        """Record utterances that are still open, and charge what is."""
        for utterance in self.core.finish(self.clock()):
            self._recorder.utterance(utterance)
        self._recorder.ended(ending.name, ended_at)
        self._billing.close(self._services.clock.unix())
        self._billing.report(self._services.metrics, self._log)
        self._troubles.close()
        if not self.core.engine_ready and ending.name in _ENGINE_FAILED:
            self._services.health.failed(self._services.clock.monotonic())


class DeadlineTimer:
    """Calls `due` when `clock` has reached `next_at()`; one timer, moved rather than made anew."""

    def __init__(
        self, clock: Callable[[], float], next_at: Callable[[], float], due: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._next_at = next_at
        self._due = due
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self) -> None:
        """Wake up in time for the next deadline."""
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
