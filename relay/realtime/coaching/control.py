"""A coach's commands to one session, and what each of them sends where; pure."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from relay.realtime.client_encoder import ClientEncoder
from relay.realtime.coaching.muting import ModelMuting
from relay.realtime.effects import Effect, End, Flush, RuleOutcome, ToEngine
from relay.realtime.endings import ENDED_BY_COACH
from relay.realtime.events import Event, encode
from relay.realtime.items import InjectedItems, system_item
from relay.realtime.records import CoachAction
from relay.realtime.requests import RequestTracker

# ---- What a coach tells the model behind the learner's back, or has it say next; pure.

MAX_WAITING: Final = 8
"""Sentences that wait to be said; a coach who sends more is told to wait."""
_BUSY: Final = "conversation_already_has_active_response"


class SayQueue:
    """Sentences the model shall say, one answer each, in order, when it is not answering."""

    def __init__(self, requests: RequestTracker) -> None:
        self._requests = requests
        self._waiting: deque[str] = deque()
        self._sent: tuple[str, str] | None = None  # event id and text on its way

    @property
    def is_full(self) -> bool:
        """Whether no further sentence can wait."""
        return len(self._waiting) >= MAX_WAITING

    def say(self, text: str) -> None:
        """Queue a sentence."""
        self._waiting.append(text)

    def release(self, *, free: bool) -> list[Event]:
        """What goes up now; `free` says that the model neither answers nor must be silent."""
        if not free or self._sent is not None or not self._waiting:
            return []
        text = self._waiting.popleft()
        event = self._requests.stamp(_response(text))
        self._sent = event["event_id"], text
        return [event]

    def observe(self, event: Event, now: float) -> None:
        """Follow what became of the sentence that was sent.

        Once an answer began it is being said, or will come back as an error. Refused because the
        model was answering, it is tried again after that answer.
        """
        if event["type"] == "response.created":
            self._sent = None
        elif event["type"] == "error":
            self._refused(event)

    def _refused(self, event: Event) -> None:
        fault = event.get("error")
        if self._sent is None or not isinstance(fault, dict):
            return
        if fault.get("event_id") == self._sent[0]:
            if fault.get("code") == _BUSY:
                self._waiting.appendleft(self._sent[1])
            self._sent = None


def _response(text: str) -> Event:
    told = f"Say exactly this to the person you are talking with, and nothing else: {text}"
    return {"type": "response.create", "response": {"instructions": told, "tool_choice": "none"}}


# ---- What a coach does with a session: silence the model, whisper to it, speak in its place; pure.

Mode = Literal["context", "say"]
MAX_WHISPER: Final = 4_000
"""Characters of one whisper."""

Outcome = Literal["done", "nothing", "busy", "muted", "over"]
"""Done; was so already; somebody else has it, or too much waits; not while the model is muted; the
session has ended."""


class CoachControl:
    """The state of one session as its coaches left it. A pause and a takeover are two reasons.

    Every method answers with the `Outcome` and, where it is done, what goes up.
    """

    def __init__(self, requests: RequestTracker, own: InjectedItems) -> None:
        self._requests = requests
        self._own = own
        self._muting = ModelMuting()
        self._whispers = SayQueue(requests)
        self.is_paused = False
        self.speaker: str | None = None  # the coach who speaks in the model's place

    @property
    def is_muted(self) -> bool:
        """Whether the model is kept silent."""
        return self._muting.is_muted

    def pause(self) -> tuple[Outcome, list[Effect]]:
        """The model falls silent and stays so."""
        if self.is_paused:
            return "nothing", []
        self.is_paused = True
        return "done", self._up(self._muting.mute())

    def resume(self) -> tuple[Outcome, list[Effect]]:
        """The model may answer again, unless somebody speaks in its place."""
        if not self.is_paused:
            return "nothing", []
        self.is_paused = False
        return "done", self._free()

    def take_over(self, coach: str) -> tuple[Outcome, list[Effect]]:
        """The coach speaks in the model's place; one at a time, who comes first."""
        if self.speaker is not None:
            return ("nothing" if self.speaker == coach else "busy"), []
        self.speaker = coach
        return "done", self._up(self._muting.mute())

    def release(self, coach: str, *, by_force: bool = False) -> tuple[Outcome, list[Effect]]:
        """The model has the word again; only who took it over, or an admin, gives it back."""
        if self.speaker is None:
            return "nothing", []
        if self.speaker != coach and not by_force:
            return "busy", []
        self.speaker = None
        return "done", self._free()

    def whisper(self, text: str, mode: Mode) -> tuple[Outcome, list[Effect]]:
        """Tell the model something the learner never sees, or have it say so next."""
        if mode == "context":
            return "done", [ToEngine(encode(self._own.create(system_item(text))))]
        if self._muting.is_muted:
            return "muted", []
        if self._whispers.is_full:
            return "busy", []
        self._whispers.say(text)
        return "done", self._up(self._next_sentence())

    def from_client(self, event: Event, now: float) -> RuleOutcome:
        """The event as it may go up; a muted model is asked for no answer."""
        return self._muting.from_client(event, now)

    def owe(self, event: Event) -> None:
        """A `response.create` of the relay's own that waits for the model's turn."""
        self._muting.owe(event)

    def from_engine(self, event: Event, now: float) -> RuleOutcome:
        """The event as the client shall see it; replies with what coaches want of the model."""
        self._whispers.observe(event, now)
        muted = self._muting.from_engine(event, now)
        replies = [self._stamped(reply) for reply in muted.replies]
        return RuleOutcome(muted.events, replies + self._next_sentence())

    def _next_sentence(self) -> list[Event]:
        free = not self._muting.is_answering and not self._muting.is_muted
        return self._whispers.release(free=free)

    def _free(self) -> list[Effect]:
        """Unmute, where no reason to be silent is left."""
        if self.is_paused or self.speaker is not None:
            return []
        return self._up(self._muting.unmute()) + self._up(self._next_sentence())

    def _up(self, told: Iterable[Event]) -> list[Effect]:
        return [ToEngine(encode(self._stamped(event))) for event in told]

    def _stamped(self, event: Event) -> Event:
        """Errors about it, and the answer to an update, are not for the client."""
        if event["type"] == "session.update":
            return self._requests.track(event, shown=False)
        return event if "event_id" in event else self._requests.stamp(event)


