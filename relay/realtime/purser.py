"""What follows when a session's money runs out: a warning, a good-bye, the end; pure."""

import math
from dataclasses import dataclass

from relay.realtime.actions import Action, End, ToClient, ToEngine
from relay.realtime.brake import GOOD_BYE, WRAP_UP_SECONDS, Stage
from relay.realtime.budget import Standing
from relay.realtime.deadlines import Deadlines
from relay.realtime.endings import BUDGET_EXHAUSTED
from relay.realtime.events import Event, encode
from relay.realtime.own_events import budget
from relay.realtime.own_items import OwnItems, system_item
from relay.realtime.spending import Spending


@dataclass(frozen=True, slots=True)
class Purser:
    """Acts on what `spending` counts; `is_aware` says that the client knows `relay.*` events."""

    spending: Spending
    deadlines: Deadlines
    own: OwnItems
    is_aware: bool

    def feed(self, event: Event, now: float) -> list[Action]:
        """What an engine's event costs; an answer that nobody can pay for ends the session."""
        actions = self.spending.feed(event, now)
        if event["type"] == "response.created" and self.spending.is_exhausted:
            actions.append(End(BUDGET_EXHAUSTED))
        return actions

    def afforded(self, standing: Standing, heard_at: float, now: float) -> list[Action]:
        """A bill was settled, and so the purse stands now.

        The session does not end before `heard_at`, when the last answer will have been heard, but
        in bounded time.
        """
        stage = self.spending.stands(standing)
        if stage is None:
            return []
        self.deadlines.broke_at = self._ends_at(stage, heard_at, now)
        actions: list[Action] = []
        if self.is_aware and stage != "ok":
            actions.append(ToClient(encode(budget(standing.left))))
        if stage == "wrap_up":
            actions.append(ToEngine(encode(self.own.create(system_item(GOOD_BYE)))))
        return actions

    def _ends_at(self, stage: Stage, heard_at: float, now: float) -> float:
        if stage == "exhausted":
            return min(heard_at, now + WRAP_UP_SECONDS, self.deadlines.broke_at)
        return now + WRAP_UP_SECONDS if stage == "wrap_up" else math.inf
