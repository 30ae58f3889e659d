"""A live session as its feed may look at it: never asked unless somebody watches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.feed.voice import Line, NoLine
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.core import Conversation
from relay.realtime.records import Head
from relay.realtime.transcript import Partial
from relay.session.account import tokens_of
from relay.session.booth import Booth
from relay.session.coached import Coached


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A `relay.feed.feed.Call`."""

    head: Head
    door: str
    engine: str
    conversation: Conversation
    coached: Coached
    booth: Booth

    def partials(self) -> Sequence[Partial]:
        """The words so far of what has not settled."""
        return self.conversation.transcript.partials.open()

    def settled(self) -> int:
        """The newest utterance's `seq`, on disk or not."""
        return self.conversation.transcript.partials.settled

    def tokens(self) -> Mapping[str, int]:
        """What was used so far, by kind."""
        return tokens_of(self.conversation.spending)

    def micro(self) -> int | None:
        """What it cost so far in micro-dollars; None where a price is missing."""
        return self.conversation.spending.cost().micro

    def answers(self) -> tuple[int, int | None]:
        """How many answers have begun, and how long the last one let wait, in ms."""
        delays = self.conversation.transcript.settling.delays
        return delays.count, delays.last_ms

    def ending(self) -> str | None:
        """Why the session ended, None while it lasts."""
        ended = self.coached.ended
        return ended.result().name if ended.done() else None

    def obey(self, command: Command) -> Outcome:
        """Carry out a coach's command."""
        return self.coached.obey(command)

    def voice(self, coach: str) -> Line | NoLine:
        """A line for this coach; an earlier one of theirs is closed."""
        return self.booth.open(coach)

    def is_paused(self) -> bool:
        """Whether a coach silenced the model."""
        return self.conversation.control.is_paused

    def speaker(self) -> str | None:
        """The coach who speaks in the model's place."""
        return self.conversation.control.speaker