@dataclass(frozen=True, slots=True)
class Command:
    """What a coach wants done: `text` and `mode` of a whisper, the text of a note or an end.

    `is_admin` lets it give back what another coach has taken over.
    """

    action: CoachAction
    coach_id: str
    text: str = ""
    mode: Mode = "context"
    is_admin: bool = False


Cut = Callable[[float], list[Effect]]
"""Notes what was heard of what is playing at a time, and tells the engine."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and what the shell has to do for it."""

    outcome: Outcome
    actions: list[Effect] = field(default_factory=list)


class CoachCommands:
    """Every command may be repeated: what is so already changes nothing. `now` is in Unix seconds.

    Whatever plays is cut at once. A client that knows `relay.*` is told why and flushes its player;
    every other one is shown that somebody began to speak, which is what it flushes its player on.
    """

    def __init__(self, control: CoachControl, client: ClientEncoder, cut: Cut) -> None:
        self._control = control
        self._client = client
        self._cut = cut
        self._flushes = 0
        self._is_listened_to = False
        self._shown = (False, False)  # whether somebody speaks and is there, as the learner knows
        self._orders = self._table()

    def obey(self, command: Command, now: float) -> CommandResult:
        """Carry out a command; a note and a summary are for the record alone."""
        return self._orders[command.action](command, now)

    def _table(self) -> Mapping[CoachAction, Callable[[Command, float], CommandResult]]:
        return {
            "pause": lambda _, now: self.pause(now),
            "resume": lambda _, __: self.resume(),
            "takeover": lambda told, now: self.take_over(told.coach_id, now),
            "release": lambda told, _: self.release(told.coach_id, by_force=told.is_admin),
            "whisper": lambda told, _: self.whisper(told.text, told.mode),
            "end": lambda _, __: CommandResult("done", [End(ENDED_BY_COACH)]),
            "note": lambda _, __: CommandResult("done"),
            "summary": lambda _, __: CommandResult("done"),
        }

    def pause(self, now: float) -> CommandResult:
        """The model falls silent at once and stays so; the learner is still written down."""
        outcome, actions = self._control.pause()
        if outcome != "done":
            return CommandResult(outcome)
        told = self._client.notify({"type": "relay.paused"})
        silence = self._silence(now) if self._control.speaker is None else []  # a coach may go on
        return CommandResult(outcome, [*told, *actions, *silence])

    def resume(self) -> CommandResult:
        """The model may answer again; it knows what was said meanwhile and does not greet."""
        outcome, actions = self._control.resume()
        told = self._client.notify({"type": "relay.resumed"}) if outcome == "done" else []
        return CommandResult(outcome, [*told, *actions])

    def take_over(self, coach: str, now: float) -> CommandResult:
        """The coach speaks in the model's place, until `release`."""
        outcome, actions = self._control.take_over(coach)
        if outcome != "done":
            return CommandResult(outcome)
        return CommandResult(outcome, [*self._presence(), *actions, *self._silence(now)])

    def release(self, coach: str, *, by_force: bool = False) -> CommandResult:
        """The model has the word again, unless it is paused."""
        outcome, actions = self._control.release(coach, by_force=by_force)
        told = self._presence() if outcome == "done" else []
        return CommandResult(outcome, [*told, *actions])

    def listens(self, listening: bool) -> list[Effect]:
        """The first coach came to listen, or the last one went: the learner is shown that."""
        self._is_listened_to = listening
        return self._presence()

    def _presence(self) -> list[Effect]:
        speaking = self._control.speaker is not None
        present = speaking or self._is_listened_to
        before, self._shown = self._shown, (speaking, present)
        if before == self._shown:
            return []
        return self._client.notify(
            {"type": "relay.coach", "speaking": speaking, "present": present}
        )

    def whisper(self, text: str, mode: Mode) -> CommandResult:
        """Tell the model something, or have it say so next."""
        return CommandResult(*self._control.whisper(text, mode))

    def _silence(self, now: float) -> list[Effect]:
        cut = self._cut(now)
        actions: list[Effect] = [Flush(), *cut]
        if cut and not self._client.is_aware:
            actions += [a for event in self._interruption() for a in self._client.encode(event)]
        return actions

    def _interruption(self) -> list[dict[str, Any]]:
        """Speech that began and ended, and of which no item comes: it flushes any player."""
        self._flushes += 1
        item_id = f"item_relay_flush_{self._flushes}"
        began = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0}
        ended = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 0}
        return [
            {**event, "event_id": f"event_{item_id}_{number}", "item_id": item_id}
            for number, event in enumerate((began, ended))
        ]
