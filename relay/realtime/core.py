"""State machine of one session: takes frames and time, returns effects and the next deadline.

A frame is decoded, passes the rules of its direction in order, and is encoded for the other side:

    from_client  decode, dialect to GA  ->  policy ... tools  ->  encode              -> ToEngine
    from_engine  decode                 ->  control ... tools ->  redact, dialect     -> ToClient

Nothing here awaits, reads a clock or touches a socket; the session performs the effects in order.
"""

from collections.abc import Callable, Sequence
from typing import Final

from relay.realtime import events
from relay.realtime.billing.budget import Balance, BudgetStage
from relay.realtime.billing.usage import UsageMeter
from relay.realtime.charging import BudgetEnforcer, CostTracker
from relay.realtime.client_encoder import REDACTED_EVENTS, ClientEncoder
from relay.realtime.client_policy import ClientPolicy
from relay.realtime.coaching.control import CoachCommands, CoachControl
from relay.realtime.coaching.speech import CoachSpeech
from relay.realtime.deadlines import Deadlines
from relay.realtime.effects import (
    Effect,
    End,
    EngineRefused,
    EventRepaired,
    Flush,
    ListenForVoice,
    Ping,
    PingEngine,
    RecordUtterance,
    ReportTrouble,
    Rule,
    RuleOutcome,
    ToClient,
    ToEngine,
    VerifyToken,
)
from relay.realtime.endings import ENGINE_TIMED_OUT, IDLE, IDLE_UNHEARD, Ending
from relay.realtime.events import (
    PCM,
    SPEECH_STARTED,
    BadEvent,
    Event,
    Frame,
    PlaybackReport,
    TokenRenewal,
)
from relay.realtime.first_update import FirstUpdate
from relay.realtime.items import ROOT, HiddenItems, InjectedItems
from relay.realtime.last_words import is_of_learner, may_be_last_words
from relay.realtime.liveness import EngineLiveness
from relay.realtime.opening import Announcement, SessionSetup, open_session
from relay.realtime.playout import Playout
from relay.realtime.records import Utterance
from relay.realtime.replays import ReplayedItems
from relay.realtime.reported import ReportedSession
from relay.realtime.requests import RequestTracker
from relay.realtime.scrubbing import scrub_failure, scrub_frame
from relay.realtime.server_tools import ServerTools
from relay.realtime.system_items import SystemItems
from relay.realtime.transcript import Transcript
from relay.realtime.transcription_view import TranscriptionView
from relay.realtime.troubles import FAILURES, safe_code, trouble_of
from relay.realtime.unanswered import UnansweredEdits

_ACTIVITY: Final = ("input_audio_buffer.speech_", "response.", "conversation.item.")
"""Engine events that keep a session from being idle; an open microphone does not."""
_READ: Final = REDACTED_EVENTS | HiddenItems.reads | {"error"}
"""Engine events that rules of every session read, beside those of the transcript."""


