"""What a feed asks of a live session, and what is kept of one that has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.endings import CLIENT_LEFT, Ending
from relay.realtime.records import SessionHead
from relay.realtime.transcript import InterimTranscript

# ---- What the API asks of a coach's line into a live call.

REPLACED: Final = Ending("replaced", 4009, "Replaced")
"""The same coach opened another line."""
NoLine = Literal["over", "busy", "format"]
"""The session has ended; too many listen; its sound is of a format that no coach speaks."""


class CoachStreamProtocol(Protocol):
    """Open until `close`; mind to do that."""

    @property
    def ending(self) -> Ending | None:
        """Why it was closed, None while it is open."""

    def hear(self, pcm: bytes) -> None:
        """Sound of the coach's: PCM16 mono 24 kHz, heard while this coach has the word."""

    async def next(self) -> bytes | None:
        """The next frame for the coach, a byte for who speaks first; None once it is closed."""

    def close(self, ending: Ending = CLIENT_LEFT) -> None:
        """Close it; the first ending counts."""


class LiveSession(Protocol):
    """What a feed asks of a live session."""

    @property
    def head(self) -> SessionHead:
        """Whose words these are."""

    @property
    def door(self) -> str:
        """The way in."""

    @property
    def engine(self) -> str:
        """The voice."""

    def partials(self) -> Sequence[InterimTranscript]:
        """The words so far of what has not settled."""

    def settled(self) -> int:
        """The newest utterance's `seq`, on disk or not."""

    def tokens(self) -> Mapping[str, int]:
        """What was used so far, by kind."""

    def micro(self) -> int | None:
        """What it cost so far in micro-dollars; None where a price is missing."""

    def answers(self) -> tuple[int, int | None]:
        """How many answers have begun, and how long the last one let wait, in ms."""

    def ending(self) -> str | None:
        """Why the session ended, None while it lasts."""

    def is_paused(self) -> bool:
        """Whether a coach silenced the model."""

    def speaker(self) -> str | None:
        """The coach who speaks in the model's place."""

    def obey(self, command: Command) -> Outcome:
        """Carry out a coach's command."""

    def voice(self, coach: str) -> CoachStreamProtocol | NoLine:
        """A line for this coach; an earlier one of theirs is closed."""


@dataclass(frozen=True, slots=True)
class EndedSession:
    """What is kept of a call that has ended: the rest of it may go."""

    head: SessionHead
    door: str
    engine: str
    seq: int
    used: Mapping[str, int]
    cost: int | None
    begun: tuple[int, int | None]
    why: str | None

    def partials(self) -> Sequence[InterimTranscript]:
        return ()

    def settled(self) -> int:
        return self.seq

    def tokens(self) -> Mapping[str, int]:
        return self.used

    def micro(self) -> int | None:
        return self.cost

    def answers(self) -> tuple[int, int | None]:
        return self.begun

    def ending(self) -> str | None:
        return self.why

    def is_paused(self) -> bool:
        return False

    def speaker(self) -> str | None:
        return None

    def obey(self, command: Command) -> Outcome:
        return "over"

    def voice(self, coach: str) -> CoachStreamProtocol | NoLine:
        return "over"


def over(call: LiveSession) -> EndedSession:
    """What is kept of it."""
    numbers = call.settled(), dict(call.tokens()), call.micro(), call.answers()
    return EndedSession(call.head, call.door, call.engine, *numbers, call.ending())
