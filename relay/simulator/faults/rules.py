"""A session whose events are altered by faults, between its machine and its peer; pure."""

from collections.abc import Sequence

from relay.engines.cascade.effects import Close, Effect, Emit
from relay.engines.cascade.engine import Rules
from relay.interfaces import Frame
from relay.simulator.faults.seen import Census, Seen
from relay.simulator.faults.stages import Pipeline, Stage


class FaultyRules:
    """The `Rules` of a session with faults; work for ear and mouth passes as it is.

    A session whose machine has ended lives on as long as nothing tells the client of the end.
    """

    def __init__(self, rules: Rules, stages: Sequence[Stage]) -> None:
        self._rules = rules
        self._pipeline = Pipeline(stages)
        self._census = Census()
        self._over = False

    def begin(self, now: float) -> list[Effect]:
        """Open the session."""
        return self._alter(self._rules.begin(now), now)

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """Carry out one client event."""
        return self._alter(() if self._over else self._rules.receive(frame, now), now)

    def transcribed(self, item_id: str, text: str | None, now: float) -> list[Effect]:
        """Take what was understood of an item."""
        effects = () if self._over else self._rules.transcribed(item_id, text, now)
        return self._alter(effects, now)

    def spoken(self, response_id: str, output: int, pcm: bytes | None, now: float) -> list[Effect]:
        """Take the sound of one output of an answer."""
        effects = () if self._over else self._rules.spoken(response_id, output, pcm, now)
        return self._alter(effects, now)

    def tick(self, now: float) -> list[Effect]:
        """Let go of what was held long enough, and do what has come due."""
        freed = _until_the_end(self._pipeline.tick(now))
        if any(isinstance(effect, Close) for effect in freed):
            return freed
        due = not self._over and self._rules.deadline(now) <= now
        return [*freed, *self._alter(self._rules.tick(now) if due else (), now)]

    def deadline(self, now: float) -> float:
        """Return when `tick` wants to be called next."""
        held = self._pipeline.due()
        return held if self._over else min(held, self._rules.deadline(now))

    def _alter(self, effects: Sequence[Effect], now: float) -> list[Effect]:
        altered: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit | Close):
                self._over = self._over or isinstance(effect, Close)
                seen = self._census.see(effect)
                altered += [passed.effect for passed in self._pipeline.take(seen, now)]
            else:
                altered.append(effect)
        return _until_the_end(altered)


def _until_the_end(effects: Sequence[Effect | Seen]) -> list[Effect]:
    """Return the effects up to the first end: nothing comes after it."""
    kept: list[Effect] = []
    for effect in effects:
        kept.append(effect.effect if isinstance(effect, Seen) else effect)
        if isinstance(kept[-1], Close):
            break
    return kept
