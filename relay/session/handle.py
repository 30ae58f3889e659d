"""A live session as its feed may look at it: never asked unless somebody watches."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from relay.feed.live_session import CoachStreamProtocol, NoLine
from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.core import SessionCore
from relay.realtime.endings import Ending
from relay.realtime.records import SessionHead
from relay.realtime.transcript import InterimTranscript
from relay.session.billing import tokens_of
from relay.session.coach_bridge import CoachBridge
from relay.session.links import SessionShell
from relay.session.recorder import Recorder

# ---- A live session as a coach commands it.

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommandHandler:
    """`silence` is told whether the model's sound is for nobody; `ended` is done when all is."""

    shell: SessionShell
    recorder: Recorder
    silence: Callable[[bool], None]
    ended: Future[Ending]

    def obey(self, command: Command) -> Outcome:
        """Carry out a command, and write down what it changed; on the event loop."""
        if self.ended.done():
            return "over"
        now = self.shell.clock()
        result = self.shell.conversation.commands.execute(command, now)
        actions = result.effects
        if self.shell.conversation.control.speaker is None:
            actions = [*self.shell.conversation.coach_speech.stop(now), *actions]
        self.silence(self.shell.conversation.control.is_muted)
        self.shell.act(actions)
        self.shell.rearm()
        if result.outcome == "done":
            self.recorder.did(command, now)
            session_id = self.recorder.head.session_id
            log.info("coach acted", action=command.action, session_id=session_id)
        return result.outcome


@dataclass(frozen=True, slots=True)
class SessionHandle:
    """A `relay.feed.feed.Call`."""

    head: SessionHead
    door: str
    engine: str
    conversation: SessionCore
    coached: CommandHandler
    booth: CoachBridge

    def partials(self) -> Sequence[InterimTranscript]:
        """The words so far of what has not settled."""
        return self.conversation.transcript.interim()

    def settled(self) -> int:
        """The newest utterance's `seq`, on disk or not."""
        return self.conversation.transcript.last_seq

    def tokens(self) -> Mapping[str, int]:
        """What was used so far, by kind."""
        return tokens_of(self.conversation.spending)

    def micro(self) -> int | None:
        """What it cost so far in micro-dollars; None where a price is missing."""
        return self.conversation.spending.cost().micro

    def answers(self) -> tuple[int, int | None]:
        """How many answers have begun, and how long the last one let wait, in ms."""
        latency = self.conversation.transcript.latency
        return latency.count, latency.last_ms

    def ending(self) -> str | None:
        """Why the session ended, None while it lasts."""
        ended = self.coached.ended
        return ended.result().name if ended.done() else None

    def obey(self, command: Command) -> Outcome:
        """Carry out a coach's command."""
        return self.coached.obey(command)

    def voice(self, coach: str) -> CoachStreamProtocol | NoLine:
        """A line for this coach; an earlier one of theirs is closed."""
        return self.booth.open(coach)

    def is_paused(self) -> bool:
        """Whether a coach silenced the model."""
        return self.conversation.control.is_paused

    def speaker(self) -> str | None:
        """The coach who speaks in the model's place."""
        return self.conversation.control.speaker
