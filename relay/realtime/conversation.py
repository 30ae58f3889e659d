"""The rules of one session: frames and the time go in, actions and the next deadline come out."""

from dataclasses import dataclass
from typing import Any, Final

from relay.realtime import events, first_update, policy
from relay.realtime.actions import (
    Action,
    CheckToken,
    End,
    EngineRefused,
    Flush,
    Ping,
    Settled,
    ToClient,
    ToEngine,
)
from relay.realtime.deadlines import Deadlines
from relay.realtime.events import BadEvent, Event, Frame
from relay.realtime.grant import Grant
from relay.realtime.ledger import Ledger
from relay.realtime.meter import Meter
from relay.realtime.playout import Heard, Playout
from relay.realtime.scrub import SCRUBBED, scrub
from relay.realtime.transcript import Transcript
from relay.realtime.utterance import Utterance
from relay.realtime.view import View


@dataclass(frozen=True, slots=True)
class Setup:
    """What the rules know from the start.

    `first_update` goes up as soon as the engine said `session.created`; its answer is shown to
    the client where `first_shown`. `transcription` is `audio.input.transcription`. With
    `truncates`, the relay tells the engine what was heard of an interrupted answer, for clients
    that cannot.
    """

    session_id: str
    conversation_id: str
    grant: Grant
    view: View
    first_update: Event
    first_shown: bool
    transcription: dict[str, Any]
    truncates: bool = False


# Signs that somebody is there; an open microphone alone is none (OUTSIDE, "Endings").
_ACTIVITY: Final = ("input_audio_buffer.speech_", "response.", "conversation.item.")
# What the ledger, the greeting and the scrubbing read, beside what the transcript does.
_READ: Final = SCRUBBED | {"session.created", "session.updated", "error"}
_TOKEN: Final = "relay.token"  # noqa: S105 - the name of an event
_PLAYBACK: Final = "relay.playback"
_OURS: Final = frozenset({_TOKEN, _PLAYBACK})
_SPEECH: Final = "input_audio_buffer.speech_started"


def _wants(name: str, what: str, event: Event) -> BadEvent:
    return BadEvent(
        f"Invalid '{name}': expected {what}.",
        code="invalid_type",
        param=name,
        event_id=event.get("event_id"),
    )


def _truncate(heard: Heard) -> Event:
    kind = "conversation.item.truncate"
    return {"type": kind, "item_id": heard.item_id, "content_index": 0, "audio_end_ms": heard.ms}


