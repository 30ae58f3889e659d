"""A live session as its feed may look at it: never asked unless somebody watches."""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.realtime.conversation import Conversation
from relay.realtime.endings import Ending
from relay.realtime.partials import Partial
from relay.realtime.utterance import Head
from relay.session.account import tokens_of


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A `relay.feed.feed.Call`."""

    head: Head
    door: str
    engine: str
    conversation: Conversation
    ended: Future[Ending]

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

    def ending(self) -> str | None:
        """Why the session ended, None while it lasts."""
        return self.ended.result().name if self.ended.done() else None
