"""The rules of one session: frames and the time go in, actions and the next deadline come out."""

from typing import Final

from relay.realtime import client_policy as policy
from relay.realtime import events
from relay.realtime.billing.budget import Balance, BudgetStage
from relay.realtime.billing.usage import UsageMeter
from relay.realtime.charging import BudgetEnforcer, CostTracker
from relay.realtime.client_encoder import SCRUBBED, ClientEncoder
from relay.realtime.coaching.control import CoachCommands, CoachControl
from relay.realtime.coaching.muting import Routed
from relay.realtime.coaching.speech import CoachSpeech
from relay.realtime.deadlines import Deadlines
from relay.realtime.effects import (
    CallTool,
    Effect,
    End,
    EngineRefused,
    Flush,
    Ping,
    RecordUtterance,
    ToClient,
    ToEngine,
    VerifyToken,
)
from relay.realtime.events import (
    PCM,
    BadEvent,
    Event,
    Formats,
    Frame,
    PlaybackReport,
    TokenRenewal,
    read_own,
    truncate,
)
from relay.realtime.items import InjectedItems
from relay.realtime.opening import SessionSetup, opening
from relay.realtime.playout import Playout
from relay.realtime.records import Utterance
from relay.realtime.requests import RequestTracker
from relay.realtime.server_tools import ServerTools, ToolOutcome
from relay.realtime.transcript import Transcript

# ---- When a client is told the id of a new conversation (S3-27).


class Announcement:
    """Once, when an answer is done and something was said; of an old conversation never."""

    def __init__(self, setup: SessionSetup, client: ClientEncoder) -> None:
        self._conversation_id = setup.conversation_id
        self._client = client
        self._made = setup.grant.conversation_id is not None
        self._said = False

    def feed(self, kind: str, *, settled: bool) -> list[Effect]:
        """An engine's event, and whether words settled by it: what the client is told before it."""
        self._said = self._said or settled
        if self._made or kind != "response.done" or not self._said:
            return []
        self._made = True
        return self._client.announced(self._conversation_id)


# Signs that somebody is there; an open microphone alone is none (docs/protocol.md, "Endings").
_ACTIVITY: Final = ("input_audio_buffer.speech_", "response.", "conversation.item.")
# What the ledger, the greeting and the scrubbing read, beside what the transcript does.
_READ: Final = SCRUBBED | {"session.created", "session.updated", "error"}
_SPEECH: Final = "input_audio_buffer.speech_started"


def _up(event: Event) -> Effect:
    return ToEngine(events.encode(event))


