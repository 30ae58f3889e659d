"""Carries out coaches' commands on one session: pause, whisper, takeover and their opposites."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.coaching.muting import ModelMuting
from relay.realtime.effects import Effect, End, Flush, RuleOutcome, ToEngine
from relay.realtime.endings import ENDED_BY_COACH
from relay.realtime.events import Event, encode
from relay.realtime.items import InjectedItems, system_item
from relay.realtime.records import CoachAction
from relay.realtime.requests import RequestTracker

MAX_WHISPER: Final = 4_000
"""Characters of one whisper."""

MAX_WAITING: Final = 8
"""Sentences that wait to be said; a coach who sends more gets `busy`."""

_BUSY: Final = "conversation_already_has_active_response"

Mode = Literal["context", "say"]
"""A whisper tells the model something in confidence, or has it say so next."""

Outcome = Literal["done", "nothing", "busy", "muted", "over"]
"""Done; was so already; another coach has the floor, or too much waits; impossible while the model
is muted; the session has ended."""


@dataclass(frozen=True, slots=True)
class Command:
    """A coach's command: `text` and `mode` belong to a whisper, `text` also to a note and an end.

    `is_admin` allows a release of what another coach has taken over.
    """

    action: CoachAction
    coach_id: str
    text: str = ""
    mode: Mode = "context"
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The outcome of a command, and what the session has to do for it."""

    outcome: Outcome
    effects: list[Effect] = field(default_factory=list)


CutPlayback = Callable[[float], list[Effect]]
"""Records what was heard of what is playing at a time, and tells the engine."""


class CoachCommands:
    """Carries out commands and shows the learner's client what they change.

    Every command may be repeated: a repeat changes nothing. Whatever plays is cut at once. A client
    that knows `relay.*` events is told why and flushes its player; any other one is shown that the
    learner began to speak, on which it flushes its player. Times are Unix seconds.
    """

    def __init__(
        self, control: "CoachControl", client: ClientEncoder, cut_playback: CutPlayback
    ) -> None:
        self._control = control
        self._client = client
        self._cut_playback = cut_playback
        self._flushes = 0
        self._has_listeners = False
        self._shown_presence = (False, False)  # speaking, present
        self._handlers: dict[CoachAction, Callable[[Command, float], CommandResult]] = {
            "pause": lambda _, now: self.pause(now),
            "resume": lambda _, __: self.resume(),
            "takeover": lambda command, now: self.take_over(command.coach_id, now),
            "release": lambda command, _: self.release(command.coach_id, by_force=command.is_admin),
            "whisper": lambda command, _: self._control.whisper(command.text, command.mode),
            "end": lambda _, __: CommandResult("done", [End(ENDED_BY_COACH)]),
            "note": lambda _, __: CommandResult("done"),
            "summary": lambda _, __: CommandResult("done"),
        }

    def execute(self, command: Command, now: float) -> CommandResult:
        """Carry out a command; a note and a summary are only recorded."""
        return self._handlers[command.action](command, now)

    def pause(self, now: float) -> CommandResult:
        """Silence the model at once; the learner is still transcribed."""
        result = self._control.pause()
        if result.outcome != "done":
            return result
        told = self._client.notify({"type": "relay.paused"})
        # A coach who has the floor goes on.
        flushed = self._flush(now) if self._control.speaker is None else []
        return CommandResult("done", [*told, *result.effects, *flushed])

    def resume(self) -> CommandResult:
        """Let the model answer again; it knows what was said meanwhile and does not greet."""
        result = self._control.resume()
        told = self._client.notify({"type": "relay.resumed"}) if result.outcome == "done" else []
        return CommandResult(result.outcome, [*told, *result.effects])

    def take_over(self, coach: str, now: float) -> CommandResult:
        """Give the coach the floor, in the model's place, until `release`."""
        result = self._control.take_over(coach)
        if result.outcome != "done":
            return result
        return CommandResult("done", [*self._presence(), *result.effects, *self._flush(now)])

    def release(self, coach: str, *, by_force: bool = False) -> CommandResult:
        """Give the floor back to the model, unless it is paused."""
        result = self._control.release(coach, by_force=by_force)
        told = self._presence() if result.outcome == "done" else []
        return CommandResult(result.outcome, [*told, *result.effects])

    def set_listening(self, listening: bool) -> list[Effect]:
        """Show the learner that the first coach came to listen, or that the last one left."""
        self._has_listeners = listening
        return self._presence()

    def _presence(self) -> list[Effect]:
        speaking = self._control.speaker is not None
        present = speaking or self._has_listeners
        before, self._shown_presence = self._shown_presence, (speaking, present)
        if before == self._shown_presence:
            return []
        return self._client.notify(
            {"type": "relay.coach", "speaking": speaking, "present": present}
        )

    def _flush(self, now: float) -> list[Effect]:
        cut = self._cut_playback(now)
        effects: list[Effect] = [Flush(), *cut]
        if cut and not self._client.is_aware:
            effects += [e for event in self._interruption() for e in self._client.encode(event)]
        return effects

    def _interruption(self) -> list[Event]:
        """Speech that begins and ends and yields no item: any client flushes its player on it."""
        self._flushes += 1
        item_id = f"item_relay_flush_{self._flushes}"
        started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0}
        stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 0}
        return [
            {**event, "event_id": f"event_{item_id}_{number}", "item_id": item_id}
            for number, event in enumerate((started, stopped))
        ]


