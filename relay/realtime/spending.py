"""What one session used, what that costs, and how near its money is to its end; pure."""

from dataclasses import dataclass, field
from typing import Final

from relay.realtime.actions import Action, Settle, Used
from relay.realtime.brake import Bill, Brake, Stage
from relay.realtime.budget import Standing
from relay.realtime.events import Event
from relay.realtime.meter import Cost, Line, Meter
from relay.realtime.prices import Prices
from relay.realtime.usage import cost

_BEGUN: Final = "response.created"
_BILLED: Final = "response.done"
_MOST_ANSWERING: Final = 64  # the API makes one in the conversation and few beside it
FREE: Final = Cost(0)
"""What a voice costs that nobody bills."""


@dataclass(slots=True)
class Spending:
    """Feed it what the meter reads, and `response.created`.

    `prices` is None for a voice that costs nothing, `brake` None where nobody set a budget.
    """

    meter: Meter
    prices: Prices | None = None
    brake: Brake | None = None
    _answering: set[str] = field(default_factory=set)

    reads = Meter.reads | {_BEGUN}

    def feed(self, event: Event, now: float) -> list[Action]:
        """Take one server event at `now` (Unix seconds)."""
        self._follow(event)
        line = self.meter.feed(event, now)
        if line is None:
            return []
        used = Used(line, self._micro(line))
        if self.brake is None:
            return [used]
        answered = event["type"] == _BILLED
        return [used, Settle(self.brake.bill(self.cost().known, answered=answered))]

    def stands(self, standing: Standing) -> Stage | None:
        """The stage that the session has come to, where it is a new one.

        What nobody can put a price on may not be spent from a budget at all.
        """
        if self.brake is None:
            return None
        if self.cost().unpriced:
            standing = Standing(0, standing.limit, standing.day)
        return self.brake.stands(standing)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to spend."""
        return self.brake is not None and self.brake.stage == "exhausted"

    def cost(self) -> Cost:
        """What the session cost so far."""
        return FREE if self.prices is None else self.meter.cost(self.prices)

    def last_bill(self) -> Bill | None:
        """What answers that the session's end cut off may cost: no bill will come for them."""
        if self.brake is None or not self._answering:
            return None
        return Bill(len(self._answering) * self.brake.expected, 0)

    def _follow(self, event: Event) -> None:
        """Note which answers are on their way."""
        response = event.get("response")
        if not isinstance(response, dict):
            return
        if event["type"] == _BEGUN and len(self._answering) < _MOST_ANSWERING:
            self._answering.add(str(response.get("id")))
        elif event["type"] == _BILLED:
            self._answering.discard(str(response.get("id")))

    def _micro(self, line: Line) -> int | None:
        if self.prices is None:
            return 0
        return cost(line.usage, self.prices.find(line.model))
