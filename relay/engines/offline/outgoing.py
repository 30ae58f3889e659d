"""What the rules of the offline voice answer with: events to send and work for its parts."""

from dataclasses import dataclass
from typing import Any

from relay.engines.offline.ids import NewId
from relay.engines.offline.refusals import Event, Refusal, error


@dataclass(frozen=True, slots=True)
class Emit:
    """Send this event to the client."""

    event: Event


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Have this audio written down; answer with `Machine.transcribed`."""

    item_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Speak:
    """Have this text spoken, one of an answer's outputs; answer with `Machine.spoken`."""

    response_id: str
    output: int
    text: str
    voice: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; nothing comes after it."""

    code: int
    reason: str


Effect = Emit | Transcribe | Speak | Close


class Outgoing:
    """Collects the effects of one step, in order."""

    def __init__(self, new_id: NewId) -> None:
        self.new_id = new_id
        self._effects: list[Effect] = []

    def emit(self, kind: str, **fields: Any) -> None:
        """Add an event; its keys stand in OpenAI's order: `type`, `event_id`, the rest."""
        self._effects.append(Emit({"type": kind, "event_id": self.new_id("event"), **fields}))

    def refuse(self, refusal: Refusal, client_event_id: str | None) -> None:
        """Add an `error` event."""
        self._effects.append(Emit(error(refusal, client_event_id, self.new_id("event"))))

    def do(self, effect: Transcribe | Speak | Close) -> None:
        """Add work for the shell."""
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        """Return what was collected and start anew."""
        effects, self._effects = self._effects, []
        return effects