class CoachControl:
    """Control of one session by coaches: paused, taken over, sentences to say.

    A pause and a takeover each mute the model; it is unmuted when neither is left. The effects in
    a result are what the engine is sent.
    """

    def __init__(self, requests: RequestTracker, injected: InjectedItems) -> None:
        self._requests = requests
        self._injected = injected
        self._muting = ModelMuting()
        self._say_queue = SayQueue(requests)
        self.is_paused = False
        self.speaker: str | None = None  # the coach who has the floor

    @property
    def is_muted(self) -> bool:
        """Whether the model is muted."""
        return self._muting.is_muted

    def pause(self) -> CommandResult:
        """Mute the model until `resume`."""
        if self.is_paused:
            return CommandResult("nothing")
        self.is_paused = True
        return CommandResult("done", self._to_engine(self._muting.mute()))

    def resume(self) -> CommandResult:
        """Unmute the model, unless a coach has the floor."""
        if not self.is_paused:
            return CommandResult("nothing")
        self.is_paused = False
        return CommandResult("done", self._unmute())

    def take_over(self, coach: str) -> CommandResult:
        """Give a coach the floor; of several the first one gets it."""
        if self.speaker is not None:
            return CommandResult("nothing" if self.speaker == coach else "busy")
        self.speaker = coach
        return CommandResult("done", self._to_engine(self._muting.mute()))

    def release(self, coach: str, *, by_force: bool = False) -> CommandResult:
        """Give the floor back to the model; only its holder may, or an admin by force."""
        if self.speaker is None:
            return CommandResult("nothing")
        if self.speaker != coach and not by_force:
            return CommandResult("busy")
        self.speaker = None
        return CommandResult("done", self._unmute())

    def whisper(self, text: str, mode: Mode) -> CommandResult:
        """Tell the model something that the learner never sees, or have it say so next."""
        if mode == "context":
            item = self._injected.create(system_item(text))
            return CommandResult("done", [ToEngine(encode(item))])
        if self._muting.is_muted:
            return CommandResult("muted")
        if self._say_queue.is_full:
            return CommandResult("busy")
        self._say_queue.say(text)
        return CommandResult("done", self._to_engine(self._next_sentence()))

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event as it may be sent to the engine; a muted model is not asked to answer."""
        return self._muting.from_client(event, now)

    def owe(self, event: Event) -> None:
        """Keep a `response.create` of the relay's own until the model is unmuted."""
        self._muting.owe(event)

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client may see it; replies with what coaches want of the model."""
        self._say_queue.observe(event, now)
        outcome = self._muting.from_engine(event, now)
        sentence = self._next_sentence()
        if outcome.replies or sentence:
            replies = [self._stamp(reply) for reply in outcome.replies]
            return RuleOutcome(outcome.events, replies + sentence)
        return outcome

    def _next_sentence(self) -> list[Event]:
        is_free = not self._muting.is_answering and not self._muting.is_muted
        return self._say_queue.release(is_free=is_free)

    def _unmute(self) -> list[Effect]:
        """Unmute the model, if no reason to mute it is left."""
        if self.is_paused or self.speaker is not None:
            return []
        return self._to_engine(self._muting.unmute()) + self._to_engine(self._next_sentence())

    def _to_engine(self, events: Iterable[Event]) -> list[Effect]:
        return [ToEngine(encode(self._stamp(event))) for event in events]

    def _stamp(self, event: Event) -> Event:
        """Mark as the relay's own, so that its errors and answers are not shown to the client."""
        if event["type"] == "session.update":
            return self._requests.track(event, shown=False)
        return event if "event_id" in event else self._requests.stamp(event)


class SayQueue:
    """Sentences that the model is to say, one answer each, in order, when it is not answering."""

    def __init__(self, requests: RequestTracker) -> None:
        self._requests = requests
        self._waiting: deque[str] = deque()
        self._sent: tuple[str, str] | None = None  # event id and text, until it is being said

    @property
    def is_full(self) -> bool:
        """Whether no further sentence can wait."""
        return len(self._waiting) >= MAX_WAITING

    def say(self, text: str) -> None:
        """Queue a sentence."""
        self._waiting.append(text)

    def release(self, *, is_free: bool) -> list[Event]:
        """Take out what to send now; `is_free` says that the model may begin an answer."""
        if not is_free or self._sent is not None or not self._waiting:
            return []
        text = self._waiting.popleft()
        event = self._requests.stamp(_say_event(text))
        self._sent = event["event_id"], text
        return [event]

    def observe(self, event: Event, now: float) -> None:
        """Follow the sentence that was sent.

        Once an answer began it is being said, or comes back as an error. Refused because the model
        was answering, it is tried again after that answer.
        """
        if event["type"] == "response.created":
            self._sent = None
        elif event["type"] == "error":
            self._refused(event)

    def _refused(self, event: Event) -> None:
        error = event.get("error")
        if self._sent is None or not isinstance(error, dict):
            return
        if error.get("event_id") == self._sent[0]:
            if error.get("code") == _BUSY:
                self._waiting.appendleft(self._sent[1])
            self._sent = None


def _say_event(text: str) -> Event:
    instructions = f"Say exactly this to the person you are talking with, and nothing else: {text}"
    response = {"instructions": instructions, "tool_choice": "none"}
    return {"type": "response.create", "response": response}
