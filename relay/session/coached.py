"""A live session as a coach commands it."""

from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from relay.realtime.coaching.control import Command, Outcome
from relay.realtime.endings import Ending
from relay.session.recorder import Recorder
from relay.session.sides import Shell

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Coached:
    """`silence` is told whether the model's sound is for nobody; `ended` is done when all is."""

    shell: Shell
    recorder: Recorder
    silence: Callable[[bool], None]
    ended: Future[Ending]

    def obey(self, command: Command) -> Outcome:
        """Carry out a command, and write down what it changed; on the event loop."""
        if self.ended.done():
            return "over"
        now = self.shell.clock()
        obeyed = self.shell.conversation.coaching.obey(command, now)
        actions = obeyed.actions
        if self.shell.conversation.control.speaker is None:
            actions = [*self.shell.conversation.voice.stop(now), *actions]
        self.silence(self.shell.conversation.control.is_muted)
        self.shell.act(actions)
        self.shell.rearm()
        if obeyed.outcome == "done":
            self.recorder.did(command, now)
            session_id = self.recorder.head.session_id
            log.info("coach acted", action=command.action, session_id=session_id)
        return obeyed.outcome