class SessionCore:
    """Everything but audio frames passes through here. Times are Unix seconds of one clock."""

    def __init__(self, setup: SessionSetup, deadlines: Deadlines) -> None:
        self.setup = setup
        self._view = setup.view
        self._client = ClientEncoder(setup.view, setup.grant)
        self.refuse = self._client.refusal
        self.deadlines = deadlines
        self.playout = Playout()
        self.transcript = Transcript(self.playout)
        meter = UsageMeter(setup.grant.model or "", str(setup.transcription.get("model", "")))
        brake = BudgetStage() if setup.grant.bounds.is_budgeted else None
        self.spending = CostTracker(meter, setup.prices, brake)
        self._ledger = RequestTracker()
        self._own = InjectedItems(self._ledger)
        self.control = CoachControl(self._ledger, self._own)
        self.coaching = CoachCommands(
            self.control, self._client, lambda now: self._cut(now, tells=True)
        )
        aware = setup.grant.relay_events
        self._purser = BudgetEnforcer(self.spending, deadlines, self._own, aware)
        names = setup.grant.server_tool_names
        self._desk = ServerTools(names) if names else None
        self.formats = Formats()
        self.voice = CoachSpeech(
            setup.session_id,
            self.transcript,
            self._client,
            self._ledger,
            self._desk.relinked if self._desk else lambda event: event,
        )
        self._announcement = Announcement(setup, self._client)
        self.greeted = False

    def from_client(self, frame: Frame, now: float) -> list[Effect]:
        """A client's frame: forwarded, answered with an `error`, or both kept from the engine."""
        self.deadlines.active(now)
        try:
            event = events.decode(frame)
            ours = read_own(event) if self.setup.grant.relay_events else None
            if ours is not None:
                return self._heard(ours, now)
            event = self._view.up(event)
            policy.check(event)
            event, removed = policy.apply(event, self.setup.grant, self.setup.transcription)
            self._own.check(event)
            left = self.voice.from_client(self._ledger.capped(event))
            if left is not None and left["type"] == "session.update":
                left = self._ledger.asked(left, shown=True)
            actions = self._kept(self.control.from_client(left)) if left is not None else []
        except BadEvent as bad:
            return [self.refuse(bad)]
        actions += self._client.warned(removed)
        if self._flushes(event):
            actions += [Flush(), *self._cut(now, tells=self.setup.truncates)]
        return actions if left is not None else [*actions, *self.voice.answer(event, now)]

    def _kept(self, kept: Routed) -> list[Effect]:
        """What control left of a client's event."""
        actions = [action for event in kept.down for action in self._client.shown(event)]
        for event in kept.up:
            actions += self._handled(self._desk.from_client(event)) if self._desk else [_up(event)]
        return actions

    def _flushes(self, event: Event) -> bool:
        """Whether a client that sends this has stopped playing."""
        if event["type"] == "conversation.item.truncate":
            return self.playout.is_playing(event["item_id"])
        return bool(event["type"] == "response.cancel")

    def _heard(self, ours: PlaybackReport | TokenRenewal, now: float) -> list[Effect]:
        """What a relay-aware client had for the relay itself."""
        if isinstance(ours, TokenRenewal):
            return [VerifyToken(ours.token)]
        self.playout.played(ours.item_id, ours.ms, now)
        return []

    def renewed(self, expires_at: float) -> None:
        """A fresh token of the same caller came: the session may go on until then."""
        self.deadlines.expires_at = expires_at

    def from_engine(self, frame: Frame, kind: str, now: float) -> list[Effect]:
        """An engine's frame other than audio: shown to the client, and read for the transcript.

        What no rule reads is not decoded, unless the client's view must translate it.
        """
        if kind.startswith(_ACTIVITY):
            self.deadlines.active(now)
        if self.greeted and not self._reads(kind):
            return self._client.unread(frame, kind)
        try:
            event = events.decode(frame)
        except BadEvent:  # a client of the engine would have got it; we show it and read nothing
            return [ToClient(frame)] if self.greeted else []
        if not self.greeted and kind != "session.created":
            return self._before_greeting(event)
        return self._from_engine(event, frame, now)

    def _from_engine(self, event: Event, frame: Frame, now: float) -> list[Effect]:
        """An event that some rule reads; `frame` is as it came."""
        kind = event["type"]
        seen, asked = self.control.from_engine(event)
        self.formats.feed(event)
        visible = self.voice.visible(event, self._own.visible(seen))
        if visible is None:
            return asked
        seen = visible
        actions = self.voice.gives_way(seen, now)
        settled = self.transcript.feed(seen, now)
        actions += [Flush()] if kind == _SPEECH else []
        actions += self._announcement.feed(kind, settled=bool(settled))
        shown = self._ledger.answered(seen)
        if shown is not None and self._desk is not None:
            actions += self._handled(self._desk.from_engine(shown))
        elif shown is not None:
            actions += self._client.shown(shown, frame if shown is event else None)
        if kind == "session.created" and not self.greeted:
            self.greeted = True
            self.deadlines.greeted()
            actions += opening(self.setup, self._ledger, self._own)
        actions += [RecordUtterance(utterance) for utterance in settled]
        if kind == _SPEECH:
            actions += self._cut(now, tells=self.setup.truncates)
            actions += self.voice.interrupted(now)
        return actions + asked + self._purser.feed(event, now)

    def _reads(self, kind: str) -> bool:
        if kind in self.transcript.reads or kind in _READ or self._own.reads(kind):
            return True
        return self._desk is not None and kind in self._desk.reads

    def _handled(self, handled: ToolOutcome) -> list[Effect]:
        """What the desk of server-side tools made of an event."""
        actions: list[Effect] = [a for event in handled.shown for a in self._client.shown(event)]
        actions += [CallTool(call) for call in handled.calls]
        return actions + self._asked(handled.ask)

    def tool_result(self, call_id: str, output: str) -> list[Effect]:
        """A tool has answered: what the engine is told."""
        return self._asked(self._desk.result(call_id, output)) if self._desk else []

    def _asked(self, events: list[Event]) -> list[Effect]:
        """What the desk sends up; for an answer it waits until the model may give one."""
        actions: list[Effect] = []
        for event in events:
            if event["type"] == "response.create" and self.control.is_muted:
                self.control.owe(event)
            else:
                actions.append(_up(event))
        return actions

    def _cut(self, now: float, *, tells: bool) -> list[Effect]:
        """The client's player is flushed: note what was heard, and tell the engine where asked."""
        actions: list[Effect] = []
        for heard in self.playout.interrupt(now):
            actions += [RecordUtterance(utterance) for utterance in self.transcript.cut(heard, now)]
            if not self.voice.heard(heard) and tells:
                actions.append(
                    ToEngine(events.encode(self._ledger.own(truncate(heard.item_id, heard.ms))))
                )
        return actions

    def coach_says(self, coach: str, pcm: bytes, now: float) -> list[Effect]:
        """Sound of a coach's: for the learner while that coach has the word, else for nobody."""
        if self.control.speaker != coach or self.formats.heard != PCM:
            return []
        self.deadlines.active(now)
        return self.voice.hear(coach, pcm, now)

    def metered(self, event: Event, now: float) -> list[Effect]:
        """What another engine bills for this session."""
        return self._purser.feed(event, now)

    def _before_greeting(self, event: Event) -> list[Effect]:
        """Nothing from before `session.created` is forwarded: an error can echo the key."""
        fault = event.get("error") if event["type"] == "error" else None
        return [EngineRefused(str(fault.get("code")))] if isinstance(fault, dict) else []

    def afforded(self, standing: Balance, now: float) -> list[Effect]:
        """A bill was settled, and so the purse stands now."""
        heard_at = self.transcript.next_tick() if self.transcript.is_playing else now
        return self._purser.afforded(standing, heard_at, now)

    def due(self, now: float) -> list[Effect]:
        """What the time asks for; call it when `next()` has come."""
        ending = self.deadlines.ending(now)
        if ending is not None:
            return [End(ending)]
        actions: list[Effect] = [
            RecordUtterance(utterance) for utterance in self.transcript.tick(now)
        ]
        actions += self.voice.due(now)
        return [*actions, Ping()] if self.deadlines.ping_due(now) else actions

    def next(self) -> float:
        """When to ask again."""
        return min(self.deadlines.next(), self.transcript.next_tick(), self.voice.next())

    def finish(self, now: float) -> list[Utterance]:
        """The session ended, however it ended: what was still open settles as partial."""
        return self.transcript.finish(now)
