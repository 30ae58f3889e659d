"""What a coach does with a session: silence the model, whisper to it, speak in its place; pure."""

from collections.abc import Iterable
from typing import Final, Literal

from relay.realtime.actions import Action, ToEngine
from relay.realtime.events import Event, encode
from relay.realtime.ledger import Ledger
from relay.realtime.muting import Kept, Muting
from relay.realtime.own_items import OwnItems, system_item
from relay.realtime.whispers import Whispers

Mode = Literal["context", "say"]
MAX_WHISPER: Final = 4_000
"""Characters of one whisper."""

Outcome = Literal["done", "nothing", "busy", "muted", "over"]
"""Done; was so already; somebody else has it, or too much waits; not while the model is muted; the
session has ended."""


class Control:
    """The state of one session as its coaches left it. A pause and a takeover are two reasons.

    Every method answers with the `Outcome` and, where it is done, what goes up.
    """

    reads: Final = Muting.reads | {"error"}

    def __init__(self, ledger: Ledger, own: OwnItems) -> None:
        self._ledger = ledger
        self._own = own
        self._muting = Muting()
        self._whispers = Whispers(ledger)
        self.is_paused = False
        self.speaker: str | None = None  # the coach who speaks in the model's place

    @property
    def is_muted(self) -> bool:
        """Whether the model is kept silent."""
        return self._muting.is_muted

    def pause(self) -> tuple[Outcome, list[Action]]:
        """The model falls silent and stays so."""
        if self.is_paused:
            return "nothing", []
        self.is_paused = True
        return "done", self._up(self._muting.mute())

    def resume(self) -> tuple[Outcome, list[Action]]:
        """The model may answer again, unless somebody speaks in its place."""
        if not self.is_paused:
            return "nothing", []
        self.is_paused = False
        return "done", self._free()

    def take_over(self, coach: str) -> tuple[Outcome, list[Action]]:
        """The coach speaks in the model's place; one at a time, who comes first."""
        if self.speaker is not None:
            return ("nothing" if self.speaker == coach else "busy"), []
        self.speaker = coach
        return "done", self._up(self._muting.mute())

    def release(self, coach: str, *, by_force: bool = False) -> tuple[Outcome, list[Action]]:
        """The model has the word again; only who took it over, or an admin, gives it back."""
        if self.speaker is None:
            return "nothing", []
        if self.speaker != coach and not by_force:
            return "busy", []
        self.speaker = None
        return "done", self._free()

    def whisper(self, text: str, mode: Mode) -> tuple[Outcome, list[Action]]:
        """Tell the model something the learner never sees, or have it say so next."""
        if mode == "context":
            return "done", [ToEngine(encode(self._own.create(system_item(text))))]
        if self._muting.is_muted:
            return "muted", []
        if self._whispers.is_full:
            return "busy", []
        self._whispers.say(text)
        return "done", self._said()

    def from_client(self, event: Event) -> Kept:
        """A client's event on its way up."""
        return self._muting.from_client(event)

    def owe(self, event: Event) -> None:
        """A `response.create` of the relay's own that waits for the model's turn."""
        self._muting.owe(event)

    def from_engine(self, event: Event) -> tuple[Event, list[Action]]:
        """An engine's event as the client shall see it, and what goes up in answer to it."""
        if event["type"] == "error":
            self._whispers.refused(event)
        if event["type"] == "response.created":
            self._whispers.created()
        shown, asked = self._muting.from_engine(event)
        return shown, self._up(asked) + self._said()

    def _said(self) -> list[Action]:
        free = not self._muting.is_answering and not self._muting.is_muted
        return self._up(self._whispers.release(free=free))

    def _free(self) -> list[Action]:
        """Unmute, where no reason to be silent is left."""
        if self.is_paused or self.speaker is not None:
            return []
        return self._up(self._muting.unmute()) + self._said()

    def _up(self, told: Iterable[Event]) -> list[Action]:
        return [ToEngine(encode(self._stamped(event))) for event in told]

    def _stamped(self, event: Event) -> Event:
        """Errors about it, and the answer to an update, are not for the client."""
        if event["type"] == "session.update":
            return self._ledger.asked(event, shown=False)
        return event if "event_id" in event else self._ledger.own(event)