class Conversation:
    """Everything but audio frames passes through here. Times are Unix seconds of one clock."""

    def __init__(self, setup: Setup, deadlines: Deadlines) -> None:
        self._setup = setup
        self._view = setup.view
        self.deadlines = deadlines
        self.playout = Playout()
        self.transcript = Transcript(self.playout)
        self.meter = Meter(setup.grant.model or "", str(setup.transcription.get("model", "")))
        self._ledger = Ledger()
        self._announced = setup.grant.conversation_id is not None
        self._said = False
        self._errors = 0
        self.greeted = False

    def from_client(self, frame: Frame, now: float) -> list[Action]:
        """A client's frame: forwarded, answered with an `error`, or both kept from the engine."""
        self.deadlines.active(now)
        try:
            event = events.decode(frame)
            if event["type"] in _OURS and self._setup.grant.relay_events:
                return self._ours(event, now)
            event = self._view.up(event)
            policy.check(event)
            event, removed = policy.apply(event, self._setup.grant, self._setup.transcription)
        except BadEvent as bad:
            return [self.refuse(bad)]
        if event["type"] == "session.update":
            event = self._ledger.asked(event, shown=True)
        actions: list[Action] = [ToEngine(events.encode(event)), *self._warn(removed)]
        if self._flushes(event):
            actions += [Flush(), *self._cut(now)]
        return actions

    def _flushes(self, event: Event) -> bool:
        """Whether a client that sends this has stopped playing."""
        if event["type"] == "conversation.item.truncate":
            return self.playout.is_playing(event["item_id"])
        return bool(event["type"] == "response.cancel")

    def refuse(self, bad: BadEvent) -> Action:
        """The `error` event for a frame that is not an event; the session goes on."""
        self._errors += 1
        told = events.error(
            bad.message,
            code=bad.code,
            param=bad.param,
            client_event_id=bad.event_id,
            event_id=f"event_relay_{self._errors}",
        )
        return ToClient(events.encode(self._view.error(told)))

    def _ours(self, event: Event, now: float) -> list[Action]:
        """The events that a relay-aware client has for the relay itself."""
        if event["type"] == _TOKEN:
            if isinstance(event.get("token"), str):
                return [CheckToken(event["token"])]
            return [self.refuse(_wants("token", "a string", event))]
        item, played = event.get("item_id"), event.get("played_ms")
        if not isinstance(item, str):
            return [self.refuse(_wants("item_id", "a string", event))]
        if not isinstance(played, int) or isinstance(played, bool):
            return [self.refuse(_wants("played_ms", "an integer", event))]
        self.playout.played(item, played, now)
        return []

    def renewed(self, expires_at: float) -> None:
        """A fresh token of the same caller came: the session may go on until then."""
        self.deadlines.expires_at = expires_at

    def _warn(self, removed: list[str]) -> list[Action]:
        if not removed or not self._setup.grant.relay_events:
            return []
        message = f"Set by the server, and so not forwarded: {', '.join(removed)}."
        warning = {"type": "relay.warning", "code": "locked_fields", "message": message}
        return [ToClient(events.encode(warning))]

    def from_engine(self, frame: Frame, kind: str, now: float) -> list[Action]:
        """An engine's frame other than audio: shown to the client, and read for the transcript.

        What no rule reads is not decoded, unless the client's view must translate it.
        """
        if kind.startswith(_ACTIVITY):
            self.deadlines.active(now)
        if self.greeted and kind not in self.transcript.reads and kind not in _READ:
            return self._unread(frame, kind)
        try:
            event = events.decode(frame)
        except BadEvent:  # a client of the engine would have got it; we show it and read nothing
            return [ToClient(frame)] if self.greeted else []
        if not self.greeted and kind != "session.created":
            return self._before_greeting(event)
        self.meter.feed(event, now)
        settled = self.transcript.feed(event, now)
        self._said = self._said or bool(settled)
        actions: list[Action] = [Flush()] if kind == _SPEECH else self._announcement(kind)
        shown = self._ledger.answered(event)
        if shown is not None:
            shown = scrub(shown, self._setup.grant)
            seen = self._view.down(frame if shown is event else events.encode(shown), kind, shown)
            if seen is not None:
                actions.append(ToClient(seen))
        if kind == "session.created" and not self.greeted:
            self.greeted = True
            self.deadlines.greeted()
            actions += self._opening()
        actions += [Settled(utterance) for utterance in settled]
        return actions + (self._cut(now) if kind == _SPEECH else [])

    def _cut(self, now: float) -> list[Action]:
        """The client's player is flushed: note what was heard, and say it for who cannot."""
        actions: list[Action] = []
        for heard in self.playout.interrupt(now):
            actions += [Settled(utterance) for utterance in self.transcript.cut(heard, now)]
            if self._setup.truncates:
                actions.append(ToEngine(events.encode(self._ledger.own(_truncate(heard)))))
        return actions

    def _unread(self, frame: Frame, kind: str) -> list[Action]:
        try:
            seen = self._view.down(frame, kind, None)
        except BadEvent:
            seen = frame
        return [ToClient(seen)] if seen is not None else []

    def _before_greeting(self, event: Event) -> list[Action]:
        """Nothing from before `session.created` is forwarded: an error can echo the key."""
        fault = event.get("error") if event["type"] == "error" else None
        return [EngineRefused(str(fault.get("code")))] if isinstance(fault, dict) else []

    def _announcement(self, kind: str) -> list[Action]:
        """A new conversation's id, once something was said, before the answer is done (S3-27)."""
        if self._announced or kind != "response.done" or not self._said:
            return []
        self._announced = True
        told = self._view.announce(self._setup.conversation_id)
        return [ToClient(events.encode(told))] if told is not None else []

    def _opening(self) -> list[Action]:
        """What the engine is told first, and what a relay-aware client is told after it."""
        update = self._ledger.asked(self._setup.first_update, shown=self._setup.first_shown)
        actions: list[Action] = [ToEngine(events.encode(update))]
        greeting = first_update.greeting(self._setup.grant)
        if greeting is not None:
            actions.append(ToEngine(events.encode(self._ledger.own(greeting))))
        if self._setup.grant.relay_events:
            hello = {
                "type": "relay.session",
                "session_id": self._setup.session_id,
                "conversation_id": self._setup.conversation_id,
                "expires_at": int(self._setup.grant.caller.expires_at),
            }
            actions.append(ToClient(events.encode(hello)))
        return actions

    def due(self, now: float) -> list[Action]:
        """What the time asks for; call it when `next()` has come."""
        ending = self.deadlines.ending(now)
        if ending is not None:
            return [End(ending)]
        actions: list[Action] = [Settled(utterance) for utterance in self.transcript.tick(now)]
        return [*actions, Ping()] if self.deadlines.ping_due(now) else actions

    def next(self) -> float:
        """When to ask again."""
        return min(self.deadlines.next(), self.transcript.next_tick())

    def finish(self, now: float) -> list[Utterance]:
        """The session ended, however it ended: what was still open settles as partial."""
        return self.transcript.finish(now)
