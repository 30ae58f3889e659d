"""A coach's commands to one session, and what each of them sends where; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.realtime.actions import Action, End, Flush
from relay.realtime.client_side import ClientSide
from relay.realtime.control import Control, Mode, Outcome
from relay.realtime.endings import ENDED_BY_COACH
from relay.realtime.records import CoachAction


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


Cut = Callable[[float], list[Action]]
"""Notes what was heard of what is playing at a time, and tells the engine."""


@dataclass(frozen=True, slots=True)
class Obeyed:
    """How a command ended, and what the shell has to do for it."""

    outcome: Outcome
    actions: list[Action] = field(default_factory=list)


class Coaching:
    """Every command may be repeated: what is so already changes nothing. `now` is in Unix seconds.

    Whatever plays is cut at once. A client that knows `relay.*` is told why and flushes its player;
    every other one is shown that somebody began to speak, which is what it flushes its player on.
    """

    def __init__(self, control: Control, client: ClientSide, cut: Cut) -> None:
        self._control = control
        self._client = client
        self._cut = cut
        self._flushes = 0
        self._is_listened_to = False
        self._shown = (False, False)  # whether somebody speaks and is there, as the learner knows
        self._orders = self._table()

    def obey(self, command: Command, now: float) -> Obeyed:
        """Carry out a command; a note and a summary are for the record alone."""
        return self._orders[command.action](command, now)

    def _table(self) -> Mapping[CoachAction, Callable[[Command, float], Obeyed]]:
        return {
            "pause": lambda _, now: self.pause(now),
            "resume": lambda _, __: self.resume(),
            "takeover": lambda told, now: self.take_over(told.coach_id, now),
            "release": lambda told, _: self.release(told.coach_id, by_force=told.is_admin),
            "whisper": lambda told, _: self.whisper(told.text, told.mode),
            "end": lambda _, __: Obeyed("done", [End(ENDED_BY_COACH)]),
            "note": lambda _, __: Obeyed("done"),
            "summary": lambda _, __: Obeyed("done"),
        }

    def pause(self, now: float) -> Obeyed:
        """The model falls silent at once and stays so; the learner is still written down."""
        outcome, actions = self._control.pause()
        if outcome != "done":
            return Obeyed(outcome)
        told = self._client.told({"type": "relay.paused"})
        silence = self._silence(now) if self._control.speaker is None else []  # a coach may go on
        return Obeyed(outcome, [*told, *actions, *silence])

    def resume(self) -> Obeyed:
        """The model may answer again; it knows what was said meanwhile and does not greet."""
        outcome, actions = self._control.resume()
        told = self._client.told({"type": "relay.resumed"}) if outcome == "done" else []
        return Obeyed(outcome, [*told, *actions])

    def take_over(self, coach: str, now: float) -> Obeyed:
        """The coach speaks in the model's place, until `release`."""
        outcome, actions = self._control.take_over(coach)
        if outcome != "done":
            return Obeyed(outcome)
        return Obeyed(outcome, [*self._presence(), *actions, *self._silence(now)])

    def release(self, coach: str, *, by_force: bool = False) -> Obeyed:
        """The model has the word again, unless it is paused."""
        outcome, actions = self._control.release(coach, by_force=by_force)
        told = self._presence() if outcome == "done" else []
        return Obeyed(outcome, [*told, *actions])

    def listens(self, listening: bool) -> list[Action]:
        """The first coach came to listen, or the last one went: the learner is shown that."""
        self._is_listened_to = listening
        return self._presence()

    def _presence(self) -> list[Action]:
        speaking = self._control.speaker is not None
        present = speaking or self._is_listened_to
        before, self._shown = self._shown, (speaking, present)
        if before == self._shown:
            return []
        return self._client.told({"type": "relay.coach", "speaking": speaking, "present": present})

    def whisper(self, text: str, mode: Mode) -> Obeyed:
        """Tell the model something, or have it say so next."""
        return Obeyed(*self._control.whisper(text, mode))

    def _silence(self, now: float) -> list[Action]:
        cut = self._cut(now)
        actions: list[Action] = [Flush(), *cut]
        if cut and not self._client.is_aware:
            actions += [a for event in self._interruption() for a in self._client.shown(event)]
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