class SessionCore:
    """Decides what becomes of everything but audio frames. Times are Unix seconds of one clock.

    A rule answers `from_client(event, now)` or `from_engine(event, now)` with a `RuleOutcome`: it
    may change or drop the event, reply to its sender, and add effects. An observer answers
    `observe(event, now)`: it follows what happens and changes no event.
    """

    def __init__(self, setup: SessionSetup, deadlines: Deadlines) -> None:
        grant = setup.grant
        self.setup = setup
        self.deadlines = deadlines
        self.engine_ready = False
        self.liveness = EngineLiveness()
        self.reported = ReportedSession()
        self.playout = Playout()
        self.transcript = Transcript(self.playout)
        meter = UsageMeter(grant.model or "", str(setup.transcription.get("model", "")))
        stage = BudgetStage() if grant.bounds.is_budgeted else None
        self.spending = CostTracker(meter, setup.prices, stage)
        self._transcription_view = TranscriptionView(always=setup.shows_words)
        self._client = ClientEncoder(setup.dialect, grant, self._transcription_view)
        self._policy = ClientPolicy(grant, setup.transcription, self._client)
        self._system_items = SystemItems(setup.session_id, grant, self._client)
        self._announcement = Announcement(setup, self._client)
        requests = self._requests = RequestTracker()
        self._first_update = FirstUpdate(
            setup.first_update, requests, self._client, self._go_on_without
        )
        self._injected, self._edits = InjectedItems(requests), UnansweredEdits()
        self._replays = ReplayedItems(
            setup.earlier_ids, self._injected, requests, self.transcript, setup.earlier
        )
        self._budget = BudgetEnforcer(self.spending, deadlines, self._injected, grant.relay_events)
        self._tools = ServerTools(names) if (names := grant.server_tool_names) else None
        self.control = CoachControl(self._requests, self._injected)
        self.commands = CoachCommands(self.control, self._client, self._cut_for_coach)
        self.coach_speech = CoachSpeech(
            setup.session_id,
            self.transcript,
            self._client,
            self._requests,
            self._tools.relinked if self._tools else lambda event: event,
        )
        self._client_rules = self._rules_from_client()
        self._engine_rules = self._rules_from_engine()
        tool_events = self._tools.reads if self._tools else frozenset()
        self._decoded = _READ | self.transcript.reads | tool_events

    def from_client(self, frame: Frame, now: float) -> list[Effect]:
        """A client's frame other than audio: forwarded, answered here, or refused by an `error`."""
        self.deadlines.active(now)
        try:
            event, said = events.read(frame)
            repaired: list[Effect] = [] if said is frame else [EventRepaired("client")]
            ours = events.relay_message(event) if self.setup.grant.relay_events else None
            if ours is not None:
                return repaired + self._from_aware_client(ours, now)
            event = self.setup.dialect.up(event)
            effects = _run(self._client_rules, event, now, self._to_engine, self._client.encode)
        except BadEvent as bad:
            return [self.refuse(bad)]
        # Not rules, since an event that a rule refuses stops nothing. The answer about a coach's
        # item comes last: it corrects what the cut estimated.
        if self._stops_playback(event):
            effects += [Flush(), *self._cut(now, tells=self.setup.truncates)]
        return repaired + effects + self.coach_speech.answer(event, now)

    def from_engine(self, frame: Frame, kind: str, now: float) -> list[Effect]:
        """An engine's frame of type `kind`, other than audio: shown to the client and followed.

        A frame that no rule reads is not decoded, unless the client's dialect must translate it.
        """
        if kind.startswith(_ACTIVITY):
            self.deadlines.active(now)
        frame = self.setup.conceal(frame)
        if self.engine_ready:
            self.liveness.heard(kind, now)
            if kind not in self._decoded:
                return self._client.forward(frame, kind)
        try:
            event, said = events.read(frame)
        except BadEvent:  # shown as the engine sent it, and read by no rule
            return [ToClient(scrub_frame(frame))] if self.engine_ready else []
        if not self.engine_ready and kind != "session.created":
            return _before_created(event)
        effects = self._follow(event, said, now)
        return effects if said is frame else [EventRepaired("engine"), *effects]

    def _follow(self, event: Event, frame: Frame, now: float) -> list[Effect]:
        """Pass an engine's event, decoded from this frame, through the rules and observers."""
        is_failure = event["type"] in FAILURES
        as_sent = event
        if is_failure:
            event = scrub_failure(event, self.setup.conceal)

        def to_client(seen: Event) -> list[Effect]:
            if seen is not as_sent and seen.get("previous_item_id") == ROOT:
                seen = {**seen, "previous_item_id": None}
            return self._client.encode(seen, frame if seen is as_sent else None)

        effects = _run(self._engine_rules, event, now, to_client, self._to_engine)
        self.reported.observe(event, now)
        self.coach_speech.observe(event, now)
        effects += self._budget.observe(event, now)
        return effects + _reports(as_sent, effects) if is_failure else effects

    def _rules_from_client(self) -> Sequence[Rule]:
        """The rules that a client's event passes, in GA form, on its way to the engine."""
        return (
            # Before the policy, which takes out settings that the client asked for, and refuses
            # items of the system.
            self._transcription_view.from_client,
            self._system_items.from_client,
            # Later rules rely on the shapes that the policy checks.
            self._policy.from_client,
            self._injected.from_client,
            # After injected, whose ids it puts in the place of those that the client knows.
            self._replays.from_client,
            # Before requests: what is refused here, or answered by the relay, is not tracked.
            self.coach_speech.from_client,
            self._requests.from_client,
            # Before tools: they would hold back a request that a muted model never gets.
            self.control.from_client,
            # Last: it may hold the event back until the results of tools are there.
            *((self._tools.from_client,) if self._tools else ()),
        )

    def _rules_from_engine(self) -> Sequence[Rule]:
        """The rules that an engine's event passes on its way to the client."""
        return (
            # First: it needs errors that requests drops, and all others see the session as the
            # client configured it, muted or not. Its replies follow all other effects.
            self.control.from_engine,
            # Around injected: an item at the front is so for the engine, or for the client alone.
            self._replays.from_engine,
            # Before coach speech, which links items to predecessors that the client knows.
            self._injected.from_engine,
            self._system_items.from_engine,
            self._replays.from_engine,
            # Before the transcript: a coach's answer ends before the engine's begins.
            self.coach_speech.from_engine,
            # After the rules that drop events about items which are not the engine's to tell of.
            self._transcribe,
            # Flushes before the client's event, which would wait behind audio that is dropped;
            # records what was cut off once the client has been told.
            self._interrupt,
            # Within control: the first update must not undo the muting of a paused session.
            self._open,
            # Before requests, which drops the refusal of an update that the client has not sent.
            self._settle_first_update,
            self._requests.from_engine,
            # Last: it may hold an event back and show it, or another, later.
            *((self._tools.from_engine,) if self._tools else ()),
        )

    def _interrupt(self, event: Event, now: float) -> RuleOutcome | None:
        """Rule: the learner interrupts by speaking, so the client's player is flushed."""
        if event["type"] != SPEECH_STARTED or not self.reported.interrupts:
            return None
        cut = self._cut(now, tells=self.setup.truncates)
        return RuleOutcome([event], before=[Flush()], after=cut)

    def _transcribe(self, event: Event, now: float) -> RuleOutcome | None:
        """Rule: record the utterances that the event settles, after the client saw it."""
        self._edits.observe(event)
        settled = self.transcript.observe(event, now)
        announcement = self._announcement.observe(event, now)
        if not settled and not announcement:
            return None
        records: list[Effect] = [RecordUtterance(utterance) for utterance in settled]
        return RuleOutcome([event], before=announcement, after=records)

    def _open(self, event: Event, now: float) -> RuleOutcome | None:
        """Rule: configure the session when the engine has created it."""
        if self.engine_ready or event["type"] != "session.created":
            return None
        self.engine_ready = True
        self.deadlines.engine_ready()
        self.liveness.heard("session.created", now)
        if self.setup.has_greeting:
            self.liveness.sent("response.create")
        update = self._first_update.send(shown=self.setup.first_update_shown)
        opening = open_session(self.setup, update, self._requests, self._injected)
        return RuleOutcome([event], after=opening)

    def _settle_first_update(self, event: Event, now: float) -> RuleOutcome | None:
        """Rule: try the relay's own settings again without what the engine refuses."""
        outcome = self._first_update.from_engine(event, now)
        if outcome is not None and self.control.is_muted:
            retries = [self.control.from_client(update, now) for update in outcome.replies]
            outcome.replies = [update for retry in retries for update in retry.events]
        return outcome

    def _go_on_without(self, name: str) -> None:
        """The engine refused this part of the relay's own settings."""
        if name == "transcription":
            self._policy.give_up_transcription()

    def refuse(self, bad: BadEvent) -> Effect:
        """The `error` event for a client's frame that was refused before it came here."""
        return self._client.refuse(bad)

    def tool_result(self, call_id: str, output: str) -> list[Effect]:
        """The output of a server-side tool."""
        ready = self._tools.result(call_id, output) if self._tools else []
        return [effect for event in ready for effect in self._to_engine(event)]

    def coach_audio(self, coach: str, pcm: bytes, now: float) -> list[Effect]:
        """Audio of a coach: PCM16 mono 24 kHz. Only the coach who has taken over is heard."""
        if self.control.speaker != coach or self.reported.heard != PCM:
            return []
        self.deadlines.active(now)
        return self.coach_speech.take_audio(coach, pcm, now)

    def observe_usage(self, event: Event, now: float) -> list[Effect]:
        """An event of another engine that works for this session: its usage is charged."""
        return self._budget.observe(event, now)

    def on_balance(self, standing: Balance, now: float) -> list[Effect]:
        """The budget after a charge."""
        heard_at = self.transcript.next_tick() if self.transcript.is_playing else now
        return self._budget.on_balance(standing, heard_at, now)

    def renew_token(self, expires_at: float) -> None:
        """The caller renewed its token: the session may go on until it expires."""
        self.deadlines.expires_at = expires_at

    def on_deadline(self, now: float) -> list[Effect]:
        """What is due by now; to be called when `next_deadline()` has come."""
        ending = self.deadlines.ending(now)
        if ending is not None:
            return [End(self._truth(ending))]
        effects: list[Effect] = [
            RecordUtterance(utterance) for utterance in self.transcript.tick(now)
        ]
        effects += self.coach_speech.due(now)
        if self.deadlines.ping_due(now):
            effects.append(Ping())
        if self.liveness.ping_due(now):
            effects.append(PingEngine())
        if self.liveness.listen_due(now):
            effects.append(ListenForVoice())
        return effects

    def _truth(self, ending: Ending) -> Ending:
        """The ending as it is to be told: nobody spoke is said only where that is so."""
        if ending != IDLE:
            return ending
        if self.liveness.owes_answer:
            return ENGINE_TIMED_OUT
        return IDLE_UNHEARD if self.liveness.heard_speech else IDLE

    def engine_pinged(self, unanswered: int, now: float) -> list[Effect]:
        """The engine was pinged, and has not answered so many earlier pings."""
        return [End(ENGINE_TIMED_OUT)] if self.liveness.pinged(unanswered, now) else []

    def voice_heard(self, now: float) -> None:
        """There is a voice in the client's audio that the engine has said nothing about."""
        self.liveness.voice()
        self.liveness.start_waiting(now)

    def next_deadline(self) -> float:
        """The time of the next deadline."""
        return min(
            self.deadlines.next(),
            self.liveness.next(),
            self.transcript.next_tick(),
            self.coach_speech.next(),
        )

    def withdrawn(self) -> str | None:
        """The type of an event that waits for what was cut off, and is not to be sent any more."""
        return self._announcement.kind if self._announcement.withdrawn() else None

    def awaits_words(self, now: float) -> bool:
        """Whether the learner's last words are still to come, and are stored when they do."""
        if not (self.engine_ready and self.reported.transcribes and self.setup.grant.store_text):
            return False
        return self.transcript.awaited.any(now) or self.liveness.owes_turn

    def client_left(self, now: float) -> list[Effect]:
        """The client has left, and its last words are to come: record all the rest.

        Nobody hears an answer that is under way, so it is stopped.
        """
        said = self._settle_edits(now)
        said += self.transcript.finish(now, but=self.transcript.awaited)
        effects: list[Effect] = [RecordUtterance(utterance) for utterance in said]
        return [*effects, *self._stop_answer()] if self.liveness.owes_response else effects

    def last_words(self, frame: Frame, kind: str, now: float) -> list[Effect]:
        """An engine's frame once the client has left: the learner's words, and what all cost."""
        if kind == "response.created":
            return self._stop_answer()
        if kind != "response.done" and not may_be_last_words(kind):
            return []
        try:
            event, _ = events.read(self.setup.conceal(frame))
        except BadEvent:
            return []
        if kind == "response.done":
            return self.observe_usage(event, now)
        effects = self.from_engine(frame, kind, now) if is_of_learner(event) else []
        return [effect for effect in effects if not isinstance(effect, ToClient | ToEngine)]

    def _stop_answer(self) -> list[Effect]:
        return [ToEngine(events.encode(self._requests.stamp({"type": "response.cancel"})))]

    def finish(self, now: float) -> list[Utterance]:
        """The session ended: the utterances that were open, as partial or interrupted ones."""
        return self._settle_edits(now) + self.transcript.finish(now)

    def _settle_edits(self, now: float) -> list[Utterance]:
        """Take what the client asked for last as done: it does not wait to be told so."""
        events = self._edits.take(self.transcript.audio_ms)
        return [said for event in events for said in self.transcript.observe(event, now)]

    def _from_aware_client(self, ours: PlaybackReport | TokenRenewal, now: float) -> list[Effect]:
        """A message for the relay itself, from a client that knows `relay.*` events."""
        if isinstance(ours, TokenRenewal):
            return [VerifyToken(ours.token)]
        self.playout.played(ours.item_id, ours.ms, now)
        return []

    def _stops_playback(self, event: Event) -> bool:
        """Whether a client that sends this has stopped playing."""
        if event["type"] == "conversation.item.truncate":
            return self.playout.is_playing(event["item_id"])
        return bool(event["type"] == "response.cancel")

    def _cut(self, now: float, *, tells: bool) -> list[Effect]:
        """Record what the client heard of what is playing; `tells` the engine about it."""
        effects: list[Effect] = []
        for heard in self.playout.interrupt(now):
            self._announcement.cut(heard.item_id)
            effects += [RecordUtterance(utterance) for utterance in self.transcript.cut(heard, now)]
            if not self.coach_speech.note_heard(heard) and tells:
                truncate = self._requests.stamp(events.truncate(heard.item_id, heard.ms))
                effects.append(ToEngine(events.encode(truncate)))
        return effects

    def _cut_for_coach(self, now: float) -> list[Effect]:
        return self._cut(now, tells=True)

    def _to_engine(self, event: Event) -> list[Effect]:
        """Send an event to the engine; a muted model gets its last `response.create` later."""
        if event["type"] == "response.create" and self.control.is_muted:
            self.control.owe(event)
            return []
        self.reported.ask(event)
        self.liveness.sent(event["type"])
        self._edits.ask(event)
        return [ToEngine(events.encode(event))]


