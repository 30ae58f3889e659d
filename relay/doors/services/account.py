"""Reserves budget for one call, settles what it used, and writes the usage to the journal."""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from relay.interfaces import Journal
from relay.realtime.billing.budget import BudgetHold, Charge
from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import UsageLine, UsageMeter, cost, day_of
from relay.realtime.grant import Grant
from relay.realtime.records import SessionHead, UsageRecord, usage_id

OpenBudget = Callable[[Grant, str, float], Awaitable[BudgetHold | None]]
"""Holds budget for an answer, given the grant, an id and Unix seconds; raises `SessionRefused`."""


class ServiceCounter(Protocol):
    """Counts for the operator, as `relay.metrics.Metrics` does."""

    def used(self, tokens: Mapping[str, int], speech: Mapping[str, float], dollars: float) -> None:
        """Count tokens by kind, speech by unit, and its price."""

    def model_replaced(self) -> None:
        """Count an answer by another model than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Accounting:
    """What accounts are kept with; `now` is Unix time."""

    open_budget: OpenBudget
    prices: Prices
    journal: Journal
    counter: ServiceCounter
    now: Callable[[], float]

    async def open(self, grant: Grant) -> "CallAccount":
        """Hold budget for a call; raises `SessionRefused` where there is none left."""
        now, call_id = self.now(), str(uuid.uuid4())
        hold = await self.open_budget(grant, call_id, now)
        return CallAccount(self, grant, call_id, now, hold)


@dataclass(frozen=True, slots=True)
class CallAccount:
    """The account of one call; it is to be closed, once."""

    accounting: Accounting
    grant: Grant
    call_id: str
    began: float
    hold: BudgetHold | None

    def close(self, used: Sequence[Mapping[str, Any]], billed: Collection[str]) -> None:
        """Charge and write down what models used, and give back the rest of the hold."""
        kept, total, tokens = self.accounting, 0, Counter[str]()
        response = {"id": self.call_id, "usage": {"parts": list(used)}}
        event = {"type": "response.done", "response": response}
        for line in UsageMeter("", "").observe(event, kept.now()):
            price = kept.prices.find(line.model)
            micro = cost(line.usage, price) if line.model in billed else 0
            total += micro or 0
            tokens.update(text_in=line.usage.text_in, text_out=line.usage.text_out)
            kept.journal.append(self._record(line, micro))
        if self.hold is not None:
            self.hold.settle(Charge(total, 0), day_of(kept.now()))
            self.hold.release()
        kept.counter.used(tokens, {}, total / 1_000_000)

    def _record(self, line: UsageLine, micro: int | None) -> UsageRecord:
        head = SessionHead(
            session_id=self.call_id,
            conversation_id=self.call_id,
            user_id=self.grant.caller.sub,
            agent_id=self.grant.agent_id,
            model=line.model,
            voice="",
            started_at=self.began,
        )
        return UsageRecord(id=usage_id(self.call_id, line), head=head, line=line, micro=micro)