_ToEffects = Callable[[Event], list[Effect]]


def _run(
    rules: Sequence[Rule], event: Event, now: float, onward: _ToEffects, back: _ToEffects
) -> list[Effect]:
    """Pass an event through rules; the effects of later rules lie within those of earlier ones.

    `onward` sends what the last rule lets through, `back` sends replies to the event's sender.
    """
    for position, rule in enumerate(rules, start=1):
        outcome = rule(event, now)
        if outcome is None:
            continue
        if len(outcome.events) != 1 or outcome.before or outcome.after or outcome.replies:
            return _enclose(outcome, rules[position:], now, onward, back)
        (event,) = outcome.events
    return onward(event)


def _enclose(
    outcome: RuleOutcome, later: Sequence[Rule], now: float, onward: _ToEffects, back: _ToEffects
) -> list[Effect]:
    """The effects of a rule's outcome, around those of the `later` rules."""
    effects = [*outcome.before]
    for event in outcome.events:
        effects += _run(later, event, now, onward, back)
    effects += outcome.after
    for reply in outcome.replies:
        effects += back(reply)
    return effects


def _before_created(event: Event) -> list[Effect]:
    """Nothing from before `session.created` is forwarded: an error can echo the provider key."""
    fault = event.get("error") if event["type"] == "error" else None
    if not isinstance(fault, dict):
        return []
    return [EngineRefused(safe_code(fault.get("code") or fault.get("type")))]


def _reports(event: Event, effects: Sequence[Effect]) -> list[Effect]:
    """The report of a failure, unless a rule has made one that says more."""
    trouble = trouble_of(event)
    if trouble is None or any(isinstance(effect, ReportTrouble) for effect in effects):
        return []
    return [ReportTrouble(trouble)]
